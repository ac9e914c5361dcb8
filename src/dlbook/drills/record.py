"""What a drill is: the task, its right answer, its typical wrong ones, and how cases are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from dlbook.drills import compare

Function = Callable[..., Any]

#: Arguments by name, in the order of the call: arrays, numbers, or tuples of numbers.
Inputs = Mapping[str, Any]


class Case(NamedTuple):
    """Inputs and the right answer to them; a stored case has a note that says what it is for."""

    inputs: Inputs
    expected: Any
    note: str = ""


class FollowUp(NamedTuple):
    """The question that an interviewer asks next, and what one answers."""

    question: str
    answer: str


def call_with_values(function: Function, inputs: Inputs) -> Any:
    """Call a function with the inputs as positional arguments."""
    return function(*inputs.values())


def no_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    """Return nothing to fill in: the messages hold no field."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A function to write, and all that the grader needs to judge it.

    The fields from ``call`` on have defaults that suit arrays in and one array or number out. A
    drill with other arguments, or with an answer that is random, brings its own.

    Attributes
    ----------
    name : str
        The name of the function, unique in the book.
    chapter : str
        The module of the chapter, such as ``"optimizers"``.
    level : {"screening", "core", "senior"}
        The interview that asks for it.
    task : str
        What to write, as Markdown.
    signature : str
        The call and what it returns, in one line.
    hints : sequence of str
        From a nudge to nearly the solution, as Markdown.
    reference : callable
        A right solution; its source is shown as *the* solution.
    wrong : mapping of str to callable
        A typical mistake in words, and a function that makes it. The words may have fields such
        as ``{step}``, which ``facts`` fills in.
    draw : callable
        ``draw(rng) -> inputs``, a random case.
    smaller : callable
        ``smaller(inputs)`` yields simpler inputs; no chain of them may come back to its start.
    cases : Path
        The stored cases with PyTorch's answers.
    follow_up : FollowUp
        The question after a pass.
    call : callable
        ``call(function, inputs)``: how the function is called with a case.
    setting : str
        How ``call`` makes arguments of the inputs, in words, where that is not plain.
    answer : callable, optional
        ``answer(inputs)``: the right answer to a drawn case. By default the reference gives it.
    check : callable
        ``check(inputs, expected, got)``: what is wrong with an answer in words, or ``None``.
    agree : callable, optional
        ``agree(inputs, one, other)``: whether two answers show the same mistake. By default they
        have to be equal.
    facts : callable
        ``facts(inputs, got)``: what fills the fields of the messages.
    display : callable
        ``display(inputs, expected, got)``: both answers as text.
    """

    name: str
    chapter: str
    level: Literal["screening", "core", "senior"]
    task: str
    signature: str
    hints: Sequence[str]
    reference: Function
    wrong: Mapping[str, Function]
    draw: Callable[[np.random.Generator], Inputs]
    smaller: Callable[[Inputs], Iterator[Inputs]]
    cases: Path
    follow_up: FollowUp
    call: Callable[[Function, Inputs], Any] = call_with_values
    setting: str = ""
    answer: Callable[[Inputs], Any] | None = None
    check: Callable[[Inputs, Any, Any], str | None] = compare.difference
    agree: Callable[[Inputs, Any, Any], bool] | None = None
    facts: Callable[[Inputs, Any], Mapping[str, str]] = no_facts
    display: Callable[[Inputs, Any, Any], tuple[str, str]] = compare.display

    def expected(self, inputs: Inputs) -> Any:
        """Return the right answer to a case, which is passed on as copies."""
        copies = copied(inputs)
        return self.answer(copies) if self.answer else self.call(self.reference, copies)


def copied(inputs: Inputs) -> dict[str, Any]:
    """Return the inputs with a copy of every array, so that nobody can write into ours."""
    return {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in inputs.items()
    }
