"""The AMI that a stack bakes: the construct, its contents, its component and its roles."""
