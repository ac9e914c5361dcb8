"""The examples in CONTRIBUTING work as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from support.book import ROOT

from booksite import katex
from booksite.questions.reading import read
from dlbook.drills import Case, grade, registry, storage


def example(heading: str, language: str) -> str:
    """Return the only fenced example in a section."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    (code,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(code)


def test_figure() -> None:
    mpl.use("agg")
    names: dict[str, Any] = {}
    with mpl.rc_context():
        exec(example("A live figure", "python"), names)
    assert names["tilt"].bake()["states"] == 11


def test_question(tmp_path: Path) -> None:
    bank = tmp_path / "01_optimizers.yml"
    bank.write_text(example("A question", "yaml"), encoding="utf-8")
    (question,) = read(
        bank,
        tests={"test_velocity_under_a_constant_gradient"},
        check_formula=lambda formula: katex.render(formula.latex),
    ).questions
    assert question.id == "optimizers-example"


def test_velocity_of_the_question() -> None:
    velocity = np.cumsum(0.9 ** np.arange(400))
    assert velocity[-1] == pytest.approx(10)
    assert int(np.argmax(velocity >= 9)) + 1 == 22


def test_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    monkeypatch.setattr(storage, "FOLDER", tmp_path)
    exec(example("A drill", "python"), names)
    drill = names["SOFTPLUS"]
    stored = [Case({"x": np.array([0.0, 1000.0])}, np.array([np.log(2), 1000.0]), "large")]
    storage.write(drill.cases, stored, "by hand")
    registry.all_drills()
    monkeypatch.setitem(registry._BY_NAME, "softplus", drill)
    assert grade("softplus", drill.reference).passed
    (words,) = drill.wrong
    report = grade("softplus", drill.wrong[words])
    assert not report.passed
    assert report.mistake == words
    assert report.failed_case is not None
    assert np.size(report.failed_case.inputs["x"]) == 1


def test_chapter() -> None:
    given = yaml.safe_load(example("A chapter", "yaml"))
    known = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert known["chapters"][0] == given["chapters"][0]
    assert all(set(entry) == {"file"} for entry in given["chapters"])
