"""The acceptance run on a real AWS account, and the evidence that it leaves."""
