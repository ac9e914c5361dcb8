"""The grader's own promises, and how a report reads."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
import time
from html import unescape
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from dlbook.drills import Drill, Report, all_drills, drill, grade, grading, registry
from dlbook.drills.compare import difference, display, same, text
from dlbook.drills.grading import SHRINK_TRIES, attempt, drawn, mistake_of, run, shrink
from dlbook.drills.optimizers import adam, sgd
from dlbook.drills.record import Case
from dlbook.drills.report import Counts, FailedCase, escaped
from dlbook.drills.shrink import dropped, plainer


def averaged(theta: Any, grads: Any, lrs: Any, momentum: float) -> Any:
    path, v = [], 0 * theta
    for grad, lr in zip(grads, lrs, strict=True):
        v = momentum * v + (1 - momentum) * grad
        theta = theta - lr * v
        path.append(theta)
    return np.array(path)


# --- who can be graded ---


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'sgdd'\. Did you mean 'sgd'\? There are: adam, adamw,"):
        grade("sgdd", sgd)
    with pytest.raises(ValueError, match=r"no drill is named 'zzz'\. There are: adam, "):
        drill("zzz")


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"grade\('sgd', \.\.\.\) takes the function itself"):
        grade("sgd", sgd(np.zeros(1), np.zeros((1, 1)), np.zeros(1), 0.9))  # type: ignore[arg-type]


def test_too_few_parameters_are_a_failure_not_an_error() -> None:
    report = grade("sgd", lambda theta, grads: theta)
    assert not report.passed
    assert "TypeError" in str(report)


# --- finding a drill ---

_BROWSER = """
import sys
for name in ("torch", "matplotlib", "IPython", "ipywidgets", "hypothesis"):
    sys.modules[name] = None
"""


def imported_after(code: str) -> set[str]:
    """Return what Python has imported after some code, where a page's packages are missing."""
    script = f"{_BROWSER}\n{code}\nprint(*(name for name, module in sys.modules.items() if module))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_one_drill_is_found_without_importing_the_other_chapters() -> None:
    chapters = {f"dlbook.drills.{entry.chapter}" for entry in all_drills()}
    assert len(chapters) > 1
    assert not chapters & imported_after("import dlbook.drills")
    for entry in (drill("iou_pair"), drill("attention")):
        found = imported_after(f"from dlbook.drills import drill; drill({entry.name!r})")
        assert chapters & found == {f"dlbook.drills.{entry.chapter}"}
    assert chapters <= imported_after("from dlbook.drills import all_drills; all_drills()")


def test_a_drill_is_the_same_however_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = all_drills()
    monkeypatch.setattr(registry, "_BY_NAME", {})
    registry._looked_up.cache_clear()
    assert all(drill(entry.name) is entry for entry in everything)
    assert registry._BY_NAME == {}, "all were imported to find one"


def test_drills_without_their_source_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str, file: str) -> bytes:
        raise FileNotFoundError(file)

    everything = all_drills()
    monkeypatch.setattr(registry, "_BY_NAME", {})
    monkeypatch.setattr(pkgutil, "get_data", missing)
    registry._looked_up.cache_clear()
    assert drill("iou_pair") in everything
    registry._looked_up.cache_clear()


# --- a report as data ---


def test_a_failure_as_data() -> None:
    report = grade("sgd", averaged)
    data = json.loads(json.dumps(report.as_dict()))
    assert set(data) == {
        "passed", "nothing_returned", "summary", "mistake", "reason", "case", "speed",
    }  # fmt: skip
    assert (data["passed"], data["nothing_returned"], data["speed"]) == (False, False, None)
    assert data["summary"] == f"{report.cases.passed} of {report.cases.total} cases pass."
    assert data["mistake"] == report.mistake is not None
    assert report.failed_case is not None
    assert data["reason"] == report.failed_case.reason
    assert data["case"] == str(report.failed_case)
    assert "expected" in data["case"] and "got" in data["case"]


def test_a_pass_as_data() -> None:
    report = grade("sgd", sgd)
    data = report.as_dict()
    assert data["passed"] is True
    assert data["summary"] in str(report)
    assert data["speed"] in str(report)
    assert str(data["speed"]).startswith("Speed: ")
    assert [data[name] for name in ("mistake", "reason", "case")] == [None] * 3


