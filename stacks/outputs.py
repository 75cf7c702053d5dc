"""Shell commands for the stack's outputs: connect, stop, start.

They look up the machine's address when they run, so they still work after a stop and start.
"""

from __future__ import annotations

from dataclasses import dataclass

SSH_USER = "ubuntu"
JUPYTER_PORT = 8888
LOCAL_PORT = 8889
_PRINT_URL = "gpustation-jupyter-url"
_SHELL = "gpustation-shell"
"""Opens the shell of ``SSH_USER``: Session Manager logs in as another user, ``ssm-user``."""


@dataclass(frozen=True)
class WorkstationCommands:
    """The commands of one machine.

    Attributes:
        instance_id: Id of the instance; may be a token.
        region: Its region; may be a token.
        inbound_rule: True if an inbound rule allows port 22; otherwise all connections use Session
            Manager.
    """

    instance_id: str
    region: str
    inbound_rule: bool

    @property
    def needs(self) -> str:
        """Software that the user's computer needs."""
        if self.inbound_rule:
            return "needs AWS CLI 2 and OpenSSH"
        return "needs the AWS CLI and its Session Manager plugin"

    @property
    def ssh(self) -> str:
        """Opens a shell on the machine."""
        if self.inbound_rule:
            return self._instance_connect()
        return self._session("AWS-StartInteractiveCommand", f"command={_SHELL}")

    @property
    def jupyter(self) -> str:
        """Prints Jupyter's URL with its token, then forwards local port 8889 to Jupyter.

        ``aws ec2-instance-connect ssh`` accepts no remote command, so the command is written to
        the remote shell's standard input, which ``cat`` keeps open until Ctrl-C.
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
        """Stops the machine; its disk is kept and billed."""
        return f"aws ec2 stop-instances {self._target}"

    @property
    def start(self) -> str:
        """Starts the stopped machine."""
        return f"aws ec2 start-instances {self._target}"

    @property
    def _target(self) -> str:
        return f"--region {self.region} --instance-ids {self.instance_id}"

    def _instance_connect(self) -> str:
        # No SSH agent: its keys are tried before the temporary key of the AWS CLI, and the server
        # disconnects after six attempts. The AWS CLI has no option to pass IdentitiesOnly to ssh.
        return (
            f"SSH_AUTH_SOCK= aws ec2-instance-connect ssh --region {self.region} "
            f"--instance-id {self.instance_id} --os-user {SSH_USER}"
        )

    def _session(self, document: str, parameters: str) -> str:
        return (
            f"aws ssm start-session --region {self.region} --target {self.instance_id} "
            f"--document-name {document} --parameters {parameters}"
        )
