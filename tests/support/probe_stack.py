"""Stacks by the plain CloudFormation API, and resources to write small templates with."""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from localaws import LocalAws

UBUNTU = "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id"
G_QUOTA = "L-DB2E81BA"
PATIENCE = 600
USER = "User Initiated"
"""Reason of the event with which an operation of a stack begins."""


@dataclass
class Stack:
    """A stack that is deployed by the plain CloudFormation API.

    Attributes:
        patience: Seconds that an operation may take.
    """

    aws: LocalAws
    name: str
    stack_id: str = ""
    patience: float = PATIENCE

    def create(self, resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> str:
        return self.deploy("create_stack", {"Resources": resources, "Outputs": outputs or {}})

    def update(self, resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> str:
        return self.deploy("update_stack", {"Resources": resources, "Outputs": outputs or {}})

    def deploy(self, call: str, template: dict[str, Any], **more: Any) -> str:
        """Create or update with a whole template; returns the final status."""
        answer = getattr(self._cloudformation, call)(
            StackName=self.name,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            **more,
        )
        self.stack_id = answer["StackId"]
        return self.settled()

    def restore(self, template: dict[str, Any]) -> str:
        """Update to an earlier template, unless the stack has it already."""
        try:
            return self.deploy("update_stack", template)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            return "UPDATE_COMPLETE"

    def delete(self, **arguments: Any) -> str:
        self._cloudformation.delete_stack(StackName=self.stack_id, **arguments)
        return self.settled()

    def settled(self) -> str:
        deadline = time.monotonic() + self.patience
        while (status := self.describe()["StackStatus"]).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, f"{self.name} still {status}: {self.events()}"
            time.sleep(0.05)
        return str(status)

    def describe(self) -> dict[str, Any]:
        response = self._cloudformation.describe_stacks(StackName=self.stack_id)
        return dict(response["Stacks"][0])

    def outputs(self) -> dict[str, str]:
        return {o["OutputKey"]: o["OutputValue"] for o in self.describe().get("Outputs", [])}

    def physical_id(self, logical_id: str) -> str:
        answer = self._cloudformation.describe_stack_resource(
            StackName=self.name, LogicalResourceId=logical_id
        )
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])

    def events(self) -> list[tuple[str, str, str]]:
        """Logical id, status and reason of the last operation's events, oldest first.

        A deletion counts to the operation before it.
        """
        pages = self._cloudformation.describe_stack_events(StackName=self.stack_id)["StackEvents"]
        rows = [
            (e["LogicalResourceId"], e["ResourceStatus"], e.get("ResourceStatusReason", ""))
            for e in reversed(pages)
        ]
        begun = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")
        starts = [i for i, row in enumerate(rows) if row[1:] in [(s, USER) for s in begun]]
        return rows[starts[-1] :] if starts else rows

    def reason(self, logical_id: str) -> str:
        """Why a resource failed in the last operation."""
        return next(r for i, s, r in self.events() if i == logical_id and s.endswith("FAILED"))

    @property
    def _cloudformation(self) -> Any:
        return self.aws.client("cloudformation")


def network(zone: str = "us-east-1b") -> dict[str, Any]:
    return {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "CidrBlock": "10.0.0.0/24",
                "AvailabilityZone": zone,
                "MapPublicIpOnLaunch": True,
            },
        },
    }


def instance(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::EC2::Instance",
        "Properties": {
            "ImageId": f"{{{{resolve:ssm:{UBUNTU}}}}}",
            "InstanceType": "g4dn.xlarge",
            "SubnetId": {"Ref": "Subnet"},
            **properties,
        },
    }


def zipped(**files: str) -> bytes:
    """A zip archive; a double underscore in a name stands for a slash."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", text)
    return packed.getvalue()


def role(service: str = "lambda", **allowed: Any) -> dict[str, Any]:
    """A role of a service with one statement, of these `Action` and `Resource`."""
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    trust["Principal"] = {"Service": f"{service}.amazonaws.com"}  # type: ignore[assignment]
    properties: dict[str, Any] = {"AssumeRolePolicyDocument": {"Statement": [trust]}}
    if allowed:
        document = {"Statement": [{"Effect": "Allow", **allowed}]}
        properties["Policies"] = [{"PolicyName": "probe", "PolicyDocument": document}]
    return {"Type": "AWS::IAM::Role", "Properties": properties}
