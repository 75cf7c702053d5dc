"""Lambda functions of this library: their code, role and log group."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from gpustation.synth.acknowledge import acknowledge_checkov, acknowledge_wildcards
from gpustation.synth.archives import package_zip
from gpustation.synth.file_asset import FileAsset
from gpustation.synth.log_group import add_log_group

_PACKAGES = ("aws", "catalog", "handlers")
"""Packages of this library that the code of a Lambda function contains."""

RUNTIME = "python3.14"
"""Newest Python runtime of Lambda, as required by cdk-nag's rule L1."""

FUNCTION_TIMEOUT = Duration.minutes(5)
"""Longest run: three calls in sequence, each denied for a minute while the role is new."""

MEMORY_MIB = 256
"""Enough for the AWS clients and their threads; CPU is allocated in proportion to memory."""

_NO_NETWORK = (
    "it calls AWS's public APIs alone; from a network of its own it would need a NAT gateway, for "
    "32 USD a month"
)

_NO_SECRETS = (
    "Lambda encrypts it anyway; it holds names of resources and settings, and a key of one's own "
    "is 1 USD a month"
)

_Self = TypeVar("_Self", bound="LambdaFunction")


@functools.cache
def _code() -> bytes:
    """Zip of the code of all functions, packed once per app."""
    return package_zip(Path(__file__).parents[1], _PACKAGES)


class LambdaFunction(Construct):
    """Lambda function with a role and a log group of its own.

    One function serves all generations of a stack; so use ``of`` instead of the constructor.

    The role cannot create log groups: the group belongs to the stack, and a late log line must not
    create it again after ``cdk destroy``. It uses L1 constructs, because loading the L2 constructs
    would add half a second to every synth.

    Args:
        scope: The stack.
        construct_id: ID unique within the stack.
        module: Module in ``handlers/`` whose ``on_event`` is the entry point.
        description: Description in the Lambda console.
        environment: Environment variables of the function. Default: none.

    Attributes:
        findings: Reason by id of checkov's findings about the function.
    """

    findings: ClassVar[Mapping[str, str]]

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        module: str,
        description: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._statements: dict[str, iam.PolicyStatement] = {}
        self._allowed: dict[str, list[str]] = {}
        log_group = add_log_group(self, "Logs")
        # Only functions of this account (Lambda's developer guide, "execution role")
        own_account = {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com", conditions=own_account),
        )
        # The attribute ends with ":*", for all streams of the group
        self.allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [log_group.attr_arn])
        code = FileAsset.of_bytes(self, name="Code", suffix=".zip", content=_code())
        function = lambda_.CfnFunction(
            self,
            "Function",
            description=description,
            runtime=RUNTIME,
            architectures=["arm64"],
            code=lambda_.CfnFunction.CodeProperty(
                s3_bucket=code.bucket_name, s3_key=code.object_key
            ),
            handler=f"gpustation.handlers.{module}.on_event",
            role=self.role.role_arn,
            logging_config=lambda_.CfnFunction.LoggingConfigProperty(log_group=log_group.ref),
            timeout=int(FUNCTION_TIMEOUT.to_seconds()),
            memory_size=MEMORY_MIB,
            environment=(
                lambda_.CfnFunction.EnvironmentProperty(variables=environment)
                if environment
                else None
            ),
        )
        findings = {**self.findings, "CKV_AWS_117": _NO_NETWORK}
        if environment:
            findings["CKV_AWS_173"] = _NO_SECRETS
        acknowledge_checkov(function, findings)
        function.node.add_dependency(self.role)  # includes its policy, a separate resource
        self.function_arn = function.attr_arn

    @classmethod
    def of(
        cls: type[_Self],
        scope: Construct,
        construct_id: str,
        *,
        module: str,
        description: str,
        environment: Mapping[str, str] | None = None,
    ) -> _Self:
        """The function with this id in the scope's stack, created at the first call."""
        stack = Stack.of(scope)
        existing = stack.node.try_find_child(construct_id)
        if isinstance(existing, cls):
            return existing
        return cls(
            stack,
            construct_id,
            module=module,
            description=description,
            environment=environment,
        )

    def allow(
        self,
        sid: str,
        actions: list[str],
        resources: list[str],
        conditions: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Adds a statement to the role's policy, which is created before the function.

        Several custom resources share the function, and a Sid must be unique within a policy: a
        second call with the same Sid adds its resources to the statement.

        Args:
            sid: Id of the statement. Calls with the same Sid must have the same actions and
                conditions.
            actions: IAM actions.
            resources: ARNs, or ``*``.
            conditions: IAM conditions by operator. Default: none.
        """
        allowed = self._allowed.setdefault(sid, [])
        added = [resource for resource in resources if resource not in allowed]
        allowed += added
        if sid in self._statements:
            if added:
                self._statements[sid].add_resources(*added)
            return
        statement = iam.PolicyStatement(
            sid=sid, actions=sorted(actions), resources=resources, conditions=conditions
        )
        self._statements[sid] = statement
        self.role.add_to_policy(statement)

    def allow_on_all(self, sid: str, actions: list[str], reason: str) -> None:
        """Adds a statement for actions without resource-level permissions.

        Args:
            sid: Id of the statement.
            actions: IAM actions.
            reason: Why the resource is ``*``, for the acknowledgement.
        """
        self.allow(sid, actions, ["*"])
        acknowledge_wildcards(self.role, {"*": f"{sid}: {reason}"})
