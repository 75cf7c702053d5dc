"""Image Builder's own API: what `gpustation leftovers` lists and deletes, and its tests create."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id

from localaws.account.errors import ApiError
from localaws.image_builder.service import (
    COMPONENT,
    DISTRIBUTION,
    IMAGE,
    INFRASTRUCTURE,
    RECIPE,
    Entry,
    ImageBuilder,
)

Answer = tuple[int, dict[str, str], bytes]
Request = Mapping[str, Any]
NAME = "imagebuilder"
VERSIONS = {
    "ListComponents": (COMPONENT, "componentVersionList"),
    "ListImages": (IMAGE, "imageVersionList"),
}
"""Lists of versions, whose ARNs have no build number: kind, member of the response."""
LISTS = {
    "ListComponentBuildVersions": (COMPONENT, "componentSummaryList", "componentVersionArn"),
    "ListImageBuildVersions": (IMAGE, "imageSummaryList", "imageVersionArn"),
    "ListImageRecipes": (RECIPE, "imageRecipeSummaryList", ""),
    "ListInfrastructureConfigurations": (
        *(INFRASTRUCTURE, "infrastructureConfigurationSummaryList"),
        "",
    ),
    "ListDistributionConfigurations": (
        *(DISTRIBUTION, "distributionConfigurationSummaryList"),
        "",
    ),
}
"""Lists of resources: kind, member of the response, parameter that names a version."""
CREATIONS = {
    "CreateComponent": (COMPONENT, "componentBuildVersionArn"),
    "CreateImageRecipe": (RECIPE, "imageRecipeArn"),
    "CreateInfrastructureConfiguration": (INFRASTRUCTURE, "infrastructureConfigurationArn"),
    "CreateDistributionConfiguration": (DISTRIBUTION, "distributionConfigurationArn"),
}
DELETIONS = {
    "DeleteComponent": "componentBuildVersionArn",
    "DeleteImage": "imageBuildVersionArn",
    "DeleteImageRecipe": "imageRecipeArn",
    "DeleteInfrastructureConfiguration": "infrastructureConfigurationArn",
    "DeleteDistributionConfiguration": "distributionConfigurationArn",
}
"""Deletions of one resource; DeleteImage leaves the AMI, as on AWS."""


def install(builder: ImageBuilder) -> None:
    """Add the service to ministack."""
    router.SERVICE_PATTERNS[NAME] = {"target_prefixes": [], "host_patterns": []}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[NAME] = NAME

    async def service(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        try:
            request = json.loads(body or b"{}") | {name: _first(query[name]) for name in query}
            return _json(200, _response(builder, path.strip("/"), request))
        except ApiError as error:
            status, _, text = _json(error.status, {"message": error.message})
            return status, {"x-amzn-errortype": error.code}, text

    app.SERVICE_HANDLERS[NAME] = service


def _response(builder: ImageBuilder, operation: str, request: Request) -> dict[str, Any]:
    if operation in VERSIONS:
        kind, member = VERSIONS[operation]
        rows = {_version_arn(entry): _shown(entry) for entry in builder.all(kind)}
        return {member: [{**row, "arn": arn} for arn, row in rows.items()]}
    if operation in LISTS:
        kind, member, parameter = LISTS[operation]
        version = request.get(parameter)
        entries = [e for e in builder.all(kind) if version in (None, _version_arn(e))]
        return {member: [_shown(entry) for entry in entries]}
    if operation in CREATIONS:
        kind, member = CREATIONS[operation]
        return {member: builder.add(kind, _properties(request)).arn}
    if operation in DELETIONS:
        member = DELETIONS[operation]
        entry = builder.get(request[member])
        builder.remove(entry.arn)
        return {member: entry.arn}
    raise ApiError("InvalidRequestException", f"the embedded AWS has no {operation}")


def _first(value: Any) -> str:
    return unquote(value[0] if isinstance(value, list) else value)


def _version_arn(entry: Entry) -> str:
    """An ARN without the number of the build."""
    return entry.arn.rpartition("/")[0]


def _properties(request: Request) -> dict[str, Any]:
    """A request's parameters under CloudFormation's names."""
    properties = {name[0].upper() + name[1:]: value for name, value in request.items()}
    if "SemanticVersion" in properties:
        properties["Version"] = properties.pop("SemanticVersion")
    return properties


def _shown(entry: Entry) -> dict[str, Any]:
    """A resource in the API's form."""
    shown: dict[str, Any] = {
        "arn": entry.arn,
        "name": entry.name,
        "version": entry.version,
        "platform": "Linux",
        "owner": get_account_id(),
        "dateCreated": entry.created,
        "tags": entry.properties.get("Tags") or {},
    }
    if entry.kind == IMAGE:
        shown["state"] = {"status": "AVAILABLE"}
    return shown


def _json(status: int, content: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
