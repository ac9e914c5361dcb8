"""All drills of the book, by name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

import dlbook.drills
from dlbook.drills.record import Drill

_BY_NAME: dict[str, Drill] = {}


def all_drills() -> tuple[Drill, ...]:
    """Return all drills, chapter by chapter, each chapter's in its own order.

    A chapter's drills are the ``DRILLS`` of a module of this package. The modules are found
    rather than imported by name, so that a chapter's notebook depends on its own drills alone.
    """
    if not _BY_NAME:
        found = [drill for module in _modules() for drill in getattr(module, "DRILLS", ())]
        _BY_NAME.update((entry.name, entry) for entry in found)
    return tuple(_BY_NAME.values())


def _modules() -> list[ModuleType]:
    names = [entry.name for entry in pkgutil.iter_modules(dlbook.drills.__path__)]
    return [importlib.import_module(f"dlbook.drills.{name}") for name in sorted(names)]


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
    all_drills()
    if name in _BY_NAME:
        return _BY_NAME[name]
    close = difflib.get_close_matches(str(name), _BY_NAME, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"no drill is named {name!r}.{guess} There are: {', '.join(sorted(_BY_NAME))}")
