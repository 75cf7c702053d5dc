"""IAM: everything attached is detached first, and others may use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

from gpustation.leftovers.account import Call
from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.search import Search
from gpustation.leftovers.steps import Step

_PROFILES = Call("iam", "list_instance_profiles_for_role", "InstanceProfiles")
_INLINE = Call("iam", "list_role_policies", "PolicyNames")
_ATTACHED = Call("iam", "list_attached_role_policies", "AttachedPolicies")
_ROLES = Call("iam", "list_entities_for_policy", "PolicyRoles")


class InstanceProfile(Resource):
    """Loses its role first."""

    def _steps(self) -> list[Step]:
        words, named = "iam remove-role-from-instance-profile", {"instance_profile_name": self.id}
        roles = [role["RoleName"] for role in self.row.get("Roles", [])]
        return [*(self.step(words, **named, role_name=role) for role in roles), self.deletion]


class Role(Resource):
    """Loses its policies and instance profiles first."""

    reads = (_PROFILES, _INLINE, _ATTACHED)

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Without the roles that services created for themselves."""
        for row in super().rows(search, kind):
            if not row["Path"].startswith("/aws-service-role/"):
                yield row

    @property
    def _profiles(self) -> list[str]:
        rows = self.search.account.list(*_PROFILES, RoleName=self.id)
        return [row["InstanceProfileName"] for row in rows]

    def _doubts(self) -> Iterator[str]:
        return self.in_use("in the instance profile", "instance profile", self._profiles)

    def _steps(self) -> list[Step]:
        """Profiles that are left are removed by their own commands, before the role."""
        named, account = {"role_name": self.id}, self.search.account
        inline = account.list(*_INLINE, RoleName=self.id)
        attached = [row["PolicyArn"] for row in account.list(*_ATTACHED, RoleName=self.id)]
        profiles = sorted({*self._profiles} - self.search.certain("instance profile"))
        remove = "iam remove-role-from-instance-profile"
        return [
            *(self.step("iam delete-role-policy", **named, policy_name=name) for name in inline),
            *(self.step("iam detach-role-policy", **named, policy_arn=arn) for arn in attached),
            *(self.step(remove, **named, instance_profile_name=name) for name in profiles),
            self.deletion,
        ]


class Policy(Resource):
    """Is detached from its roles first."""

    arguments: ClassVar = {"Scope": "Local"}
    reads = (_ROLES,)

    @property
    def _roles(self) -> list[str]:
        rows = self.search.account.list(*_ROLES, PolicyArn=self.id)
        return sorted(row["RoleName"] for row in rows)

    def _doubts(self) -> Iterator[str]:
        return self.in_use("attached to the role", "role", self._roles)

    def _steps(self) -> list[Step]:
        words, named = "iam detach-role-policy", {"policy_arn": self.id}
        roles = self._roles
        return [*(self.step(words, role_name=role, **named) for role in roles), self.deletion]


class OidcProvider(Resource):
    """An account has one per issuer, so that other roles may trust it."""

    def _doubts(self) -> Iterator[str]:
        arn = json.dumps(self.id)
        roles = [
            role["RoleName"]
            for role in self.search.listed("role")
            if arn in json.dumps(role.get("AssumeRolePolicyDocument"))
        ]
        return self.in_use("trusted by the role", "role", roles)
