"""All drills of the book, by name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import dlbook.drills
from dlbook.drills.record import Drill

_BY_NAME: dict[str, Drill] = {}


def all_drills() -> tuple[Drill, ...]:
    """Return all drills, chapter by chapter, each chapter's in its own order.

    A chapter's drills are the ``DRILLS`` of a module of this package. The modules are found
    rather than imported by name, so that a chapter's notebook depends on its own drills alone.
    """
    if not _BY_NAME:
        found = [entry for module in _modules() for entry in _drills_of(module)]
        _BY_NAME.update((entry.name, entry) for entry in found)
    return tuple(_BY_NAME.values())


def _modules() -> list[str]:
    entries = pkgutil.iter_modules(dlbook.drills.__path__)
    return sorted(entry.name for entry in entries if not entry.ispkg)


def _drills_of(module: str) -> tuple[Drill, ...]:
    return tuple(getattr(importlib.import_module(f"dlbook.drills.{module}"), "DRILLS", ()))


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
    found = _BY_NAME.get(name) or _looked_up(name)
    if found:
        return found
    all_drills()
    if name in _BY_NAME:
        return _BY_NAME[name]
    close = difflib.get_close_matches(str(name), _BY_NAME, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"no drill is named {name!r}.{guess} There are: {', '.join(sorted(_BY_NAME))}")


@cache
def _looked_up(name: str) -> Drill | None:
    """Return a drill without importing every chapter's, which takes a second in a browser.

    A drill has the name of its reference, so its module is one that defines such a function.
    """
    for module in _defining(name):
        for entry in _drills_of(module):
            if entry.name == name:
                return entry
    return None


def _defining(name: str) -> Iterator[str]:
    """Yield the modules whose source defines a function of that name."""
    definition = re.compile(rf"^def {re.escape(str(name))}\(", re.MULTILINE)
    for module in _modules():
        with suppress(OSError):  # bytecode alone: all_drills finds what is not found here
            source = pkgutil.get_data("dlbook.drills", f"{module}.py") or b""
            if definition.search(source.decode("utf-8")):
                yield module
