"""Another valid value of every setting from its row, grouped by when a change takes effect."""

from __future__ import annotations

from typing import Any

from gpustation.settings.model import rows
from gpustation.settings.rows import Of, When


def _another(*whens: When, of: tuple[Of, ...] = (Of.WORKSTATION, Of.NONE)) -> dict[str, Any]:
    return {name: row.another for name, row in rows().items() if row.when in whens and row.of in of}


STOP_AND_START = _another(When.STOP_AND_START)
IN_PLACE = _another(When.IN_PLACE)
NEXT_BOOT = _another(When.NEXT_BOOT)
NEW_GENERATION = _another(When.NEW_GENERATION)
OF_OTHER_STACKS = _another(When.IN_PLACE, When.NEXT_IMAGE, of=(Of.OTHERS,))
"""Settings that do not change the workstation's template."""
SYNTH_ONLY = [name for name, row in rows().items() if row.of is Of.NONE]
"""Settings that are in no template."""
ANOTHER_OF_EACH = STOP_AND_START | IN_PLACE | NEXT_BOOT | NEW_GENERATION | OF_OTHER_STACKS
"""All settings but ``generation``, which renames the machine's resources, and ``name``, which
selects other stacks."""
