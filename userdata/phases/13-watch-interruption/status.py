"""What the machine's own command says of interruptions."""

import time

import hooks
import record

#: A look that is older than this number of seconds is told as old.
FRESH = 60


def rows() -> tuple[list[tuple[str, str]], bool]:
    """Return names and texts of what is known, and whether all is well.

    On a machine that is not watched there are none.
    """
    look, past = record.read(record.LOOK), record.read(record.RECORD)
    made: list[tuple[str, str]] = []
    well = True
    if look:
        age = int(time.time()) - int(look["at"])
        if notice := record.read(record.PUBLIC):
            made.append(("spot", f"EC2 announced to {notice['action']} it at {notice['time']}"))
        else:
            made.append(("spot", f"no notice of EC2 to interrupt it, {age} s ago"))
        found = hooks.find_roots()
        made.append(("hooks", f"{len(found.hooks)} in {hooks.FOLDER}"))
        made += [
            ("warning", f"hook {name} would not run: {why}") for name, why in found.refused.items()
        ]
        if look["fault"]:
            made.append(("warning", f"the metadata service: {look['fault']}"))
        if age > FRESH:
            well = False
            text = (
                f"nothing has looked for {age // 60} min: systemctl status gpustation-interruption"
            )
            made.append(("warning", text))
    if past.get("started_again_at"):
        try:
            made.append(("last time", record.in_past(past)))
        except ValueError as error:
            made.append(("warning", str(error)))
    return made, well
