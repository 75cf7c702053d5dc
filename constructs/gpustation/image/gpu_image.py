"""An AMI for GPU workstations, built by EC2 Image Builder and tested on a GPU."""

from __future__ import annotations

import json

from aws_cdk import Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_imagebuilder as imagebuilder
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from gpustation.catalog.gpu_types import require_fitting
from gpustation.catalog.images import baked_image, image_parameter
from gpustation.image.contents import DISK_GIB, DISK_MIBPS, ImageContents
from gpustation.image.roles import allow_building, deletion_role
from gpustation.image_choice import ImageChoice
from gpustation.synth.file_asset import FileAsset
from gpustation.synth.log_group import add_log_group

TEST_MINUTES = 60
"""Minimum of ``timeoutMinutes``, which the service ignores (Image Builder's API reference)."""


class GpuImage(Construct):
    """AMI with driver, framework and notebooks, built and tested while the stack is deployed.

    It uses L1 constructs, because the L2 constructs of Image Builder are in an alpha package.
    The SSM parameter refers to the built image, so it is updated only after the tests have passed.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope. Changing it builds the image again.
        contents: Contents of the image. A change builds a new image, updates the parameter and
            deletes the old image, which does not affect machines that were started from it.
        choice: Base image and zone. As a choice is constant, use a new one for new contents.
        subnet: Subnet in that zone with a route to the internet and public addresses.
        security_group: Security group of the build machine, which needs no inbound rule.
        name: Setting ``name``: workstations use the image with ``image=baked:<name>``. Default:
            none, so they use it with ``image=baked``.
        retain: Keep old images and their snapshots in the account, where they are billed. Default:
            false; an image is deleted when a newer one replaces it, or with the stack.

    Raises:
        ValueError: The type is not in the catalog or cannot run the framework.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        contents: ImageContents,
        choice: ImageChoice,
        subnet: ec2.PublicSubnet,
        security_group: ec2.ISecurityGroup,
        name: str = "",
        retain: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        require_fitting(contents.instance_type, contents.framework)
        self._contents = contents
        asset = FileAsset.of_bytes(self, name="Scripts", suffix=".tar", content=contents.archive)
        log_group = add_log_group(self, "Logs", name=self._log_group_name())
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        component = self._component(asset)
        allow_building(role, component=component, asset=asset, log_group=log_group)
        self.image = imagebuilder.CfnImage(
            self,
            "Image",
            image_recipe_arn=self._recipe(component, choice).attr_arn,
            infrastructure_configuration_arn=self._infrastructure(
                role, subnet, security_group
            ).attr_arn,
            image_tests_configuration=imagebuilder.CfnImage.ImageTestsConfigurationProperty(
                image_tests_enabled=True, timeout_minutes=TEST_MINUTES
            ),
            # Collecting the list of packages takes minutes and permissions for SSM Inventory
            enhanced_image_metadata_enabled=False,
            logging_configuration=imagebuilder.CfnImage.ImageLoggingConfigurationProperty(
                log_group_name=log_group.ref
            ),
        )
        # Created before the build, and deleted only after the image
        self.image.node.add_dependency(log_group, role, subnet.internet_connectivity_established)
        if not retain:
            deletion = deletion_role(self, "DeletionRole", contents.name, contents.tags)
            self.image.node.add_dependency(deletion)
            self.image.deletion_settings = imagebuilder.CfnImage.DeletionSettingsProperty(
                execution_role=deletion.role_arn
            )
        self.image_id = self.image.attr_image_id
        self.parameter = ssm.CfnParameter(
            self,
            "Parameter",
            name=image_parameter(baked_image(name), contents.framework),
            type="String",
            value=self.image_id,
            description=f"The tested image for {contents.framework}; "
            f"image={baked_image(name)} starts from it",
        )

    def _log_group_name(self) -> str:
        """Name of the log group of the builds, unique to this stack.

        If a stack is deleted during a build, the service may create the group again. The creation
        of a new stack would fail if it used the same name. With a name outside of
        ``/aws/imagebuilder/`` the image would need an execution role.
        """
        stack = Stack.of(self)
        stack_uuid = Fn.select(2, Fn.split("/", stack.stack_id))
        return f"/aws/imagebuilder/{stack.stack_name}/{self._contents.name}/{stack_uuid}"

    def _component(self, asset: FileAsset) -> imagebuilder.CfnComponent:
        contents = self._contents
        document = contents.document(f"s3://{asset.bucket_name}/{asset.object_key}")
        return imagebuilder.CfnComponent(
            self,
            "Component",
            name=contents.name,
            version=contents.version,
            platform="Linux",
            data=json.dumps(document, indent=1),
        )

    def _recipe(
        self, component: imagebuilder.CfnComponent, choice: ImageChoice
    ) -> imagebuilder.CfnImageRecipe:
        contents = self._contents
        return imagebuilder.CfnImageRecipe(
            self,
            "Recipe",
            name=contents.name,
            version=contents.version,
            parent_image=choice.image_id,
            components=[
                imagebuilder.CfnImageRecipe.ComponentConfigurationProperty(
                    component_arn=component.attr_arn
                )
            ],
            block_device_mappings=[
                imagebuilder.CfnImageRecipe.InstanceBlockDeviceMappingProperty(
                    device_name=choice.root_device_name,
                    ebs=imagebuilder.CfnImageRecipe.EbsInstanceBlockDeviceSpecificationProperty(
                        encrypted=True,
                        volume_type="gp3",
                        volume_size=DISK_GIB,
                        throughput=DISK_MIBPS,
                        delete_on_termination=True,
                    ),
                )
            ],
            ami_tags=contents.image_tags,
        )

    def _infrastructure(
        self, role: iam.Role, subnet: ec2.ISubnet, security_group: ec2.ISecurityGroup
    ) -> imagebuilder.CfnInfrastructureConfiguration:
        profile = iam.CfnInstanceProfile(self, "InstanceProfile", roles=[role.role_name])
        return imagebuilder.CfnInfrastructureConfiguration(
            self,
            "Infrastructure",
            name=self._contents.name,
            instance_profile_name=profile.ref,
            instance_types=[self._contents.instance_type],
            subnet_id=subnet.subnet_id,
            security_group_ids=[security_group.security_group_id],
            instance_metadata_options=(
                imagebuilder.CfnInfrastructureConfiguration.InstanceMetadataOptionsProperty(
                    http_tokens="required", http_put_response_hop_limit=1
                )
            ),
            terminate_instance_on_failure=True,
            resource_tags=self._contents.tags,
        )
