"""CloudFormation: ministack's engine with its differences from AWS corrected."""
