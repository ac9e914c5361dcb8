"""What the grader found, as text and as Markdown that every notebook shows alike."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlbook.drills import compare
from dlbook.drills.record import FollowUp

#: Lines of a reader's own prints that a report shows.
PRINTED_LINES = 10


class Counts(NamedTuple):
    """How many cases passed, of how many, and how many of these are stored ones."""

    passed: int
    total: int
    stored: int


NOTHING_GRADED = Counts(0, 0, 0)


@dataclass(frozen=True)
class FailedCase:
    """The smallest case found on which a function fails.

    Attributes
    ----------
    inputs : mapping
        The case.
    setting : str
        How the function was called with it, where that is not plain.
    reason : str
        What is wrong, in words.
    expected : str
        The right answer, printed.
    got : str, optional
        The function's answer, printed; ``None`` after an exception or a changed argument.
    printed : str
        What the function printed.
    """

    inputs: Mapping[str, Any]
    setting: str
    reason: str
    expected: str
    got: str | None
    printed: str = ""

    def __str__(self) -> str:
        entries = [(name, compare.text(value)) for name, value in self.inputs.items()]
        lines = [_aligned(entries)]
        if self.setting:
            lines.append(f"({self.setting})")
        answers = [("expected", self.expected)]
        if self.got is not None:
            answers.append(("got", self.got))
        lines += ["", _aligned(answers)]
        if self.printed:
            shown = self.printed.rstrip("\n").splitlines()
            more = ["…"] if len(shown) > PRINTED_LINES else []
            lines += ["", "printed:", *shown[:PRINTED_LINES], *more]
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class Report:
    """The judgment of one function.

    Attributes
    ----------
    name : str
        The drill.
    passed : bool
        Whether all cases passed.
    cases : Counts
        How many did; all zero if nothing was graded.
    failed_case : FailedCase, optional
        The smallest failure.
    mistake : str, optional
        The likely mistake, if the function behaves like a known wrong solution.
    speed : float, optional
        Its time in units of the reference's, after a pass. Never graded.
    follow_up : FollowUp, optional
        The next question, after a pass.
    nothing_returned : bool
        Whether the body is still to be written.
    """

    name: str
    passed: bool
    cases: Counts = NOTHING_GRADED
    failed_case: FailedCase | None = None
    mistake: str | None = None
    speed: float | None = None
    follow_up: FollowUp | None = None
    nothing_returned: bool = False

    def __str__(self) -> str:
        parts = [f"{self.name}: {self._summary()}"]
        if self.mistake:
            parts.append(_wrapped(f"Likely mistake: {self.mistake}"))
        if self.failed_case:
            parts.append(_wrapped(f"The smallest failing case: {self.failed_case.reason}"))
            parts.append(textwrap.indent(str(self.failed_case), "    "))
        if self.speed is not None:
            parts.append(self._pace())
        if self.follow_up:
            parts.append(_wrapped(f"An interviewer asks next: {self.follow_up.question}"))
            parts.append(_wrapped(f"Answer: {self.follow_up.answer}"))
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        parts = [f"**`{self.name}`**: {self._summary()}"]
        if self.mistake:
            parts.append(f"**Likely mistake:** {escaped(self.mistake)}")
        if self.failed_case:
            parts.append(f"**The smallest failing case:** {escaped(self.failed_case.reason)}")
            parts.append(f"```text\n{self.failed_case}\n```")
        if self.speed is not None:
            parts.append(self._pace())
        if self.follow_up:
            parts.append(f"**An interviewer asks next:** {self.follow_up.question}")
            parts.append(folded("Answer", self.follow_up.answer))
        return "\n\n".join(parts)

    def as_dict(self) -> dict[str, bool | str | None]:
        """Return the report for who displays it in another way.

        Returns
        -------
        dict
            ``passed`` and ``nothing_returned`` are bool, ``summary`` is text. ``mistake``,
            ``reason``, ``case`` (the smallest failing one with both answers, several lines) and
            ``speed`` are text, or ``None`` where there is nothing to say.
        """
        failed = self.failed_case
        return {
            "passed": self.passed,
            "nothing_returned": self.nothing_returned,
            "summary": self._summary(),
            "mistake": self.mistake,
            "reason": failed.reason if failed else None,
            "case": str(failed) if failed else None,
            "speed": None if self.speed is None else self._pace(),
        }

    def _summary(self) -> str:
        if self.nothing_returned:
            return "nothing returned yet."
        passed, total, stored = self.cases
        if self.passed:
            return f"all {total} cases pass, {stored} of them with PyTorch's answers."
        return f"{passed} of {total} cases pass."

    def _pace(self) -> str:
        speed = self.speed or 0.0
        times = f"{speed:.1f}" if speed < 10 else f"{speed:.0f}"
        return f"Speed: {times} times the reference's time (not graded)."


def folded(summary: str, body: str) -> str:
    """Return a collapsed block: HTML around Markdown, which all notebooks understand.

    Parameters
    ----------
    summary : str
        The words to click on.
    body : str
        Markdown; the empty lines around it are what makes it so.

    Returns
    -------
    str
        Markdown.
    """
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def escaped(text: str) -> str:
    """Keep Markdown from reading code such as ``beta1**t`` or ``v_1`` as emphasis."""
    for mark in "\\`*_<[|$":
        text = text.replace(mark, "\\" + mark)
    return text


def _aligned(entries: list[tuple[str, str]]) -> str:
    """Return ``name = value`` lines with the values in one column."""
    width = max(len(name) for name, _ in entries)
    lines = []
    for name, value in entries:
        first, *rest = value.splitlines() or [""]
        lines.append(f"{name:<{width}} = {first}")
        lines += [" " * (width + 3) + line for line in rest]
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 88, break_long_words=False, break_on_hyphens=False)
