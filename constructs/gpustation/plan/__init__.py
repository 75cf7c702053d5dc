"""What a deploy would do to the workstation, before it is done."""
