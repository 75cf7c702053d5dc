"""A small template that builds an image, and the documents of its components."""

from __future__ import annotations

import json
from typing import Any

from localaws import LocalAws
from tests.support.probe_stack import UBUNTU, network, role

MANAGED = "arn:aws:iam::aws:policy/"
LIFECYCLE = "service-role/EC2ImageBuilderLifecycleExecutionPolicy"
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
    data: str, version: str = "1.0.0", *, delete: bool = True, log_group: bool = True, **image: Any
) -> Resources:
    """Everything that an image needs, with one component of this document and version."""
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 30, "VolumeType": "gp3"}}
    resources = {
        **network(),
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "probe", "VpcId": {"Ref": "Vpc"}},
        },
        "Role": role("ec2", Action="s3:GetObject", Resource="*"),
        "Cleaner": cleaner(),
        "Profile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"Roles": [{"Ref": "Role"}]},
        },
        "Component": component(data, version),
        "Recipe": typed(
            "ImageRecipe",
            Name="probe",
            Version=version,
            ParentImage=f"ssm:{UBUNTU}",
            Components=[{"ComponentArn": arn("Component")}],
            BlockDeviceMappings=[disk],
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
        "Distribution": typed(
            "DistributionConfiguration",
            Name="probe",
            Distributions=[
                {
                    "Region": "us-east-1",
                    "AmiDistributionConfiguration": {
                        "Name": "probe-{{ imagebuilder:buildDate }}",
                        "AmiTags": {"gpustation": "probe"},
                    },
                }
            ],
        ),
        "Image": typed(
            "Image",
            ImageRecipeArn=arn("Recipe"),
            InfrastructureConfigurationArn=arn("Infrastructure"),
            DistributionConfigurationArn=arn("Distribution"),
            **image,
        ),
    }
    logs = [f"{MANAGED}EC2InstanceProfileForImageBuilder"]
    resources["Role"]["Properties"]["ManagedPolicyArns"] = logs
    if log_group:
        properties = {"LogGroupName": "/aws/imagebuilder/probe", "RetentionInDays": 30}
        resources["Log"] = {"Type": "AWS::Logs::LogGroup", "Properties": properties}
        resources["Image"]["DependsOn"] = ["Log"]
    if delete:
        resources["Image"]["Properties"]["DeletionSettings"] = {"ExecutionRole": arn("Cleaner")}
    return resources


def cleaner() -> dict[str, Any]:
    """The role that deletes images, with AWS's own policy."""
    made = role("imagebuilder")
    made["Properties"]["ManagedPolicyArns"] = [f"{MANAGED}{LIFECYCLE}"]
    return made


def living(aws: LocalAws) -> list[str]:
    """Kinds of what is left of builds: images, snapshots, instances, volumes, log groups."""
    kinds = {"image", "snapshot", "instance", "volume", "log group", "built image"}
    return [row.kind for row in aws.leftovers() if row.kind in kinds]


OUTPUTS = {
    "ImageId": {"Value": {"Fn::GetAtt": ["Image", "ImageId"]}},
    "Arn": {"Value": {"Ref": "Image"}},
    "Latest": {"Value": {"Fn::GetAtt": ["Component", "LatestVersion.Major"]}},
}
