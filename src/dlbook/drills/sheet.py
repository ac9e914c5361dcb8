"""Show a drill in a notebook: task and signature, with hints and solution folded away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dlbook.drills import registry
from dlbook.drills.record import Drill
from dlbook.drills.report import folded
from dlbook.show import source

#: The parts of a drill as Markdown, for a site that shows them in its own way.
MIME: Final = "application/vnd.drillsheet+json"


@dataclass(frozen=True, repr=False)
class Sheet:
    """A drill to display: Markdown in a notebook, and text, which cannot fold, without spoilers.

    A site gets the parts one by one, the follow-up among them, which a notebook shows after a
    pass.

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
        solution = folded("Solution", self._solution())
        heading = f"**`{self.drill.signature}`** ({self.drill.level})"
        return "\n\n".join([heading, self.drill.task, *hints, solution])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            MIME: self._parts(),
            "text/markdown": self._repr_markdown_(),
            "text/plain": repr(self),
        }

    def _parts(self) -> dict[str, Any]:
        drill = self.drill
        return {
            "name": drill.name,
            "chapter": drill.chapter,
            "level": drill.level,
            "signature": drill.signature,
            "task": drill.task,
            "hints": list(drill.hints),
            "solution": self._solution(),
            "follow_up": drill.follow_up._asdict(),
        }

    def _solution(self) -> str:
        return source(self.drill.reference)._repr_markdown_()


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
