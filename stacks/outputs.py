"""The commands that a person pastes: how to get in, how to stop, how to start.

Each is looked up anew when it runs, so it works after stop and start, when the address differs.
"""

from __future__ import annotations

from dataclasses import dataclass

SSH_USER = "ubuntu"
JUPYTER_PORT = 8888
LOCAL_PORT = 8889
_PRINT_URL = "gpustation-jupyter-url"
_SHELL = "gpustation-shell"
"""Session Manager logs in as a user of its own, whose shell has nothing of the environment."""


@dataclass(frozen=True)
class PersonCommands:
    """The commands of one machine.

    Attributes:
        instance_id: The machine, or a token of it.
        region: Its region, or a token of it.
        inbound_rule: True when port 22 is open to someone; else Session Manager carries it all.
    """

    instance_id: str
    region: str
    inbound_rule: bool

    @property
    def needs(self) -> str:
        """What must be installed on the person's computer."""
        if self.inbound_rule:
            return "needs AWS CLI 2 and OpenSSH"
        return "needs the AWS CLI and its Session Manager plugin"

    @property
    def ssh(self) -> str:
        """The owner's shell on the machine."""
        if self.inbound_rule:
            return self._instance_connect()
        return self._session("AWS-StartInteractiveCommand", f"command={_SHELL}")

    @property
    def jupyter(self) -> str:
        """A tunnel from port 8889 to Jupyter, whose address with its token is printed first.

        AWS's ``ec2-instance-connect ssh`` takes no remote command, so the command goes to the
        remote shell's input, which ``cat`` then keeps open until Ctrl-C.
        """
        if self.inbound_rule:
            forwarding = f"--local-forwarding {LOCAL_PORT}:localhost:{JUPYTER_PORT}"
            return f"(echo {_PRINT_URL}; cat) | {self._instance_connect()} {forwarding}"
        url = self._session("AWS-StartInteractiveCommand", f"command='sudo {_PRINT_URL}'")
        tunnel = self._session(
            "AWS-StartPortForwardingSession",
            f"portNumber={JUPYTER_PORT},localPortNumber={LOCAL_PORT}",
        )
        return f"{url} && {tunnel}"

    @property
    def stop(self) -> str:
        """Stops the machine; the disk stays and is billed."""
        return f"aws ec2 stop-instances {self._target}"

    @property
    def start(self) -> str:
        """Starts the stopped machine."""
        return f"aws ec2 start-instances {self._target}"

    @property
    def _target(self) -> str:
        return f"--region {self.region} --instance-ids {self.instance_id}"

    def _instance_connect(self) -> str:
        # No agent: its keys would be tried before the one that the AWS CLI makes, and with six or
        # more of them the server hangs up. The AWS CLI passes no further options to ssh.
        return (
            f"SSH_AUTH_SOCK= aws ec2-instance-connect ssh --region {self.region} "
            f"--instance-id {self.instance_id} --os-user {SSH_USER}"
        )

    def _session(self, document: str, parameters: str) -> str:
        return (
            f"aws ssm start-session --region {self.region} --target {self.instance_id} "
            f"--document-name {document} --parameters {parameters}"
        )
