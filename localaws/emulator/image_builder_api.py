"""Image Builder's own API, as far as a person looks at what there is."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
NAME = "imagebuilder"
LISTS = {
    "ListComponents": (COMPONENT, "componentVersionList"),
    "ListImageRecipes": (RECIPE, "imageRecipeSummaryList"),
    "ListImages": (IMAGE, "imageVersionList"),
    "ListInfrastructureConfigurations": (
        INFRASTRUCTURE,
        "infrastructureConfigurationSummaryList",
    ),
    "ListDistributionConfigurations": (DISTRIBUTION, "distributionConfigurationSummaryList"),
}
ONES = {
    "GetComponent": (COMPONENT, "component", "componentBuildVersionArn"),
    "GetImage": (IMAGE, "image", "imageBuildVersionArn"),
    "GetImageRecipe": (RECIPE, "imageRecipe", "imageRecipeArn"),
}


def install(builder: ImageBuilder) -> None:
    """Add the service."""
    router.SERVICE_PATTERNS[NAME] = {"target_prefixes": [], "host_patterns": []}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[NAME] = NAME

    async def service(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        try:
            return _json(200, _answer(builder, path.strip("/"), query))
        except ApiError as error:
            status, _, text = _json(error.status, {"message": error.message})
            return status, {"x-amzn-errortype": error.code}, text

    app.SERVICE_HANDLERS[NAME] = service


def _answer(builder: ImageBuilder, operation: str, query: Mapping[str, Any]) -> dict[str, Any]:
    if operation in LISTS:
        kind, member = LISTS[operation]
        return {member: [_shown(entry) for entry in builder.all(kind)]}
    if operation in ONES:
        kind, member, name = ONES[operation]
        given = query.get(name, "")
        arn = unquote(given[0] if isinstance(given, list) else given)
        return {member: _shown(builder.get(arn, kind))}
    raise ApiError("InvalidRequestException", f"the embedded AWS has no {operation}")


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
