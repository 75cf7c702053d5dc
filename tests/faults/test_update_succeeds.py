"""Without a fault each update succeeds: the rollbacks of test_update_fails come from the faults."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.test_update_fails import TAGS, UPDATES
from tests.support.assembly import assemble
from tests.support.probe_stack import G_QUOTA


@pytest.mark.tier("all")
def test_every_update_of_a_living_workstation(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.set_quota(G_QUOTA, 12)
    made = stack()
    assemble().publish(aws)
    assert made.deploy("create_stack", assemble().template) == "CREATE_COMPLETE"
    for settings in ({**UPDATES["in-place"], **UPDATES["type"]}, UPDATES["generation"]):
        wanted = assemble(**settings)
        wanted.publish(aws)
        status = made.deploy("update_stack", wanted.template, Tags=TAGS)
        assert status == "UPDATE_COMPLETE", made.events()
