"""Image Builder's own API, as far as a person looks at what there is, and makes or removes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id, get_region

from localaws.emulator.image_builder import (
    COMPONENT,
    DISTRIBUTION,
    IMAGE,
    INFRASTRUCTURE,
    RECIPE,
    Entry,
    ImageBuilder,
)
from localaws.errors import ApiError

Answer = tuple[int, dict[str, str], bytes]
Asked = Mapping[str, Any]
NAME = "imagebuilder"
VERSIONS = {
    "ListComponents": (COMPONENT, "componentVersionList"),
    "ListImages": (IMAGE, "imageVersionList"),
}
"""What is listed by versions, whose ARNs have no build number."""
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
ONES = {
    "GetComponent": (COMPONENT, "component", "componentBuildVersionArn"),
    "GetImage": (IMAGE, "image", "imageBuildVersionArn"),
    "GetImageRecipe": (RECIPE, "imageRecipe", "imageRecipeArn"),
}
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
"""Deletions of one resource; that of an image leaves the AMI, as on AWS."""
_NAMED = {"SemanticVersion": "Version"}
"""Where CloudFormation calls a member otherwise."""


def install(builder: ImageBuilder) -> None:
    """Add the service."""
    router.SERVICE_PATTERNS[NAME] = {"target_prefixes": [], "host_patterns": []}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[NAME] = NAME

    async def service(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        try:
            asked = json.loads(body or b"{}") | {name: _first(query[name]) for name in query}
            return _json(200, _answer(builder, path.strip("/"), asked))
        except ApiError as error:
            status, _, text = _json(error.status, {"message": error.message})
            return status, {"x-amzn-errortype": error.code}, text

    app.SERVICE_HANDLERS[NAME] = service


def _answer(builder: ImageBuilder, operation: str, asked: Asked) -> dict[str, Any]:
    for operations, answer in _ANSWERS:
        if operation in operations:
            return answer(builder, operation, asked)
    raise ApiError("InvalidRequestException", f"the embedded AWS has no {operation}")


def _versions(builder: ImageBuilder, operation: str, asked: Asked) -> dict[str, Any]:
    kind, member = VERSIONS[operation]
    rows = {_version_arn(one): _shown(one) for one in builder.all(kind)}
    return {member: [{**row, "arn": arn} for arn, row in rows.items()]}


def _listed(builder: ImageBuilder, operation: str, asked: Asked) -> dict[str, Any]:
    kind, member, name = LISTS[operation]
    wanted = asked.get(name)
    rows = [one for one in builder.all(kind) if wanted in (None, _version_arn(one))]
    return {member: [_shown(entry) for entry in rows]}


def _one(builder: ImageBuilder, operation: str, asked: Asked) -> dict[str, Any]:
    kind, member, name = ONES[operation]
    return {member: _shown(builder.get(asked.get(name, ""), kind))}


def _created(builder: ImageBuilder, operation: str, asked: Asked) -> dict[str, Any]:
    kind, name = CREATIONS[operation]
    return {name: builder.add(kind, _properties(asked)).arn}


def _deleted(builder: ImageBuilder, operation: str, asked: Asked) -> dict[str, Any]:
    name = DELETIONS[operation]
    entry = builder.find(asked[name])
    if entry is None:
        raise ApiError(
            "ResourceNotFoundException", f"The resource with arn '{asked[name]}' does not exist."
        )
    builder.remove(entry.arn)
    return {name: entry.arn}


_ANSWERS: tuple[tuple[Mapping[str, Any], Callable[..., dict[str, Any]]], ...] = (
    (VERSIONS, _versions),
    (LISTS, _listed),
    (ONES, _one),
    (CREATIONS, _created),
    (DELETIONS, _deleted),
)


def _first(value: Any) -> str:
    return unquote(value[0] if isinstance(value, list) else value)


def _version_arn(entry: Entry) -> str:
    """An ARN without the number of the build."""
    return entry.arn.rpartition("/")[0]


def _properties(asked: Any) -> Any:
    """A request in the form of CloudFormation's properties; tags keep their keys."""
    if isinstance(asked, list):
        return [_properties(one) for one in asked]
    if not isinstance(asked, dict):
        return asked
    found = {}
    for name, value in asked.items():
        key = name[0].upper() + name[1:]
        kept = key in ("Tags", "AmiTags", "ResourceTags")
        found[_NAMED.get(key, key)] = value if kept else _properties(value)
    return found


def _shown(entry: Entry) -> dict[str, Any]:
    """A resource in the API's form; members of other kinds do no harm."""
    shown: dict[str, Any] = {
        "arn": entry.arn,
        "name": entry.name,
        "version": entry.version,
        "platform": "Linux",
        "owner": get_account_id(),
        "dateCreated": entry.created,
        "tags": entry.properties.get("Tags") or {},
    }
    if entry.document is not None:
        shown |= {"type": entry.document.kind, "data": entry.properties["Data"]}
    if entry.kind == IMAGE:
        amis = [{"region": get_region(), "image": entry.image_id, "accountId": get_account_id()}]
        shown |= {"state": {"status": "AVAILABLE"}, "outputResources": {"amis": amis}}
    return shown


def _json(status: int, content: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
