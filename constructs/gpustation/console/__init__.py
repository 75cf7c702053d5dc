"""A command and its terminal: signals, lines, and how much of a person's text they show."""
