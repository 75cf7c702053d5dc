"""Run-time code of the custom resources: the asset of their Lambda functions, one for all.

Standard library and boto3 only. The library imports from here what both sides must agree on (the
GPU catalog, the quota arithmetic, the images' parameters), so that there is one of each.
"""
