"""IAM, which belongs to no region: roles, their profiles, policies, identity providers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from gpustation.leftovers.ours import Ownership
from gpustation.leftovers.result import GLOBAL, Leftover, chain, command, leftover
from gpustation.leftovers.search import Search
from gpustation.leftovers.stacks import Stacks

Found = Mapping[str, Any]
AWS_OWN = "/aws-service-role/"
"""Path of the roles that services make for themselves."""


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left."""
    elsewhere = _Elsewhere(search)
    found = search.account.list("iam", "list_roles", "Roles")
    profiles = list(_profiles(search, elsewhere))
    yield from profiles
    roles = list(_roles(search, elsewhere, found, _certain(profiles)))
    yield from roles
    left = _certain(roles)
    yield from _policies(search, elsewhere, left)
    others = [role for role in found if role["RoleName"] not in left]
    yield from _providers(search, elsewhere, others)


class _Elsewhere:
    """The stacks of the other regions, asked once something of IAM seems to be left here.

    A region that does not answer may hold the owner, so then nothing is called left; the failure
    is in the result.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._asked = False
        self._stacks: list[Stacks] | None = None

    def left(self, tags: Mapping[str, str], *ids: str, name: str = "") -> Ownership | None:
        """As ``Search.left``, where a stack of any enabled region may own it."""
        why = self._search.left(tags, *ids, name=name)
        if why is None:
            return None
        others = self._others()
        if others is None:
            return None
        for stacks, owns in self._search.account.each(others, lambda one: one.owns(tags, *ids)):
            stacks.note_work()
            if owns or not stacks.known:
                return None
            why = _doubted(why, stacks.doubt(tags))
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


def _certain(rows: list[Leftover]) -> set[str]:
    return {row.id for row in rows if not row.doubt}


def _doubted(why: Ownership, doubt: str) -> Ownership:
    return replace(why, doubt=why.doubt or doubt)


def _used(words: str, users: Iterable[str]) -> str:
    """A doubt where others use a thing."""
    named = sorted(users)
    return f"{words} {', '.join(named)}, not left" if named else ""


def _profiles(search: Search, elsewhere: _Elsewhere) -> Iterator[Leftover]:
    found = search.account.list("iam", "list_instance_profiles", "InstanceProfiles")

    def tags(profile: Found) -> Any:
        return search.account.tags(
            "iam",
            "list_instance_profile_tags",
            "Tags",
            InstanceProfileName=profile["InstanceProfileName"],
        )

    for profile, tagged in search.account.each(found, tags):
        name = profile["InstanceProfileName"]
        why = elsewhere.left(tagged, name, profile["Arn"], name=name)
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


def _roles(
    search: Search, elsewhere: _Elsewhere, found: list[Found], profiles: set[str]
) -> Iterator[Leftover]:
    """Roles; profiles that are left are removed before them."""
    own = [role for role in found if not role["Path"].startswith(AWS_OWN)]

    def tags(role: Found) -> Any:
        return search.account.tags("iam", "list_role_tags", "Tags", RoleName=role["RoleName"])

    for role, tagged in search.account.each(own, tags):
        name = role["RoleName"]
        why = elsewhere.left(tagged, name, role["Arn"], name=name)
        if why:
            holding = search.account.list(
                "iam", "list_instance_profiles_for_role", "InstanceProfiles", RoleName=name
            )
            others = {one["InstanceProfileName"] for one in holding} - profiles
            why = _doubted(why, _used("in the instance profile", others))
            yield _row("role", name, role, why, _role_removal(search, name, others))


def _role_removal(search: Search, name: str, profiles: set[str]) -> str:
    """IAM deletes a role only once nothing hangs on it."""
    ask, named = search.account.list, {"RoleName": name}
    inline = ask("iam", "list_role_policies", "PolicyNames", **named)
    attached = ask("iam", "list_attached_role_policies", "AttachedPolicies", **named)
    option = {"role_name": name}
    return chain(
        *(command("iam delete-role-policy", **option, policy_name=one) for one in inline),
        *(
            command("iam detach-role-policy", **option, policy_arn=one["PolicyArn"])
            for one in attached
        ),
        *(
            command("iam remove-role-from-instance-profile", **option, instance_profile_name=one)
            for one in sorted(profiles)
        ),
        command("iam delete-role", **option),
    )


def _policies(search: Search, elsewhere: _Elsewhere, roles: set[str]) -> Iterator[Leftover]:
    found = search.account.list("iam", "list_policies", "Policies", Scope="Local")

    def tags(policy: Found) -> Any:
        return search.account.tags("iam", "list_policy_tags", "Tags", PolicyArn=policy["Arn"])

    for policy, tagged in search.account.each(found, tags):
        why = elsewhere.left(tagged, policy["Arn"], name=policy["PolicyName"])
        if why:
            used = search.account.list(
                "iam", "list_entities_for_policy", "PolicyRoles", PolicyArn=policy["Arn"]
            )
            attached = {one["RoleName"] for one in used}
            option = {"policy_arn": policy["Arn"]}
            removal = chain(
                *(
                    command("iam detach-role-policy", role_name=one, **option)
                    for one in sorted(attached)
                ),
                command("iam delete-policy", **option),
            )
            why = _doubted(why, _used("attached to the role", attached - roles))
            yield _row("policy", policy["Arn"], policy, why, removal)


def _providers(search: Search, elsewhere: _Elsewhere, others: list[Found]) -> Iterator[Leftover]:
    """Identity providers; an account has one per issuer, so roles of others may trust it."""
    found = search.account.list(
        "iam", "list_open_id_connect_providers", "OpenIDConnectProviderList"
    )

    def tags(provider: Found) -> Any:
        return search.account.tags(
            "iam",
            "get_open_id_connect_provider",
            "Tags",
            OpenIDConnectProviderArn=provider["Arn"],
        )

    for provider, tagged in search.account.each(found, tags):
        arn = provider["Arn"]
        why = elsewhere.left(tagged, arn)
        if why:
            removal = command(
                "iam delete-open-id-connect-provider", open_id_connect_provider_arn=arn
            )
            trusting = {
                role["RoleName"]
                for role in others
                if json.dumps(arn) in json.dumps(role.get("AssumeRolePolicyDocument"))
            }
            why = _doubted(why, _used("trusted by the role", trusting))
            yield _row("OIDC provider", arn, {}, why, removal)


def _row(kind: str, name: str, found: Found, why: Ownership, removal: str) -> Leftover:
    return leftover(kind, name, GLOBAL, why, removal, created=found.get("CreateDate"))
