"""The settings: their model, validation of values, and reading from CDK context."""
