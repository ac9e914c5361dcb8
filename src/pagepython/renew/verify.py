"""Compares the packed runtime with its manifest."""

from __future__ import annotations

import json
from pathlib import Path

from pagepython.renew import fetch, pack


def problems(folder: Path = fetch.RUNTIME) -> list[str]:
    """Return what is wrong with a packed runtime, a sentence each; empty if nothing is.

    Parameters
    ----------
    folder
        The folder of the runtime.
    """
    path = folder / pack.MANIFEST
    if not path.is_file():
        return [f"{path} is missing"]
    named = json.loads(path.read_text(encoding="utf-8"))["files"]
    if sorted(named) != sorted(pack.FETCHED):
        return [f"{path} names {sorted(named)}, and a page fetches {sorted(pack.FETCHED)}"]
    missing = [name for name in pack.FETCHED if not (folder / name).is_file()]
    if missing:
        return [f"{folder / name} is missing" for name in missing]
    found = pack.manifest_of(folder)
    return [
        f"{folder / name} has {found[name]}, and the manifest says {named[name]}"
        for name in pack.FETCHED
        if found[name] != named[name]
    ]
