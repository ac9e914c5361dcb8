"""The live figures of a chapter, made by the notebook's own cells, without a kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import nbformat
import numpy as np

from livefigure import LiveFigure
from support.book import ROOT
from support.cells import code_cells

#: What a cell imports that asks questions or grades drills: no figure needs it.
_EXERCISE = re.compile(r"^\s*(?:from|import)\s+(?:booksite|dlbook\.(?:drills|questions))\b", re.M)


def namespace_with(
    notebook: str, name: str, *, kind: type = object, torch: bool = False
) -> dict[str, Any]:
    """Run a notebook's NumPy and figure cells, in order, until a name exists.

    Cells that ask questions or grade drills are left out, and with them every cell that uses
    what they would have made; so are those that import torch, unless it is wanted.

    Parameters
    ----------
    notebook : str
        A file in ``notebooks/``, such as ``01_optimizers.ipynb``.
    name : str
        The name to wait for.
    kind : type
        What it must be by then: data may have had a figure's name before.
    torch : bool
        Whether to run cells that import torch, too.

    Raises
    ------
    AssertionError
        If no cell makes it.
    """
    path = ROOT / "notebooks" / notebook
    read: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    names: dict[str, Any] = {}
    missing: set[str] = set()
    for code in code_cells(path):
        cell = read.cells[code.number - 1]
        skipped = "torch" in code.imports and not torch
        if skipped or _EXERCISE.search(cell.source) or code.uses & missing:
            missing |= code.binds - set(names)
            continue
        exec(compile(cell.source, f"{path.name}, cell {code.number}", "exec"), names)
        missing -= set(names)
        if name in names and isinstance(names[name], kind):
            return names
    raise AssertionError(f"no cell of {path.name} makes {name}")


def figure_in(namespace: dict[str, Any], name: str) -> LiveFigure:
    """Return a live figure of a namespace by its name."""
    figure = namespace[name]
    assert isinstance(figure, LiveFigure)
    assert figure.name == name
    return figure


class Defaults:
    """Moves a figure to its defaults, but for the values that are given.

    Parameters
    ----------
    figure : LiveFigure
        In the state in which it was made.
    """

    def __init__(self, figure: LiveFigure) -> None:
        self._figure = figure
        self._start = {name: widget.value for name, widget in figure.controls.items()}

    def caption(self, **values: Any) -> str:
        """Return the caption there."""
        for name, value in (self._start | values).items():
            self._figure.controls[name].value = value
        # Drawn once more, as a test may have drawn another state behind the controls' back.
        controls = self._figure._controls.values()
        return self._figure._call(tuple(one.position(one.widget.value) for one in controls))


def values(figure: LiveFigure) -> dict[str, tuple[Any, ...]]:
    """Return what each control of a figure can be set to."""
    return {name: tuple(control.values) for name, control in figure._controls.items()}


def sweep(figure: LiveFigure) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every state and its caption; called directly, as drawing would add nothing."""
    options = values(figure)
    for state in np.ndindex(*(len(entries) for entries in options.values())):
        chosen = {name: options[name][k] for name, k in zip(options, state, strict=True)}
        yield chosen, figure._call(state)
