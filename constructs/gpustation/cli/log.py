"""``gpustation log``: events of the stack's last deploy or deletion."""

from __future__ import annotations

from typing import Annotated

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.statuses import FINDING

EPILOG = epilog("gpustation log", FINDING)


def log(
    failures: Annotated[
        bool, typer.Option("--failures", help="Only events of what failed.")
    ] = False,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Show the events of the last deploy. Exit status 1: it failed."""
    stack = named(name, stack)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.aws.stack_events import operation_events
        from gpustation.console.shown_text import one_line
        from gpustation.console.tables import say_note, say_table
        from gpustation.deploy.steps import failure

        cloudformation = make_session(region).client("cloudformation")
        workstation = selected(cloudformation, stack)
        events = operation_events(cloudformation, workstation.stack)
        begin = events[0]["Timestamp"] if events else None
        rows = [
            {
                "seconds": (event["Timestamp"] - begin).total_seconds() if begin else 0.0,
                "status": event.get("ResourceStatus", ""),
                "resource": event.get("LogicalResourceId", ""),
                "type": event.get("ResourceType", ""),
                "reason": one_line(event.get("ResourceStatusReason", "")) or None,
            }
            for event in events
            if not failures or event.get("ResourceStatus", "").endswith("FAILED")
        ]
        why = failure(events)
        if as_json:
            facts = {"stack": workstation.stack, "status": workstation.status, "failure": why}
            say_json({**facts, "begun": begin, "events": rows})
        else:
            columns = ("seconds", "status", "resource", "reason")
            say_table(
                columns,
                [(f"{row['seconds']:.0f}", *(row[name] for name in columns[1:])) for row in rows],
                right=columns[:1],
            )
            say_note(f"{workstation.stack}: {workstation.status}")
            if why:
                say_note(f"It failed because of {one_line(why)}")
        return FINDING if why else 0

    run("log", work)
