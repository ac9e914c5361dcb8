"""The grader: run a reader's function on all cases, shrink the failure, name the mistake."""

from __future__ import annotations

import contextlib
import io
import linecache
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlbook.drills import compare, registry, storage
from dlbook.drills.record import Case, Drill, Function, Inputs, copied
from dlbook.drills.report import Counts, FailedCase, Report

#: The seed of the drawn cases; the one after it draws those that confirm a mistake.
SEED = 20261
DRAWN = 200
CONFIRMING = 40
SHRINK_TRIES = 400
TIMED = 30


@dataclass(frozen=True)
class Outcome:
    """What became of one call.

    Attributes
    ----------
    value : any
        What the function returned.
    error : str, optional
        The exception that it raised, and where.
    changed : str, optional
        The argument that it wrote into.
    divided : bool
        Whether NumPy divided by zero on the way.
    printed : str
        What it printed.
    """

    value: Any = None
    error: str | None = None
    changed: str | None = None
    divided: bool = False
    printed: str = ""


@dataclass(frozen=True)
class Failure:
    """A case that a function fails, with the reason in words."""

    case: Case
    outcome: Outcome
    reason: str

    @property
    def kind(self) -> str:
        """Tell the three ways to fail apart."""
        if self.outcome.error:
            return "exception"
        return "changed" if self.outcome.changed else "value"


def grade(name: str, function: Function) -> Report:
    """Judge a function that a reader wrote for a drill.

    Nothing that the function does is raised: it becomes part of the report.

    Parameters
    ----------
    name : str
        The name of the drill.
    function : callable
        The reader's function; its name and those of its parameters do not matter.

    Returns
    -------
    Report
        Displays itself in a notebook, and prints as text.

    Raises
    ------
    ValueError
        If no drill has the name.
    TypeError
        If ``function`` cannot be called.
    """
    drill = registry.drill(name)
    if not callable(function):
        raise TypeError(f"grade({name!r}, ...) takes the function itself, got {function!r}")
    stored = storage.read(drill.cases)
    if _returns_nothing(drill, function, stored[0].inputs):
        return Report(drill.name, passed=False, nothing_returned=True)
    cases = [*stored, *drawn(drill, DRAWN, SEED)]
    failures = [failure for case in cases if (failure := attempt(drill, function, case))]
    counts = Counts(len(cases) - len(failures), len(cases), len(stored))
    if failures:
        return _failed(drill, function, counts, min(failures, key=_size))
    return Report(
        drill.name,
        passed=True,
        cases=counts,
        speed=_speed(drill, function, cases[-TIMED:]),
        follow_up=drill.follow_up,
    )


