"""What a notebook tells the site about a drill."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

#: The output of a cell that shows a drill: its parts as Markdown.
MIME: Final = "application/vnd.drillsheet+json"
#: From the first minutes of an interview to its end.
LEVELS: Final = ("screening", "core", "senior")

_SENTENCE: Final = re.compile(r"(?:`[^`]*`|[^`])*?[.?!](?=\s|$)")


class DrillSheet(NamedTuple):
    """A drill; all but name and level is Markdown."""

    name: str
    level: str
    signature: str
    task: str
    hints: tuple[str, ...]
    solution: str
    question: str
    answer: str

    @property
    def anchor(self) -> str:
        """The ``id`` of the drill on its page."""
        return f"drill-{self.name}"

    @property
    def first_sentence(self) -> str:
        """How the task begins; a stop within code ends no sentence."""
        found = _SENTENCE.match(self.task)
        return found[0] if found else self.task


def read(content: dict[str, Any]) -> DrillSheet:
    """Return the drill that a cell's output describes.

    Raises
    ------
    ValueError
        If a part is missing, or the level is none.
    """
    try:
        sheet = DrillSheet(
            name=content["name"],
            level=content["level"],
            signature=content["signature"],
            task=content["task"],
            hints=tuple(content["hints"]),
            solution=content["solution"],
            question=content["follow_up"]["question"],
            answer=content["follow_up"]["answer"],
        )
    except KeyError as error:
        raise ValueError(
            f"a drill's output has no {error.args[0]}: run the notebook anew"
        ) from None
    if sheet.level not in LEVELS:
        known = ", ".join(LEVELS)
        raise ValueError(
            f"the drill {sheet.name} has the level {sheet.level!r}, not one of {known}"
        )
    return sheet
