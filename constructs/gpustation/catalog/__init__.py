"""Facts and arithmetic: GPU types, frameworks, images, prices, quotas, names.

It imports only the standard library, because synth, the command and the Lambda functions use it.
"""
