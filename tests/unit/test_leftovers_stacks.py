"""Which stack owns a thing, in every state that CloudFormation knows."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from leftovers_account import DAY, NOW, OURS, Row, WrittenAccount, leftovers, listed, search, stack

from gpustation.leftovers.ownership import NOT_PROVEN, STACK_ID_TAG
from gpustation.leftovers.stacks import DEAD, SETTLED, UNFINISHED

NAME = "GpuWorkstation-QuotaCheckHandlerRole3BFCEED4-AbCdEfGhIj12"
FIXED = "/aws/imagebuilder/gpuimage-mxnet"
OUR_TEMPLATE = {"Resources": {"ImageRole1BFBDE6E": {"Type": "AWS::IAM::Role"}}}
TAGS = {"gpustation": "GpuWorkstation"}


def statuses() -> list[str]:
    model = botocore.session.get_session().get_service_model("cloudformation")
    return list(model.shape_for("StackStatus").enum)  # type: ignore[attr-defined]


def account(status: str, *rows: Row, **answers: Any) -> WrittenAccount:
    """One stack of ours, and what it lists."""
    one = stack("GpuWorkstation", status, Tags=OURS)
    return WrittenAccount({"describe_stacks": [one], "list_stack_resources": [*rows], **answers})


def test_every_status_was_thought_about() -> None:
    others = {one for one in statuses() if one not in {*DEAD, *SETTLED, *UNFINISHED}}
    assert {one for one in others if not one.endswith("_IN_PROGRESS")} == {"DELETE_COMPLETE"}


@pytest.mark.parametrize("status", [*statuses(), "OF_A_LATER_YEAR"])
def test_resource_without_an_id_owns_nothing(status: str) -> None:
    """Its creation failed. Many a thing has no value for one of the ids that are asked for."""
    asked = account(status, listed(None, "CREATE_FAILED"), listed("", "CREATE_FAILED"))
    found = search(asked)
    why = found.left({}, NAME, "", name=NAME)
    tagged = found.left({"gpustation": "another"}, "vol-1", "")
    assert tagged is not None and tagged.doubt == "", "nothing of this stack's"
    found.stacks.note_work()
    if status in DEAD or status in SETTLED or status == "DELETE_COMPLETE":
        assert why is not None and why.doubt == ""
        assert asked.not_checked == []
        return
    # What an operation replaced is in no list, and going back takes it again
    assert why is None or why.doubt == f"the stack GpuWorkstation is {status} and may need it"
    assert (why is None) == (status not in UNFINISHED)
    (one,) = asked.not_checked
    assert (one.action, status in one.reason) == ("stack GpuWorkstation", True)


@pytest.mark.parametrize("status", sorted(UNFINISHED))
def test_unfinished_update_may_need_what_it_replaced(status: str) -> None:
    found = search(account(status, listed("i-new")))
    assert found.left(TAGS, "i-new") is None
    made = {**TAGS, STACK_ID_TAG: stack("GpuWorkstation", status)["StackId"]}
    for tags in (TAGS, made):
        why = found.left(tags, "i-old")
        assert why is not None
        assert why.doubt == f"the stack GpuWorkstation is {status} and may need it"


@pytest.mark.parametrize("status", ["DELETE_FAILED", "DELETE_SKIPPED", "DELETE_COMPLETE"])
def test_living_stack_does_not_own_what_it_has_let_go_of(status: str) -> None:
    found = search(account("UPDATE_COMPLETE", listed("vol-1", status)))
    assert found.left(TAGS, "vol-1") is not None
    claimed = listed("vol-2", status) | {"StackId": found.stacks.all[0]["StackId"]}
    found = search(account("UPDATE_COMPLETE", describe_stack_resources=[claimed]))
    assert found.left(TAGS, "vol-2") is not None


def test_living_stack_of_any_name_owns_what_it_lists() -> None:
    other = stack("Lab", "CREATE_COMPLETE")
    claimed = listed(NAME) | {"StackId": other["StackId"]}
    answers = {"describe_stacks": [other], f"describe_stack_resources {NAME}": [claimed]}
    assert search(WrittenAccount(answers)).left({}, NAME, name=NAME) is None
    gone = {**claimed, "StackId": "of a deleted one"}
    answers[f"describe_stack_resources {NAME}"] = [gone]
    assert search(WrittenAccount(answers)).left({}, NAME, name=NAME) is not None


@pytest.mark.parametrize("call", ["list_stack_resources", "describe_stack_resources"])
def test_owner_that_could_not_be_asked_is_no_leftover_and_no_clean_account(call: str) -> None:
    asked = account("CREATE_COMPLETE", **{call: None})
    assert search(asked).left(TAGS, "vol-1") is None
    assert [one.action for one in asked.not_checked] == [f"cloudformation:{call}"]


def deleted(*rows: Row, template: Any = OUR_TEMPLATE, **more: Any) -> WrittenAccount:
    """Two stacks of one name, deleted one after the other; the first lists the rows."""
    old = stack("GpuImage", "DELETE_COMPLETE", DeletionTime=NOW - 10 * DAY, **more)
    new = stack("GpuImage", "DELETE_COMPLETE", 2, DeletionTime=NOW - DAY)
    return WrittenAccount(
        {
            "list_stacks": [new, old],
            f"list_stack_resources {old['StackId']}": [*rows],
            "get_template": template,
        }
    )


def test_list_of_a_deleted_stack_is_proof() -> None:
    """The group that Image Builder makes anew after a stack was deleted during a build."""
    found = search(deleted(listed(FIXED, "DELETE_COMPLETE")))
    why = found.left({}, FIXED, name=FIXED)
    assert why is not None
    assert why.doubt == ""
    assert why.reason.startswith("the stack GpuImage, which is DELETE_COMPLETE, lists it")


def test_list_is_no_proof_of_what_was_made_later_or_by_a_stack_that_is_not_ours() -> None:
    ours = deleted(listed(FIXED, "DELETE_COMPLETE"))
    for asked, made in (
        (ours, NOW - 2 * DAY),
        (deleted(listed(FIXED), template={"Resources": {"ImageRole": {}}}), None),
        (deleted(listed(FIXED), template="Resources: {ImageRole1BFBDE6E: {}}"), None),
        (deleted(listed("")), None),
        (deleted(), None),
    ):
        why = search(asked).left({}, FIXED, "", name=FIXED, made=made)
        assert why is not None and why.doubt == NOT_PROVEN
    why = search(ours).left({}, FIXED, name=FIXED, made=NOW - 11 * DAY)
    assert why is not None and why.doubt == ""


def test_thing_of_an_earlier_stack_of_the_same_name_is_left() -> None:
    living = stack("GpuWorkstation", "UPDATE_IN_PROGRESS", 2, Tags=OURS)
    earlier = {**TAGS, STACK_ID_TAG: stack("GpuWorkstation", "DELETE_COMPLETE")["StackId"]}
    found = search(WrittenAccount({"describe_stacks": [living]}))
    why = found.left(earlier, "vol-1")
    assert why is not None and why.doubt == ""
    assert (
        "its stack GpuWorkstation is deleted; today's stack of that name does not own" in why.reason
    )
    assert found.left({**earlier, STACK_ID_TAG: living["StackId"]}, "vol-1") is None


def retaining(retain: bool) -> Row:
    settings = {} if retain else {"DeletionSettings": {"ExecutionRole": "role"}}
    return {"Resources": {"I": {"Type": "AWS::ImageBuilder::Image", "Properties": settings}}}


@pytest.mark.parametrize("first", [True, False])
def test_image_stays_if_the_stack_that_lived_then_was_told_so(first: bool) -> None:
    asked = deleted(CreationTime=NOW - 40 * DAY)
    old, new = asked.answers["list_stacks"][::-1]
    new["CreationTime"] = NOW - 5 * DAY
    asked.answers[f"get_template {old['StackId']}"] = retaining(first)
    asked.answers[f"get_template {new['StackId']}"] = retaining(not first)
    stacks = search(asked).stacks
    assert stacks.retain_images("GpuImage", NOW - 20 * DAY) == first
    assert stacks.retain_images("GpuImage", NOW - 2 * DAY) != first
    assert stacks.retain_images("GpuImage", None) != first
    assert not stacks.retain_images("GpuImage", NOW - 8 * DAY), "there was none"
    assert not stacks.retain_images("", NOW)


@pytest.mark.parametrize("resources", [{}, {"I": {}}, {"I": {"Type": "AWS::ImageBuilder::Image"}}])
def test_template_of_another_is_read_without_a_fault(resources: Row) -> None:
    asked = deleted()
    asked.answers["get_template"] = {"Resources": resources}
    expected = bool(resources.get("I"))
    assert search(asked).stacks.retain_images("GpuImage", NOW - 20 * DAY) == expected
    asked.answers["get_template"] = "Resources: {}"
    assert not search(asked).stacks.retain_images("GpuImage", NOW - 20 * DAY)


@pytest.mark.parametrize("status", sorted(DEAD))
def test_dead_stack_with_nothing_but_our_name_is_not_offered(status: str) -> None:
    other = stack("GpuImage", status)
    asked = WrittenAccount({"describe_stacks": [other]})
    (row,) = leftovers(search(asked), "stack", "change set")
    assert (row.doubt, row.removal[:2]) == (NOT_PROVEN, "# ")
    asked.answers |= {"get_template": OUR_TEMPLATE, "list_change_sets": [{"ChangeSetName": "c"}]}
    (row,) = leftovers(search(asked), "stack", "change set")
    assert (row.doubt, row.removal.count(other["StackId"])) == ("", 2)
    asked = WrittenAccount({"describe_stacks": [other]})
    (row,) = leftovers(search(asked, "GpuImage"), "stack", "change set")
    assert row.doubt == ""


def test_custom_resources_that_failed_are_retained_as_their_functions_are_gone() -> None:
    def listed(name: str, kind: str, status: str) -> Row:
        return {"LogicalResourceId": name, "ResourceType": kind, "ResourceStatus": status}

    ours = stack("GpuImage", "DELETE_FAILED")
    rows = [
        listed("Two", "Custom::SpotRequest", "DELETE_FAILED"),
        listed("One", "AWS::CloudFormation::CustomResource", "DELETE_FAILED"),
        listed("Deleted", "Custom::QuotaCheck", "DELETE_COMPLETE"),
        listed("Vpc", "AWS::EC2::VPC", "DELETE_FAILED"),
    ]
    answers = {"describe_stacks": [ours], "get_template": OUR_TEMPLATE}
    answers[f"list_stack_resources {ours['StackId']}"] = rows
    (row,) = leftovers(search(WrittenAccount(answers)), "stack")
    deletion, _, wait = row.removal.partition(" && ")
    assert deletion.endswith(f"--stack-name {ours['StackId']} --retain-resources One Two")
    assert "--retain-resources" not in wait
    ours["StackStatus"] = "ROLLBACK_FAILED"  # only a stack whose deletion failed retains any
    (row,) = leftovers(search(WrittenAccount(answers)), "stack")
    assert "--retain-resources" not in row.removal


def test_change_set_of_a_stack_with_nothing_but_our_name_is_not_offered() -> None:
    made = {"ChangeSetName": "theirs", "Status": "CREATE_COMPLETE"}
    answers = {
        "describe_stacks": [stack("GpuImage", "UPDATE_COMPLETE")],
        "list_change_sets": [made],
    }
    (row,) = leftovers(search(WrittenAccount(answers)), "stack", "change set")
    assert (row.kind, row.doubt, row.removal[:2]) == ("change set", NOT_PROVEN, "# ")
