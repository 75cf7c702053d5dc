"""Shared code of the constructs: assets, Lambda functions, user data, acknowledgements."""
