"""The settings: their model, the rules for values, and what is read from the context."""
