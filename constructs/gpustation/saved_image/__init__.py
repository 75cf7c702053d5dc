"""An image of the running workstation: made, and removed again."""
