"""Entry points of the Lambda functions behind the custom resources.

What they run is in the Lambda function's code: this package, the catalog and `aws`.
"""
