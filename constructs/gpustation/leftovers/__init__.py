"""What is left in an account of stacks that are gone: asked for, priced, and how to remove it.

``gpustation leftovers`` after ``cdk destroy`` is the proof that nothing costs any more.
docs/leftovers.md says what is looked at and which permissions that needs.

It asks the plain List and Describe calls of each service, and not the Resource Groups Tagging API:
that one knows no IAM roles, nothing that was never tagged (a log group that a late line brought
back), goes on to show what is gone for a while, and is not said to be complete at any moment. The
price is one call per role, policy, function, log group and parameter of the account, to read their
tags; eight go at a time.

Whatever could not be asked is part of the result: a missing permission is no clean account.
"""

from gpustation.leftovers.find import find_leftovers
from gpustation.leftovers.result import Leftover, NotChecked, Result

__all__ = ["Leftover", "NotChecked", "Result", "find_leftovers"]
