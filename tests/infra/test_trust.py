"""Who may assume a role: no service does it for another account."""

import pytest

from tests.infra.test_clean_end import TEMPLATES

NEEDS_NO_ACCOUNT = {
    "ec2.amazonaws.com": "EC2 takes a role from an instance profile of the instance's own account "
    "(iam:PassRole does not reach across), and no documentation promises that it names a source",
}
"""Services that cannot be talked into another account's role, each with the reason."""
OF_A_JOB = {
    "token.actions.githubusercontent.com:aud",
    "token.actions.githubusercontent.com:sub",
}


@pytest.mark.parametrize("stack", TEMPLATES)
def test_nobody_assumes_a_role_for_another_account(stack: str) -> None:
    roles = TEMPLATES[stack]().find_resources("AWS::IAM::Role").values()
    assert roles
    for role in roles:
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = statement["Principal"].get("Service")
        equal = statement.get("Condition", {}).get("StringEquals", {})
        if service is None:
            assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
            assert statement["Principal"].keys() == {"Federated"}
            assert statement["Condition"].keys() == {"StringEquals"}
            assert equal.keys() == OF_A_JOB
        elif service not in NEEDS_NO_ACCOUNT:
            # Scheduler also names the group of schedules
            source = equal.pop("aws:SourceArn", None)
            assert (source is not None) == (service == "scheduler.amazonaws.com")
            assert equal == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}, service
