"""Write the stored cases of all drills; run by ``make cases``."""

from __future__ import annotations

import importlib
import pkgutil

from dlbook.drills import oracles, storage
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Case

_CHAPTERS = sorted(
    entry.name for entry in pkgutil.iter_modules(oracles.__path__) if entry.name != "__main__"
)
ORACLES: dict[str, Oracle] = {
    name: oracle
    for chapter in _CHAPTERS
    for name, oracle in importlib.import_module(f"{oracles.__name__}.{chapter}").ORACLES.items()
}


def cases(name: str) -> list[Case]:
    """Return the cases of a drill, answered by torch."""
    oracle = ORACLES[name]
    return [Case(inputs, oracle.answer(**inputs), note) for note, inputs in oracle.inputs()]


def main() -> None:
    """Write one file for each drill."""
    for name, oracle in ORACLES.items():
        file = storage.path(name)
        file.parent.mkdir(exist_ok=True)
        storage.write(file, cases(name), oracle.source)
        print(f"{file.name}: {len(cases(name))} cases, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
