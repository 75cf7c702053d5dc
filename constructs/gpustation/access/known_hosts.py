"""The command's own file of known hosts, with the pinned host keys of each machine.

Machines are known by their instance id, as their addresses change, and by an alias for the
workstation, which ``gpustation ssh-config`` uses. A new generation is another instance, so its
keys replace those of the alias, and nobody is warned of a change that a deploy has made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpustation.access.host_keys import HostKey, parse_key
from gpustation.console.state_folder import replace_file


class HostKeysChangedError(Exception):
    """The machine reports other keys than the pinned ones.

    Args:
        pinned: The pinned keys.
        reported: The keys that it reports.
    """

    def __init__(self, pinned: Sequence[HostKey], reported: Sequence[HostKey]) -> None:
        super().__init__("the host keys have changed")
        self.pinned = tuple(pinned)
        self.reported = tuple(reported)


@dataclass(frozen=True)
class _Line:
    hosts: tuple[str, ...]
    key: HostKey


class KnownHosts:
    """The file; it is read at every call.

    Args:
        path: The file, mode 0600; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys(self, host: str) -> tuple[HostKey, ...]:
        """The pinned keys of an instance or an alias, sorted."""
        return tuple(sorted({line.key for line in self._lines() if host in line.hosts}))

    def trust(
        self,
        instance_id: str,
        alias: str,
        reported: Sequence[HostKey],
        confirm: Callable[[HostKeysChangedError], bool] = lambda _: False,
    ) -> bool:
        """Pin the keys that a machine reports first, and compare later reports with them.

        Args:
            instance_id: The machine.
            alias: The workstation.
            reported: Keys from the report or the console; none: the pinned keys are kept.
            confirm: Decides about a change.

        Returns:
            Whether there are pinned keys now.

        Raises:
            HostKeysChangedError: They differ from the pinned keys, and were not confirmed.
        """
        pinned = self.keys(instance_id)
        if pinned and not reported:
            self._pin(instance_id, alias, pinned)
            return True
        if not reported:
            return False
        if pinned and set(pinned) != set(reported) and not self._learned(instance_id, reported):
            change = HostKeysChangedError(pinned, sorted(reported))
            if not confirm(change):
                raise change
        self._pin(instance_id, alias, reported)
        return True

    def _learned(self, instance_id: str, reported: Sequence[HostKey]) -> bool:
        """Whether ssh itself wrote the key over Session Manager, and the report has it too.

        ssh writes the one key that it used, for the host that it was told: the instance id.
        """
        lines = [line for line in self._lines() if instance_id in line.hosts]
        return all(line.hosts == (instance_id,) and line.key in reported for line in lines)

    def _pin(self, instance_id: str, alias: str, keys: Sequence[HostKey]) -> None:
        kept = [
            line
            for line in self._lines()
            if instance_id not in line.hosts and alias not in line.hosts
        ]
        lines = [*kept, *(_Line((instance_id, alias), key) for key in sorted(set(keys)))]
        text = "".join(f"{','.join(line.hosts)} {line.key}\n" for line in lines)
        if not self.path.exists() or self.path.read_text() != text:
            replace_file(self.path, text)

    def _lines(self) -> list[_Line]:
        if not self.path.exists():
            return []
        lines = []
        for text in self.path.read_text(errors="replace").splitlines():
            hosts, _, rest = text.partition(" ")
            key = parse_key(rest)
            if key is not None:
                lines.append(_Line(tuple(hosts.split(",")), key))
        return lines
