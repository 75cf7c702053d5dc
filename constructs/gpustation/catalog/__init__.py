"""Facts and arithmetic: GPU types, frameworks, images, quotas, names.

Standard library only, and nothing of the rest of the library: synth reads it, the commands, and the
Lambda functions, whose code holds it.
"""
