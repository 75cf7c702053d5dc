"""Creates and deletes images of a running workstation."""
