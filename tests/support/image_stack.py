"""A small template that builds an image, and the documents of its components."""

from __future__ import annotations

import json
from typing import Any

from localaws import LocalAws
from tests.support.probe_stack import UBUNTU, network, role

LOG = "/aws/imagebuilder/probe"
WRITES = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
DELETES = ["ec2:DeregisterImage", "ec2:DeleteSnapshot"]
Resources = dict[str, Any]


def step(action: str, inputs: Any = None, name: str = "only", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "action": action,
        **({} if inputs is None else {"inputs": inputs}),
        **more,
    }


def bash(*commands: str, name: str = "only", **more: Any) -> dict[str, Any]:
    return step("ExecuteBash", {"commands": list(commands)}, name, **more)


def document(**phases: list[dict[str, Any]]) -> str:
    rows = [{"name": name, "steps": steps} for name, steps in phases.items()]
    return json.dumps({"schemaVersion": 1.0, "phases": rows})


def typed(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::ImageBuilder::{kind}", "Properties": properties}


def arn(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, "Arn"]}


def component(data: str, version: str = "1.0.0", name: str = "probe") -> dict[str, Any]:
    return typed("Component", Name=name, Platform="Linux", Version=version, Data=data)


def image_stack(
    data: str, version: str = "1.0.0", *, delete: bool = True, **image: Any
) -> Resources:
    """Everything that an image needs, with one component of this document and version."""
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 30, "VolumeType": "gp3"}}
    resources = {
        **network(),
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "probe", "VpcId": {"Ref": "Vpc"}},
        },
        "Role": role("ec2", Action=["s3:GetObject", *WRITES], Resource="*"),
        "Cleaner": role("imagebuilder", Action=DELETES, Resource="*"),
        "Log": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": LOG, "RetentionInDays": 30},
        },
        "Profile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"Roles": [{"Ref": "Role"}]},
        },
        "Component": component(data, version),
        "Recipe": typed(
            "ImageRecipe",
            Name="probe",
            Version=version,
            ParentImage=f"{{{{resolve:ssm:{UBUNTU}}}}}",
            Components=[{"ComponentArn": arn("Component")}],
            BlockDeviceMappings=[disk],
            AmiTags={"gpustation": "probe"},
        ),
        "Infrastructure": typed(
            "InfrastructureConfiguration",
            Name="probe",
            InstanceProfileName={"Ref": "Profile"},
            InstanceTypes=["g4dn.xlarge"],
            SubnetId={"Ref": "Subnet"},
            SecurityGroupIds=[{"Fn::GetAtt": ["Group", "GroupId"]}],
            InstanceMetadataOptions={"HttpTokens": "required"},
        ),
        "Image": typed(
            "Image",
            ImageRecipeArn=arn("Recipe"),
            InfrastructureConfigurationArn=arn("Infrastructure"),
            LoggingConfiguration={"LogGroupName": {"Ref": "Log"}},
            **image,
        ),
    }
    if delete:
        resources["Image"]["Properties"]["DeletionSettings"] = {"ExecutionRole": arn("Cleaner")}
    return resources


def living(aws: LocalAws) -> list[str]:
    """Kinds of what is left of builds: images, snapshots, instances, volumes, log groups."""
    kinds = {"image", "snapshot", "instance", "volume", "log group", "built image"}
    return [row.kind for row in aws.inventory() if row.kind in kinds]


OUTPUTS = {
    "ImageId": {"Value": {"Fn::GetAtt": ["Image", "ImageId"]}},
    "Arn": {"Value": {"Ref": "Image"}},
}
