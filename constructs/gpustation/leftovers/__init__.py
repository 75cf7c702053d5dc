"""Finds what is left in an account of deleted stacks, with its cost and how to remove it.

``gpustation leftovers`` after ``cdk destroy`` proves that nothing costs any more.
docs/leftovers.md lists the kinds of resources and the permissions.

The search uses the List and Describe calls of each service. The Resource Groups Tagging API would
need fewer calls, but it omits IAM roles and resources that never had a tag (a log group that was
created again), still returns deleted resources for a while, and promises no complete list.
"""

from gpustation.leftovers.find import find_leftovers
from gpustation.leftovers.result import Leftover, NotChecked, Result

__all__ = ["Leftover", "NotChecked", "Result", "find_leftovers"]
