"""Calls to AWS, with what their answers and failures mean. boto3, and the catalog.

The commands and the Lambda functions share it; nothing here runs at synth.
"""
