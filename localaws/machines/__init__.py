"""What runs behind an instance: a record with stubbed commands, or a machine that boots."""