def drawn(drill: Drill, count: int, seed: int) -> Iterator[Case]:
    """Yield random cases of a drill with their right answers.

    Parameters
    ----------
    drill : Drill
        Draws the cases.
    count, seed : int
        How many, and the seed of the generator.

    Yields
    ------
    Case
        The same ones for the same seed.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield _answered(drill, drill.draw(rng))


def attempt(drill: Drill, function: Function, case: Case) -> Failure | None:
    """Run a function on one case.

    Parameters
    ----------
    drill : Drill
        Calls the function and checks its answer.
    function : callable
        The function to judge.
    case : Case
        Passed on as copies.

    Returns
    -------
    Failure or None
        ``None`` if the answer is right.
    """
    outcome = run(drill, function, case.inputs)
    if outcome.error:
        reason: str | None = f"it raised {outcome.error}"
    elif outcome.changed:
        reason = f"it changed its argument {outcome.changed}: work on a copy"
    else:
        reason = drill.check(case.inputs, case.expected, outcome.value)
    return Failure(case, outcome, reason) if reason else None


def run(drill: Drill, function: Function, inputs: Inputs) -> Outcome:
    """Call a function with copies of the inputs and return what became of it.

    Parameters
    ----------
    drill : Drill
        Knows how to call the function.
    function : callable
        The reader's function, or one of ours.
    inputs : mapping
        Not changed, whatever the function does.

    Returns
    -------
    Outcome
        With the exception, if there was one; its warnings and prints stay out of the notebook.
    """
    given = copied(inputs)
    printed = io.StringIO()
    flags: set[str] = set()

    def note(kind: str, _: int) -> None:
        flags.add(kind)

    value, error = None, None
    with contextlib.redirect_stdout(printed), np.errstate(all="call", call=note):
        try:
            value = drill.call(function, given)
        except Exception as raised:  # whatever a reader's code may raise
            error = _described(raised, function)
    changed = None if error else _changed(inputs, given)
    return Outcome(value, error, changed, "divide by zero" in flags, printed.getvalue())


def shrink(drill: Drill, function: Function, failure: Failure) -> Failure:
    """Return the smallest case found on which a function still fails in the same way.

    Parameters
    ----------
    drill : Drill
        Its ``smaller`` proposes cases.
    function : callable
        The function that fails.
    failure : Failure
        Where the search begins.

    Returns
    -------
    Failure
        After at most ``SHRINK_TRIES`` calls.
    """
    tries = 0
    improved = True
    while improved:
        improved = False
        for inputs in drill.smaller(failure.case.inputs):
            if tries == SHRINK_TRIES:
                return failure
            tries += 1
            found = attempt(drill, function, _answered(drill, inputs))
            if found and found.kind == failure.kind:
                failure, improved = found, True
                break
    return failure


def mistake_of(drill: Drill, function: Function, failure: Failure) -> str | None:
    """Name the mistake behind a failure, from behavior alone.

    Parameters
    ----------
    drill : Drill
        Knows typical wrong solutions.
    function : callable
        The function that fails.
    failure : Failure
        A case that it fails.

    Returns
    -------
    str or None
        The words of the first wrong solution that agrees with the function on this case and on
        ``CONFIRMING`` others; ``None`` without one, and for an exception or a changed argument.
    """
    others = [case.inputs for case in drawn(drill, CONFIRMING, SEED + 1)]
    outcomes = [(failure.case.inputs, failure.outcome)]
    outcomes += [(inputs, run(drill, function, inputs)) for inputs in others]
    for words, wrong in drill.wrong.items():
        if all(_agree(drill, wrong, inputs, outcome) for inputs, outcome in outcomes):
            return words.format_map(drill.facts(failure.case.inputs, failure.outcome.value))
    return None


def _failed(drill: Drill, function: Function, counts: Counts, failure: Failure) -> Report:
    failure = shrink(drill, function, failure)
    case, outcome = failure.case, failure.outcome
    expected, got = drill.display(case.inputs, case.expected, outcome.value)
    failed_case = FailedCase(
        inputs=dict(case.inputs),
        setting=drill.setting,
        reason=failure.reason,
        expected=expected,
        got=got if failure.kind == "value" else None,
        printed=outcome.printed,
    )
    mistake = mistake_of(drill, function, failure)
    return Report(drill.name, passed=False, cases=counts, failed_case=failed_case, mistake=mistake)


def _answered(drill: Drill, inputs: Inputs) -> Case:
    return Case(inputs, drill.expected(inputs))


def _agree(drill: Drill, wrong: Function, inputs: Inputs, outcome: Outcome) -> bool:
    """Tell whether a wrong solution does to a case what the reader's function did."""
    other = run(drill, wrong, inputs)
    if outcome.error or outcome.changed or other.error:
        return False
    if drill.agree:
        return drill.agree(inputs, outcome.value, other.value)
    # NaN equals NaN whatever its cause, so its cause has to be the same as well.
    if compare.has_nan(other.value) and outcome.divided != other.divided:
        return False
    return compare.same(outcome.value, other.value)


def _returns_nothing(drill: Drill, function: Function, inputs: Inputs) -> bool:
    """Tell whether the body is still ``...``: every call returns ``None`` or ``Ellipsis``."""
    returned = []

    def watched(*arguments: Any) -> Any:
        result = function(*arguments)
        returned.append(result)
        return result

    run(drill, watched, inputs)
    return bool(returned) and all(result is None or result is Ellipsis for result in returned)


def _changed(inputs: Inputs, given: Inputs) -> str | None:
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and not np.array_equal(value, given[name]):
            return name
    return None


def _described(error: Exception, function: Function) -> str:
    """Return an exception in words, with the reader's own line if it came from there."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    code = getattr(function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code and frame.filename == code.co_filename]
    if not own or own[-1].lineno is None:
        return text
    line = linecache.getline(own[-1].filename, own[-1].lineno).strip()
    return f"{text}, in line {own[-1].lineno}" + (f": {line}" if line else "")


def _size(failure: Failure) -> int:
    return sum(int(np.size(value)) for value in failure.case.inputs.values())


def _speed(drill: Drill, function: Function, cases: Sequence[Case]) -> float | None:
    """Return the time of a function in units of the reference's; ``None`` if it is too short."""
    ours, theirs = [], []
    for _ in range(3):  # the best of three: whatever else the machine does only adds
        theirs.append(_seconds(drill, function, cases))
        ours.append(_seconds(drill, drill.reference, cases))
    return min(theirs) / min(ours) if min(ours) > 0 else None


def _seconds(drill: Drill, function: Function, cases: Sequence[Case]) -> float:
    given = [copied(case.inputs) for case in cases]
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        begin = time.perf_counter()
        for inputs in given:
            drill.call(function, inputs)
        return time.perf_counter() - begin
