"""Entry points of the Lambda functions behind the custom resources.

The code of a function contains this package, ``catalog`` and ``aws``.
"""
