"""IAM, which belongs to no region: roles, their profiles, policies, identity providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpustation.leftovers import prices
from gpustation.leftovers.account import tags_of
from gpustation.leftovers.result import GLOBAL, Leftover, chain, command
from gpustation.leftovers.search import Search
from gpustation.leftovers.stacks import Stacks

Found = Mapping[str, Any]
AWS_OWN = "/aws-service-role/"
"""Path of the roles that services make for themselves."""


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left."""
    elsewhere = _Elsewhere(search)
    profiles = list(_profiles(search, elsewhere))
    yield from profiles
    yield from _roles(search, elsewhere, {row.id for row in profiles})
    yield from _policies(search, elsewhere)
    yield from _providers(search, elsewhere)


class _Elsewhere:
    """The stacks of the other regions, asked once something of IAM seems to be left here.

    A region that does not answer may hold the owner, so then nothing is called left; the failure
    is in the result.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._asked = False
        self._stacks: list[Stacks] | None = None

    def left(self, tags: Mapping[str, str], *ids: str, name: str = "") -> str:
        """As ``Search.left``, where a stack of any enabled region may own it."""
        why = self._search.left(tags, *ids, name=name)
        others = self._others() if why else []
        if others is None or any(not one.known or one.owns(tags, *ids) for one in others):
            return ""
        return why

    def _others(self) -> list[Stacks] | None:
        if not self._asked:
            self._asked = True
            account, names = self._search.account, self._search.names
            rows = account.ask("ec2", "describe_regions", "Regions")
            if rows is not None:
                others = {row["RegionName"] for row in rows} - {account.region}
                made = account.each(sorted(others), lambda one: Stacks(account, names, one))
                self._stacks = [stacks for _, stacks in made]
        return self._stacks


def _profiles(search: Search, elsewhere: _Elsewhere) -> Iterator[Leftover]:
    found = search.account.list("iam", "list_instance_profiles", "InstanceProfiles")

    def tags(profile: Found) -> Any:
        return search.account.list(
            "iam",
            "list_instance_profile_tags",
            "Tags",
            InstanceProfileName=profile["InstanceProfileName"],
        )

    for profile, raw in search.account.each(found, tags):
        name = profile["InstanceProfileName"]
        why = elsewhere.left(tags_of(raw), name, profile["Arn"], name=name)
        if why:
            named = {"instance_profile_name": name}
            emptied = [
                command(
                    "iam remove-role-from-instance-profile", **named, role_name=role["RoleName"]
                )
                for role in profile.get("Roles", [])
            ]
            removal = chain(*emptied, command("iam delete-instance-profile", **named))
            yield _row("instance profile", name, profile, why, removal)


def _roles(search: Search, elsewhere: _Elsewhere, profiles: set[str]) -> Iterator[Leftover]:
    """Roles; profiles that are left are removed before them."""
    found = search.account.list("iam", "list_roles", "Roles")
    own = [role for role in found if not role["Path"].startswith(AWS_OWN)]

    def tags(role: Found) -> Any:
        return search.account.list("iam", "list_role_tags", "Tags", RoleName=role["RoleName"])

    for role, raw in search.account.each(own, tags):
        name = role["RoleName"]
        why = elsewhere.left(tags_of(raw), name, role["Arn"], name=name)
        if why:
            yield _row("role", name, role, why, _role_removal(search, name, profiles))


def _role_removal(search: Search, name: str, profiles: set[str]) -> str:
    """IAM deletes a role only once nothing hangs on it."""
    ask, named = search.account.list, {"RoleName": name}
    inline = ask("iam", "list_role_policies", "PolicyNames", **named)
    attached = ask("iam", "list_attached_role_policies", "AttachedPolicies", **named)
    used = ask("iam", "list_instance_profiles_for_role", "InstanceProfiles", **named)
    option = {"role_name": name}
    return chain(
        *(command("iam delete-role-policy", **option, policy_name=one) for one in inline),
        *(
            command("iam detach-role-policy", **option, policy_arn=one["PolicyArn"])
            for one in attached
        ),
        *(
            command(
                "iam remove-role-from-instance-profile",
                **option,
                instance_profile_name=one["InstanceProfileName"],
            )
            for one in used
            if one["InstanceProfileName"] not in profiles
        ),
        command("iam delete-role", **option),
    )


def _policies(search: Search, elsewhere: _Elsewhere) -> Iterator[Leftover]:
    found = search.account.list("iam", "list_policies", "Policies", Scope="Local")

    def tags(policy: Found) -> Any:
        return search.account.list("iam", "list_policy_tags", "Tags", PolicyArn=policy["Arn"])

    for policy, raw in search.account.each(found, tags):
        why = elsewhere.left(tags_of(raw), policy["Arn"], name=policy["PolicyName"])
        if why:
            used = search.account.list(
                "iam", "list_entities_for_policy", "PolicyRoles", PolicyArn=policy["Arn"]
            )
            option = {"policy_arn": policy["Arn"]}
            removal = chain(
                *(
                    command("iam detach-role-policy", role_name=one["RoleName"], **option)
                    for one in used
                ),
                command("iam delete-policy", **option),
            )
            yield _row("policy", policy["Arn"], policy, why, removal)


def _providers(search: Search, elsewhere: _Elsewhere) -> Iterator[Leftover]:
    found = search.account.list(
        "iam", "list_open_id_connect_providers", "OpenIDConnectProviderList"
    )

    def tags(provider: Found) -> Any:
        return search.account.list(
            "iam",
            "get_open_id_connect_provider",
            "Tags",
            OpenIDConnectProviderArn=provider["Arn"],
        )

    for provider, raw in search.account.each(found, tags):
        arn = provider["Arn"]
        why = elsewhere.left(tags_of(raw), arn)
        if why:
            removal = command(
                "iam delete-open-id-connect-provider", open_id_connect_provider_arn=arn
            )
            why += "; an account has one per issuer: roles of others may trust it by now"
            yield _row("OIDC provider", arn, {}, why, removal)


def _row(kind: str, name: str, found: Found, why: str, removal: str) -> Leftover:
    created = found.get("CreateDate")
    return Leftover(kind, name, GLOBAL, created, 0.0, prices.FREE, why, removal)
