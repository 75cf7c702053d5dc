"""Terminal handling of a command: signals, output lines, and safe display of user input."""
