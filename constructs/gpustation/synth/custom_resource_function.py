"""The Lambda functions of the custom resources, one per resource type and stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aws_cdk import Duration

from gpustation.synth.lambda_function import LambdaFunction

RESPONSE_TIMEOUT = Duration.minutes(6)
"""How long CloudFormation waits for a response, if the function ends without one."""


class CustomResourceFunction(LambdaFunction):
    """Lambda function that sends its response to CloudFormation itself.

    The Provider framework would double the number of resources and add a Node.js stack trace to
    error messages. The service token of a custom resource cannot change, so one function serves
    all generations of a stack.
    """

    findings: ClassVar[Mapping[str, str]] = {
        "CKV_AWS_115": "CloudFormation calls it a few times per deploy; reserving for it fails in "
        "accounts whose limit is the first one, of 10",
        "CKV_AWS_116": "a call that is lost fails the deploy after service_timeout, which is where "
        "a person looks; nobody would read a queue",
    }
