"""Calls to AWS with boto3, and the meaning of their responses and errors.

Used by the command and the Lambda functions, never at synth.
"""
