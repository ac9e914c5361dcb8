"""Show a drill in a notebook: task and signature, with hints and solution folded away."""

from __future__ import annotations

from dataclasses import dataclass

from dlbook.drills import registry
from dlbook.drills.record import Drill
from dlbook.drills.report import folded
from dlbook.show import source


@dataclass(frozen=True, repr=False)
class Sheet:
    """A drill to display: Markdown in a notebook, and text, which cannot fold, without spoilers.

    Attributes
    ----------
    drill : Drill
        What it shows.
    """

    drill: Drill

    def __repr__(self) -> str:
        return f"{self.drill.signature} ({self.drill.level})\n\n{self.drill.task}"

    def _repr_markdown_(self) -> str:
        hints = [folded(f"Hint {n}", hint) for n, hint in enumerate(self.drill.hints, start=1)]
        solution = folded("Solution", source(self.drill.reference)._repr_markdown_())
        heading = f"**`{self.drill.signature}`** ({self.drill.level})"
        return "\n\n".join([heading, self.drill.task, *hints, solution])


def task(name: str) -> Sheet:
    """Return what to write in a drill, ready to display.

    Parameters
    ----------
    name : str
        The name of the drill.

    Returns
    -------
    Sheet
        Task, signature, hints and solution.

    Raises
    ------
    ValueError
        If no drill has the name.
    """
    return Sheet(registry.drill(name))