def test_nothing_returned_as_data() -> None:
    data = grade("sgd", lambda *_: None).as_dict()
    assert (data["passed"], data["nothing_returned"]) == (False, True)
    assert data["summary"] == "nothing returned yet."
    assert [data[name] for name in ("mistake", "reason", "case", "speed")] == [None] * 4


# --- naming a mistake ---


def test_agreement_on_the_failing_case_alone_is_no_mistake() -> None:
    """It copies a known mistake for one coordinate and errs in another way for more."""

    def two_faced(theta: Any, grads: Any, lrs: Any, momentum: float) -> Any:
        if theta.size == 1:
            return averaged(theta, grads, lrs, momentum)
        return sgd(theta, 2 * grads, lrs, momentum)

    assert grade("sgd", averaged).mistake is not None
    report = grade("sgd", two_faced)
    assert report.failed_case is not None
    assert report.failed_case.inputs["theta"].size == 1
    assert report.mistake is None


def test_a_right_function_elsewhere_is_no_mistake() -> None:
    def wrong_once(theta: Any, grads: Any, lrs: Any, momentum: float) -> Any:
        function = averaged if len(grads) == 1 else sgd
        return function(theta, grads, lrs, momentum)

    report = grade("sgd", wrong_once)
    assert not report.passed
    assert report.mistake is None


def test_forty_others_confirm_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counting(entry: Drill, count: int, seed: int) -> Any:
        asked.append(count)
        return drawn(entry, count, seed)

    monkeypatch.setattr(grading, "drawn", counting)
    assert grade("sgd", averaged).mistake is not None
    assert asked == [200, 40]


def test_nan_of_another_cause_is_not_a_division_by_zero() -> None:
    assert grade("adam", lambda *args: adam(*args) * np.nan).mistake is None
    assert grade("adam", lambda *args: adam(*args) * 0 / 0).mistake is None


def test_a_changed_argument_hides_no_other_mistake() -> None:
    def careless(theta: Any, grads: Any, lrs: Any, momentum: float) -> Any:
        path = averaged(theta, grads, lrs, momentum)
        theta -= 1
        return path

    report = grade("sgd", careless)
    assert report.mistake is None
    assert "changed its argument theta" in str(report)
    entry = drill("sgd")
    case = next(drawn(entry, 1, 0))
    failure = attempt(entry, careless, case)
    assert failure is not None
    assert mistake_of(entry, careless, failure) is None


# --- the smallest case ---


def test_a_failure_is_shrunk_to_what_matters() -> None:
    report = grade("sgd", averaged)
    assert report.failed_case is not None
    inputs = report.failed_case.inputs
    assert inputs["theta"].tolist() == [0.0]
    assert inputs["grads"].tolist() == [[1.0]]
    assert inputs["momentum"] == 0.9


def test_shrinking_keeps_the_kind_of_failure() -> None:
    """An exception on smaller inputs is another failure."""

    def fragile(theta: Any, grads: Any, lrs: Any, momentum: float) -> Any:
        if len(grads) < 3:
            raise RuntimeError("too short")
        return sgd(theta, grads, lrs, 0.0)

    entry = drill("sgd")
    case = next(c for c in drawn(entry, 50, 1) if len(c.inputs["grads"]) > 4)
    failure = attempt(entry, fragile, case)
    assert failure is not None and failure.kind == "value"
    smallest = shrink(entry, fragile, failure)
    assert smallest.kind == "value"
    assert len(smallest.case.inputs["grads"]) == 3


