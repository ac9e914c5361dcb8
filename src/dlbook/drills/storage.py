"""Read and write the stored cases: JSON, with numbers that come back to the last bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlbook.drills.record import Case

#: Raised when the format changes, so that a reader of another version says so.
SCHEMA = 1

FOLDER = Path(__file__).parent / "cases"


def path(name: str) -> Path:
    """Return where the cases of a drill are."""
    return FOLDER / f"{name}.json"


def read(file: Path) -> list[Case]:
    """Return the cases in a file.

    Parameters
    ----------
    file : Path
        What :func:`write` has written.

    Returns
    -------
    list of Case
        Arrays are float64, or of the default integer.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If its format is another version's.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file.name} is missing beside the drills; make it: make cases")
    content = json.loads(file.read_text(encoding="utf-8"))
    if content["schema"] != SCHEMA:
        raise ValueError(f"{file.name} has format {content['schema']}, this grader reads {SCHEMA}")
    return [
        Case(
            {name: _decoded(value) for name, value in case["inputs"].items()},
            _decoded(case["expected"]),
            case["note"],
        )
        for case in content["cases"]
    ]


def write(file: Path, cases: Sequence[Case], source: str) -> None:
    """Write cases to a file, one a line.

    Parameters
    ----------
    file : Path
        Where to; replaced if it exists.
    cases : sequence of Case
        Float and integer arrays, numbers, and tuples of numbers.
    source : str
        Whose answers these are.
    """
    lines = [
        json.dumps(
            {
                "note": case.note,
                "inputs": {name: _encoded(value) for name, value in case.inputs.items()},
                "expected": _encoded(case.expected),
            },
            allow_nan=False,
        )
        for case in cases
    ]
    head = f'{{"schema": {SCHEMA}, "source": {json.dumps(source)}, "cases": [\n'
    file.write_text(head + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def _encoded(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        kind = "int" if value.dtype.kind in "iu" else "float"
        return {"dtype": kind, "shape": list(value.shape), "data": value.ravel().tolist()}
    return list(value) if isinstance(value, tuple) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        dtype = {"int": int, "float": float}[value["dtype"]]
        return np.array(value["data"], dtype=dtype).reshape(value["shape"])
    return tuple(value) if isinstance(value, list) else value
