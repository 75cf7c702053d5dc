"""An image saved from a running machine: what was on its disk is there, what was its own is not.

Only a disk that ran before has host keys, tokens and marks of another machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gpustation.saved_image import make, remove
from localaws import LocalAws
from tests.boot.conftest import G_QUOTA, launched_from
from tests.boot.installed import installed_disk
from tests.boot.workstation import SUCCESS, Workstation
from tests.support.cdk_cli import STACK, Account, Cdk, delete_stack

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N me"
HOST_KEYS = "cat /etc/ssh/ssh_host_*_key.pub | awk '{print $2}'"


@dataclass(frozen=True)
class Identity:
    """What no two machines may share."""

    token: str
    machine_id: str
    host_keys: frozenset[str]

    @classmethod
    def of(cls, station: Workstation) -> Identity:
        keys = station.sh(HOST_KEYS).split()
        assert keys
        return cls(station.token(), station.sh("cat /etc/machine-id"), frozenset(keys))

    def shares_nothing_with(self, other: Identity) -> bool:
        return (
            self.token != other.token
            and self.machine_id != other.machine_id
            and not self.host_keys & other.host_keys
        )


@pytest.fixture(scope="module")
def original(
    cloud: LocalAws, cdk: Cdk, distribution: str, tmp_path_factory: pytest.TempPathFactory
) -> Workstation:
    cloud.control.set_quota(G_QUOTA, 12)  # two of a stack for a while, and one by hand
    settings = launched_from(cloud, installed_disk(tmp_path_factory, distribution))
    run = cdk.deploy(**settings, public_key=KEY)
    assert run.status == 0
    station = Workstation(cloud, run.outputs["InstanceId"])
    station.sh("echo mine >/home/ubuntu/work.txt; chown ubuntu: /home/ubuntu/work.txt")
    return station


@pytest.fixture(scope="module")
def identity(original: Workstation) -> Identity:
    return Identity.of(original)


@pytest.fixture(scope="module")
def image(cloud: LocalAws, cdk: Cdk, original: Workstation, identity: Identity) -> Iterator[str]:
    """The image; its original goes on as it was."""
    ec2 = cloud.client("ec2")
    clients = [cloud.client(name) for name in ("cloudformation", "ssm", "ec2")]
    found = make.find_workstation(*clients, STACK)
    before = original.boot_id()
    made = make.save(ec2, found, "saved", report=print, poll_seconds=0.2)
    original.await_boot_after(before)
    # Here, for a new generation takes its place
    assert Identity.of(original) == identity
    assert original.starts("environment") == 0
    assert original.sh("cat /home/ubuntu/work.txt") == "mine"
    yield made
    delete_stack(cloud, STACK)
    remove.remove(ec2, made)
    assert cloud.inventory() == []


@pytest.fixture(scope="module")
def by_hand(cloud: LocalAws, original: Workstation, image: str) -> Iterator[Workstation]:
    """A machine that somebody starts from the image in the console, without any user data."""
    ec2 = cloud.client("ec2")
    subnet = Account(cloud).instance()["SubnetId"]
    asked = {"ImageId": image, "InstanceType": "g4dn.xlarge", "SubnetId": subnet}
    launched = ec2.run_instances(**asked, MinCount=1, MaxCount=1)["Instances"][0]
    station = Workstation(cloud, launched["InstanceId"])
    station.await_jupyter()
    yield station
    ec2.terminate_instances(InstanceIds=[station.box])


def test_machine_started_by_hand_is_nobody_elses(
    original: Workstation, identity: Identity, by_hand: Workstation, image: str
) -> None:
    assert Identity.of(by_hand).shares_nothing_with(identity)
    assert by_hand.sh("cat /home/ubuntu/work.txt") == "mine"
    assert by_hand.jupyter(by_hand.token()) == 200
    assert by_hand.jupyter(identity.token) == 403
    by_hand.sh("! ls /etc/gpustation/bootstrap.json /var/lib/gpustation/settings.json")
    by_hand.sh(f"! grep -r '{KEY.split()[1]}' /home/ubuntu/.ssh /root/.ssh")
    by_hand.sh("! grep -rl cfn-signal /etc /var/lib /opt/gpustation")
    # Not even begun: it would fail for want of addresses, half a minute later
    shown = by_hand.sh("systemctl show -p ActiveState -p ExecMainPID gpustation.service")
    assert shown.split() == ["ExecMainPID=0", "ActiveState=inactive"]
    assert "does not stop by itself" in by_hand.sh("gpustation status")
    by_hand.sh("systemctl start gpustation-idle gpustation-idle-guard; ! ls /run/gpustation/idle")
    assert by_hand.sh("systemctl --failed --no-legend") == ""


def test_new_generation_from_it_installs_nothing_and_shares_nothing(
    cloud: LocalAws, cdk: Cdk, original: Workstation, identity: Identity, image: str
) -> None:
    before = len(original.signals())
    run = cdk.deploy(notebooks=False, image=image, generation=2)
    assert run.status == 0
    station = Workstation(cloud, run.outputs["InstanceId"])
    assert station.box != original.box
    assert station.signals()[before:] == SUCCESS
    assert "environment" not in run.outputs["Ready"].partition("(")[2]
    assert Identity.of(station).shares_nothing_with(identity)
    assert station.sh("cat /home/ubuntu/work.txt") == "mine"
    assert station.sh("systemctl --failed --no-legend") == ""
