"""All drills of the book, by name."""

from __future__ import annotations

import difflib

from dlbook.drills import optimizers
from dlbook.drills.record import Drill

_DRILLS = (*optimizers.DRILLS,)
_BY_NAME = {entry.name: entry for entry in _DRILLS}


def all_drills() -> tuple[Drill, ...]:
    """Return all drills, in the order of the chapters."""
    return _DRILLS


def drill(name: str) -> Drill:
    """Return the drill of a name.

    Parameters
    ----------
    name : str
        The name of the function to write.

    Returns
    -------
    Drill
        Its record.

    Raises
    ------
    ValueError
        If there is none, with the names that there are.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    close = difflib.get_close_matches(str(name), _BY_NAME, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"no drill is named {name!r}.{guess} There are: {', '.join(sorted(_BY_NAME))}")
