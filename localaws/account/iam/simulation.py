"""SimulatePrincipalPolicy for users and roles with a path, which ministack does not find."""

from __future__ import annotations

from typing import Any

from ministack.services import iam

OPERATION = "SimulatePrincipalPolicy"
_SOURCE = "PolicySourceArn"


def install() -> None:
    """Look up a user or role by its name alone.

    Upstream everything after `role/` counts as the name, so that a role with a path has no policies
    and nothing is allowed to it.
    """
    plain = iam._IAM_HANDLERS[OPERATION]

    def simulate(parameters: dict[str, Any]) -> Any:
        arn = str(iam._p(parameters, _SOURCE))
        kind, _, path = arn.rpartition(":")[2].partition("/")
        start = arn.removesuffix(f"{kind}/{path}")
        named = f"{start}{kind}/{path.rpartition('/')[2]}" if path else arn
        return plain({**parameters, _SOURCE: [named]})

    iam._IAM_HANDLERS[OPERATION] = simulate