def test_shrinking_tries_at_most_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = drill("adam")
    inputs = next(drawn(entry, 1, 0)).inputs
    big = dict(inputs) | {"theta": np.zeros(40), "grads": np.full((40, 40), 0.123)}
    case = Case(big, entry.expected(big))
    calls = 0

    def wrong_for_this_alone(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return adam(*args) + np.array_equal(args[1], big["grads"])

    failure = attempt(entry, wrong_for_this_alone, case)
    assert failure is not None
    calls = 0
    shrink(entry, wrong_for_this_alone, failure)
    assert calls <= SHRINK_TRIES == 400
    assert len(list(entry.smaller(big))) > 1000


def test_moves_of_shrinking() -> None:
    inputs = {"a": np.array([1.0, 2.0, 3.0]), "b": np.arange(6.0).reshape(2, 3), "c": 0.25}
    fewer = list(dropped(inputs, a=0, b=1))
    assert [entry["a"].tolist() for entry in fewer] == [[1, 2], [1, 3], [2, 3]]
    assert [entry["b"].shape for entry in fewer] == [(2, 2)] * 3
    assert list(dropped({"a": np.ones(1)}, a=0)) == []
    assert [entry["c"] for entry in plainer(inputs, "c", 0.0, 1.0)][:3] == [0.0, 1.0, 0.2]
    assert all(isinstance(entry["c"], float) for entry in plainer(inputs, "c", 0.0))
    assert list(plainer({"c": 0.0}, "c", 0.0, 1.0)) == []
    pairs = [entry["p"] for entry in plainer({"p": (3, 4)}, "p", (0, 0), (1, 1))]
    assert pairs == [(0, 0), (1, 1)]
    assert list(plainer({"p": (0, 0)}, "p", (0, 0), (1, 1))) == []


# --- running a reader's code ---


def test_inputs_stay_as_they_are_whatever_happens() -> None:
    entry = drill("sgd")
    case = next(drawn(entry, 1, 0))
    before = repr(case.inputs)

    def destructive(*args: Any) -> Any:
        for value in args[:3]:
            value[...] = 0
        raise RuntimeError

    outcome = run(entry, destructive, case.inputs)
    assert repr(case.inputs) == before
    assert outcome.error is not None and outcome.error.startswith("RuntimeError, in line ")


def test_prints_stay_out_of_the_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    def talkative(*args: Any) -> Any:
        print("theta is", args[0])
        return averaged(*args)

    report = grade("sgd", talkative)
    assert capsys.readouterr().out == ""
    assert str(report).count("theta is [0.]") == 1
    assert grade("sgd", lambda *args: (print("hello"), sgd(*args))[1]).passed
    assert capsys.readouterr().out == ""


def test_warnings_stay_out_of_the_notebook(recwarn: pytest.WarningsRecorder) -> None:
    grade("adam", next(iter(drill("adam").wrong.values())))
    grade("largest_stable_lr", next(iter(drill("largest_stable_lr").wrong.values())))
    assert not recwarn.list


def test_a_slow_solution_passes_and_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # What else a busy machine does is not this thread's time.
    monkeypatch.setattr(time, "perf_counter", time.thread_time)

    def slow(*args: Any) -> Any:
        for _ in range(10):
            sgd(*args)
        return sgd(*args)

    report = grade("sgd", slow)
    assert report.passed
    assert report.speed is not None and 4 < report.speed < 30
    assert re.search(r"Speed: \d+(\.\d)? times the reference's time \(not graded\)", str(report))


# --- comparing ---


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (None, "it returned nothing, not an array of shape (2, 1)"),
        ([[1.0], [2.0]], "it returned a list, not an array of shape (2, 1)"),
        (np.ones(2), "it returned shape (2,), not (2, 1)"),
        (np.ones((2, 1), dtype=int), "it returned integers, not floating-point numbers"),
        (np.ones((2, 1), dtype=bool), "it returned booleans, not floating-point numbers"),
        (np.ones((2, 1), dtype=object), "it returned objects, not floating-point numbers"),
        (np.array([[1.0], [np.nan]]), "it returned NaN at [1, 0]"),
        (np.array([[np.inf], [1.0]]), "it returned an infinite value at [0, 0]"),
        (np.array([[1.0], [2.1]]), "1 of 2 values differ, the first at [1, 0]"),
        (np.array([[1.0], [2.0 + 1e-6]]), "1 of 2 values differ, the first at [1, 0]"),
        (np.array([[1.0], [2.0 + 1e-8]]), None),
        (np.array([[1.0], [2.0]], dtype=np.float32), None),
    ],
)
def test_difference_of_arrays(got: Any, words: str | None) -> None:
    assert difference({}, np.array([[1.0], [2.0]]), got) == words


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (1.5, None),
        (np.float64(1.5), None),
        (np.array(1.5), None),
        (np.float32(1.5), None),
        (np.array([1.5]), "it returned an array of shape (1,), not a number"),
        ("1.5", "it returned a str, not a number"),
        (2, "it returned integers, not floating-point numbers"),
        (np.nan, "it returned NaN"),
        (1.6, "the value differs"),
    ],
)
def test_difference_of_numbers(got: Any, words: str | None) -> None:
    assert difference({}, 1.5, got) == words


