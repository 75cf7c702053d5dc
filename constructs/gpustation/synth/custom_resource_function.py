"""The Lambda functions behind the custom resources, one per kind and stack."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from gpustation.synth.acknowledge import acknowledge_checkov, acknowledge_wildcards
from gpustation.synth.archives import package_zip
from gpustation.synth.file_asset import FileAsset
from gpustation.synth.log_group import add_log_group

_PACKAGES = ("aws", "catalog", "handlers")
"""Packages of this library that the code of a Lambda function holds."""

RUNTIME = "python3.14"
"""The newest that Lambda offers, as cdk-nag's L1 demands."""

FUNCTION_TIMEOUT = Duration.minutes(5)
"""Longest run: three calls in a row that are each refused for a minute by a fresh role."""

MEMORY_MIB = 256
"""Four AWS clients and their threads fit; with memory comes the share of a processor."""

ANSWER_TIMEOUT = Duration.minutes(6)
"""How long CloudFormation waits for a function that died without an answer."""


@functools.cache
def _code() -> bytes:
    """The code of all functions, packed once for all stacks of an app."""
    return package_zip(Path(__file__).parents[1], _PACKAGES)


class CustomResourceFunction(Construct):
    """Plain Lambda function that answers CloudFormation itself.

    A Provider would double the resources and bury the text under a Node.js stack trace. One
    function serves all generations of a stack, because the token of a custom resource cannot
    change; so get it by ``of`` and not by the constructor.

    The role has no right to create log groups: the group belongs to the stack, and a late log line
    cannot bring it back after ``cdk destroy``. L1 resources, because the L2 ones bring half a
    second of synth with them that nothing here needs.

    Args:
        scope: The stack.
        construct_id: Name of the kind, unique in the stack.
        module: Module in ``handlers/`` whose ``on_event`` is the entry point.
        description: What the function is for, as the Lambda console shows it.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, module: str, description: str
    ) -> None:
        super().__init__(scope, construct_id)
        self._statements: dict[str, iam.PolicyStatement] = {}
        self._allowed: dict[str, list[str]] = {}
        log_group = add_log_group(self, "Logs")
        # Only for functions of this account (Lambda's developer guide, "execution role")
        own_account = {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com", conditions=own_account),
        )
        # The attribute ends with ":*": all streams of this one group
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
        )
        acknowledge_checkov(
            function,
            {
                "CKV_AWS_115": "CloudFormation calls it a few times per deploy; reserving for it "
                "fails in accounts whose limit is the first one, of 10",
                "CKV_AWS_116": "a call that is lost fails the deploy after service_timeout, which "
                "is where a person looks; nobody would read a queue",
                "CKV_AWS_117": "it calls AWS's public APIs alone; from a network of its own it "
                "would need a NAT gateway, for 32 USD a month",
            },
        )
        function.node.add_dependency(self.role)  # the policy too, which is a resource of its own
        self.function_arn = function.attr_arn

    @classmethod
    def of(
        cls, scope: Construct, construct_id: str, *, module: str, description: str
    ) -> CustomResourceFunction:
        """The function of this kind in the scope's stack, made at the first call."""
        stack = Stack.of(scope)
        found = stack.node.try_find_child(construct_id)
        if isinstance(found, cls):
            return found
        return cls(stack, construct_id, module=module, description=description)

    def allow(
        self,
        sid: str,
        actions: list[str],
        resources: list[str],
        conditions: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Allows something in the role's policy, which is in force before the function.

        Several custom resources share the function, and IAM takes a Sid once per policy: a further
        call with the same Sid adds its resources to the statement.

        Args:
            sid: Name of the statement. The same one means the same actions and conditions.
            actions: IAM actions.
            resources: ARNs, or ``*``.
            conditions: IAM conditions by operator. Default: none.
        """
        fresh = [one for one in resources if one not in self._allowed.setdefault(sid, [])]
        self._allowed[sid] += fresh
        if sid in self._statements:
            if fresh:
                self._statements[sid].add_resources(*fresh)
            return
        statement = iam.PolicyStatement(
            sid=sid, actions=sorted(actions), resources=resources, conditions=conditions
        )
        self._statements[sid] = statement
        self.role.add_to_policy(statement)

    def allow_on_all(self, sid: str, actions: list[str], reason: str) -> None:
        """Adds a statement of actions that take no resource, with the reason why ``*`` stays."""
        self.allow(sid, actions, ["*"])
        acknowledge_wildcards(self.role, {"*": f"{sid}: {reason}"})
