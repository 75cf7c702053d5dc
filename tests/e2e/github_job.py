"""A session of the deploy role, as a job of GitHub Actions has one after STS took its token.

Whom the role trusts is asserted on the template (tests/infra/test_gpu_deploy_role_stack.py): the
embedded AWS issues no tokens, so its sessions come from `Control.role_session`.
"""

from typing import Any

import boto3

from localaws import LocalAws

ISSUER = "https://token.actions.githubusercontent.com"
REPOSITORY = "octo-org/octo-repo"
SUBJECT = f"repo:{REPOSITORY}:environment:production"


def session_of(aws: LocalAws, role_arn: str) -> dict[str, str]:
    """The session's variables, as ``aws-actions/configure-aws-credentials`` sets them."""
    return aws.control.role_session(role_arn.rpartition("/")[2])


def trusted_subject(aws: LocalAws, role_arn: str) -> str:
    """The subject that the deployed role's trust policy requires of a token."""
    role = aws.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    return str(statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"])


def client(aws: LocalAws, session: dict[str, str], service: str) -> Any:
    """A client of the embedded AWS that acts as the session."""
    make: Any = boto3.client  # its overloads want a literal service name
    return make(
        service,
        region_name=aws.region,
        endpoint_url=aws.url,
        aws_access_key_id=session["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=session["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=session["AWS_SESSION_TOKEN"],
    )


def outputs(aws: LocalAws, stack: str) -> dict[str, str]:
    """Outputs of a stack."""
    (described,) = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {row["OutputKey"]: row["OutputValue"] for row in described["Outputs"]}
