"""Another valid value of every setting, by when a change of it takes effect: read from its row."""

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
"""They leave the workstation's template as it is."""
SYNTH_ONLY = [name for name, row in rows().items() if row.of is Of.NONE]
"""No template tells them."""
ANOTHER_OF_EACH = STOP_AND_START | IN_PLACE | NEXT_BOOT | NEW_GENERATION | OF_OTHER_STACKS
"""All but ``generation``, which renames what belongs to the machine, and ``name``, whose other
value means other stacks."""
