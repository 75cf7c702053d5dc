"""Runs ``cdk deploy`` and ``cdk destroy``, and shows their steps from the stack's events."""