def test_integers_of_any_width_are_equal() -> None:
    right = np.arange(3, dtype=np.int64)
    for dtype in (np.int32, np.int16, np.uint8):
        assert difference({}, right, right.astype(dtype)) is None
    assert difference({}, right, right.astype(float)) is not None


def test_same_takes_nan_for_nan_but_no_other_shape() -> None:
    assert same(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
    assert not same(np.array([np.nan, 1.0]), np.array([1.0, 1.0]))
    assert not same(np.zeros(2), np.zeros((2, 1)))
    assert not same(np.zeros(()), 0.0)
    assert not same(None, None)


def test_answers_are_printed_with_the_digits_that_tell_them_apart() -> None:
    assert display({}, 0.1, 0.2) == ("0.1", "0.2")
    assert display({}, 1.0, 1.0000002) == ("1", "1.0000002")
    one, other = display({}, np.array([1.0, 2.0]), np.array([1.0, 2.0000001]))
    assert one != other
    assert len(text(np.zeros((100, 100))).splitlines()) < 12
    assert text(np.arange(3)) == "[0, 1, 2]"
    assert text((0.9, 0.999)) == "(0.9, 0.999)"
    assert len(text("x" * 1000)) < 310


# --- how it reads ---


def test_a_failing_report_as_text() -> None:
    report = grade("sgd", averaged)
    assert re.fullmatch(
        r"""sgd: \d+ of 213 cases pass\.

Likely mistake: every step is 10 times too small \(1-momentum=0\.1\): v is a sum of
gradients, not an average

The smallest failing case: the value differs

    theta    = \[0\.\]
    grads    = \[\[1\.\]\]
    lrs      = \[0\.1\]
    momentum = 0\.9

    expected = \[\[-0\.1\]\]
    got      = \[\[-0\.01\]\]""",
        str(report),
    )
    assert repr(report) == str(report)


def test_a_failing_report_as_markdown() -> None:
    markdown = grade("sgd", averaged)._repr_markdown_()
    assert markdown.startswith("**`sgd`**: ")
    assert "\n\n**Likely mistake:** every step is 10 times too small" in markdown
    assert "```text\ntheta    = [0.]\n" in markdown
    assert markdown.count("```") == 2


def test_a_passing_report() -> None:
    report = grade("adam", adam)
    text_form, markdown = str(report), report._repr_markdown_()
    assert text_form.startswith("adam: all 216 cases pass, 16 of them with PyTorch's answers.")
    for form in (text_form, markdown):
        assert "Can a step of Adam be longer than the learning rate?" in form
        assert "times the reference's time (not graded)" in form
    assert "<details>\n<summary>Answer</summary>\n\nYes." in markdown
    assert markdown.endswith("\n\n</details>")


def test_lines_stay_short_enough_for_a_phone_to_scroll_once() -> None:
    for name in ("minibatches", "adam", "largest_stable_lr"):
        for wrong in drill(name).wrong.values():
            assert max(map(len, str(grade(name, wrong)).splitlines())) <= 112


def test_a_long_print_is_cut() -> None:
    case = FailedCase({"n": 1}, "", "it differs", "1", "2", "line\n" * 50)
    assert str(case).count("line") == 10
    assert str(case).endswith("…")


def test_markdown_reads_code_as_written() -> None:
    assert escaped("beta1**t, |g|, v_1 <x>") == r"beta1\*\*t, \|g\|, v\_1 \<x>"
    report = Report("sgd", False, Counts(0, 1, 1), mistake="1 - beta1**t")
    assert r"1 - beta1\*\*t" in report._repr_markdown_()
    assert "1 - beta1**t" in str(report)


@pytest.mark.parametrize("entry", all_drills(), ids=lambda entry: entry.name)
def test_a_mistake_reads_the_same_in_every_form(entry: Drill) -> None:
    for wrong in entry.wrong.values():
        report = grade(entry.name, wrong)
        html = MarkdownIt("commonmark").render(report._repr_markdown_())
        assert f"<strong>Likely mistake:</strong> {report.mistake}" in unescape(html)
        assert " ".join(str(report.mistake).split()) in " ".join(str(report).split())
