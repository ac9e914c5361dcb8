"""What holds for every drill there is: a new one is tested by existing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlbook
from dlbook.drills import Drill, all_drills, drill, grade
from dlbook.drills.grading import attempt, drawn, run
from dlbook.drills.oracles.__main__ import ORACLES
from dlbook.drills.record import Case, call_with_values, copied

DRILLS = all_drills()
WRONG = [
    pytest.param(entry, words, wrong, id=f"{entry.name}: {words[:40]}")
    for entry in DRILLS
    for words, wrong in entry.wrong.items()
]

#: The others are called with numbers, generators and functions, which nobody can write into.
TAKING_ARRAYS = [entry for entry in DRILLS if entry.call is call_with_values]

every_drill = pytest.mark.parametrize("entry", DRILLS, ids=lambda entry: entry.name)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply a change to the number or to every array of an answer; a refusal stays one."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return type(value)(mapped(entry, change) for entry in value)
    return change(value)


def altered(entry: Drill, change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *args: mapped(entry.reference(*args), change)


def matches(words: str, message: str | None) -> bool:
    """Tell whether a message is these words with their fields filled in.

    It says too that no wrong solution before it agrees with this one: that would take the name.
    """
    pattern = re.sub(r"\\{\w+\\}", "[^{}]+", re.escape(words))
    return re.fullmatch(pattern, message or "") is not None


def test_there_are_drills_with_names_of_their_own() -> None:
    names = [entry.name for entry in DRILLS]
    assert {"minibatches", "sgd", "adam", "adamw", "largest_stable_lr"} <= set(names)
    assert len(set(names)) == len(names)
    assert set(ORACLES) == set(names)
    assert all(drill(entry.name) is entry for entry in DRILLS)


@every_drill
def test_the_record_is_complete(entry: Drill) -> None:
    assert entry.reference.__name__ == entry.name
    parameters = ", ".join(inspect.signature(entry.reference).parameters)
    assert entry.signature.startswith(f"{entry.name}({parameters}) -> ")
    assert hasattr(dlbook.drills, entry.chapter)
    assert len(entry.hints) >= 3
    assert len(entry.wrong) >= 3
    assert entry.follow_up.question.endswith("?")
    assert entry.follow_up.answer.endswith(".")
    assert entry.task.endswith(".")
    assert "$" not in entry.task  # math in an output is not for every notebook
    assert entry.cases.name == f"{entry.name}.json"


@every_drill
def test_the_reference_passes(entry: Drill) -> None:
    report = grade(entry.name, entry.reference)
    assert report.passed, report
    assert report.cases.passed == report.cases.total >= report.cases.stored + 200
    assert report.cases.stored >= 10
    assert report.failed_case is None
    assert report.mistake is None
    assert report.follow_up == entry.follow_up
    assert report.speed is not None and 0.2 < report.speed < 5


@pytest.mark.parametrize(("entry", "words", "wrong"), WRONG)
def test_a_wrong_solution_fails_with_its_own_words(
    entry: Drill, words: str, wrong: Callable[..., Any]
) -> None:
    report = grade(entry.name, wrong)
    assert not report.passed
    assert matches(words, report.mistake), report
    assert str(report.mistake) in report._repr_markdown_().replace("\\", "")
    assert report.failed_case is not None
    assert 0 <= report.cases.passed < report.cases.total
    assert report.speed is None
    assert report.follow_up is None


@every_drill
def test_zeros_have_no_name(entry: Drill) -> None:
    report = grade(entry.name, altered(entry, lambda x: x * 0))
    assert not report.passed
    assert report.mistake is None


@every_drill
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_has_no_name(entry: Drill, value: float) -> None:
    report = grade(entry.name, altered(entry, lambda x: x * value))
    assert not report.passed
    assert report.mistake is None
    assert report.failed_case is not None
    # An index that is no integer any more is refused for that.
    assert re.search("NaN|infinite|floating-point numbers, not integers", report.failed_case.reason)


@every_drill
def test_a_wrong_shape_is_said_and_has_no_name(entry: Drill) -> None:
    report = grade(entry.name, altered(entry, lambda x: np.asarray(x)[None]))
    assert not report.passed
    assert report.mistake is None
    assert report.failed_case is not None
    assert re.search(r"shape \(", report.failed_case.reason)


@every_drill
@pytest.mark.parametrize(
    "value", ["text", 7j, {}, object(), True], ids=lambda value: type(value).__name__
)
def test_a_wrong_type_is_said_and_has_no_name(entry: Drill, value: object) -> None:
    report = grade(entry.name, lambda *args: value)
    assert not report.passed
    assert report.mistake is None
    assert report.failed_case is not None
    assert re.search(r"it returned .*, not ", report.failed_case.reason)


@every_drill
def test_an_exception_is_shown_with_its_input_and_has_no_name(entry: Drill) -> None:
    def broken(*args: Any) -> Any:
        raise ZeroDivisionError("a reader's mishap")

    report = grade(entry.name, broken)
    assert not report.passed
    assert report.cases.passed == 0
    assert report.mistake is None
    assert report.failed_case is not None
    assert "ZeroDivisionError: a reader's mishap, in line" in report.failed_case.reason
    assert 'raise ZeroDivisionError("a reader\'s mishap")' in report.failed_case.reason
    assert all(name in str(report) for name in report.failed_case.inputs)
    assert report.failed_case.got is None


@pytest.mark.parametrize("entry", TAKING_ARRAYS, ids=lambda entry: entry.name)
def test_a_changed_argument_is_said_and_has_no_name(entry: Drill) -> None:
    arrays = [
        place
        for place, value in enumerate(next(drawn(entry, 1, 0)).inputs.values())
        if isinstance(value, np.ndarray)
    ]

    def careless(*args: Any) -> Any:
        answer = entry.reference(*args)
        args[arrays[-1]][...] += 1
        return answer

    report = grade(entry.name, careless)
    assert not report.passed
    assert report.cases.passed == 0
    assert report.mistake is None
    assert report.failed_case is not None
    assert re.match(r"it changed its argument \w+: work on a copy", report.failed_case.reason)


@every_drill
@pytest.mark.parametrize("body", [None, ...], ids=repr)
def test_a_body_to_be_written_is_no_mistake(entry: Drill, body: object) -> None:
    report = grade(entry.name, lambda *args: body)
    assert str(report) == f"{entry.name}: nothing returned yet."
    assert report._repr_markdown_() == f"**`{entry.name}`**: nothing returned yet."
    assert not report.passed
    assert report.mistake is None
    assert report.failed_case is None
    assert report.cases.total == 0


@every_drill
def test_drawing_repeats_itself(entry: Drill) -> None:
    def texts(seed: int) -> list[str]:
        return [repr(case) for case in drawn(entry, 5, seed)]

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)


@every_drill
def test_smaller_cases_are_fair_and_come_to_an_end(entry: Drill) -> None:
    rng = np.random.default_rng(5)
    for case in drawn(entry, 10, 6):
        inputs, steps = case.inputs, 0
        while True:
            before = repr(inputs)
            candidates = list(entry.smaller(copied(inputs)))
            assert repr(inputs) == before
            if not candidates:
                break
            inputs = candidates[int(rng.integers(len(candidates)))]
            assert list(inputs) == list(case.inputs)
            answered = Case(inputs, entry.expected(inputs))
            assert attempt(entry, entry.reference, answered) is None
            steps += 1
            assert steps < 400


@every_drill
def test_smaller_does_not_write_into_its_case(entry: Drill) -> None:
    case = next(drawn(entry, 1, 8))
    before = repr(case.inputs)
    list(entry.smaller(case.inputs))
    assert repr(case.inputs) == before


@every_drill
def test_a_right_answer_does_not_depend_on_warnings(entry: Drill) -> None:
    def noisy(*args: Any) -> Any:
        np.log(np.zeros(1))
        return entry.reference(*args)

    assert grade(entry.name, noisy).passed


@every_drill
def test_our_own_solutions_leave_their_arguments_alone(entry: Drill) -> None:
    for case in drawn(entry, 5, 9):
        for function in (entry.reference, *entry.wrong.values()):
            assert run(entry, function, case.inputs).changed is None
