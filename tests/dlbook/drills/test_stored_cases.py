"""The stored answers are PyTorch's, and grading by them needs no PyTorch."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import dlbook.drills
from dlbook.drills import Case, all_drills, storage
from dlbook.drills.oracles.__main__ import ORACLES, cases, main
from dlbook.drills.record import Inputs

FOLDER = Path(dlbook.drills.__file__).parent
NAMES = [entry.name for entry in all_drills()]
every_drill = pytest.mark.parametrize("name", NAMES)


@every_drill
def test_stored_cases_equal_torch(name: str) -> None:
    stored, fresh = storage.read(storage.path(name)), cases(name)
    assert len(stored) == len(fresh) >= 10
    for old, new in zip(stored, fresh, strict=True):
        assert old.note == new.note
        _assert_same_inputs(old.inputs, new.inputs)
        assert np.shape(old.expected) == np.shape(new.expected)
        if new.expected is None:  # refused
            assert old.expected is None
        else:
            assert_allclose(old.expected, new.expected, rtol=1e-12, atol=1e-12)


def _assert_same_inputs(old: Inputs, new: Inputs) -> None:
    """Up to the last bits: powers and exponentials differ from one processor to another."""
    assert list(old) == list(new)
    for argument, value in new.items():
        assert type(old[argument]) is type(value)
        if isinstance(value, np.ndarray):
            assert (old[argument].shape, old[argument].dtype) == (value.shape, value.dtype)
            assert_allclose(old[argument], value, rtol=1e-13, atol=1e-13)
        else:
            assert old[argument] == value


def test_inputs_that_differ_are_noticed() -> None:
    one = np.ones(3)
    _assert_same_inputs({"x": one, "k": 1}, {"x": one * (1 + 1e-15), "k": 1})
    for other in ({"x": one * 1.000001, "k": 1}, {"x": one[:2], "k": 1}, {"x": one, "k": 2}):
        with pytest.raises(AssertionError):
            _assert_same_inputs({"x": one, "k": 1}, other)


@every_drill
def test_notes_tell_the_cases_apart(name: str) -> None:
    notes = [case.note for case in storage.read(storage.path(name))]
    assert len(set(notes)) == len(notes)
    assert all(notes)
    assert "torch" in ORACLES[name].source


def test_making_the_cases_again_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to the last bit, which may differ from one machine to another."""
    monkeypatch.setattr(storage, "FOLDER", tmp_path)
    main()
    assert len(capsys.readouterr().out.splitlines()) == len(NAMES)
    for name in NAMES:
        made, kept = tmp_path / f"{name}.json", FOLDER / "cases" / f"{name}.json"
        for new, old in zip(storage.read(made), storage.read(kept), strict=True):
            _assert_same_inputs(old.inputs, new.inputs)
        sources = [json.loads(file.read_text("utf-8"))["source"] for file in (made, kept)]
        assert sources[0] == sources[1]


def test_every_file_belongs_to_a_drill() -> None:
    assert sorted(path.stem for path in (FOLDER / "cases").iterdir()) == sorted(NAMES)


def test_numbers_come_back_to_the_last_bit(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "matrix": np.random.default_rng(0).normal(size=(3, 2)),
        "empty": np.zeros((0, 2)),
        "counts": np.array([1, 2, 3]),
        "number": 0.1 + 0.2,
        "integer": 7,
        "pair": (0.9, 0.999),
    }
    file = tmp_path / "made.json"
    storage.write(file, [Case(values, np.array([np.pi]), "a note")], "nobody")
    (read,) = storage.read(file)
    for name, value in values.items():
        assert type(read.inputs[name]) is type(value)
        assert_array_equal(read.inputs[name], value)
    assert read.inputs["matrix"].dtype == np.float64
    assert read.inputs["counts"].dtype.kind == "i"
    assert read.expected == np.pi
    assert read.note == "a note"


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sgd\.json is missing .* make cases"):
        storage.read(tmp_path / "sgd.json")
    (tmp_path / "sgd.json").write_text('{"schema": 99, "cases": []}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"sgd\.json has format 99, this grader reads 1"):
        storage.read(tmp_path / "sgd.json")


def test_grading_needs_numpy_only() -> None:
    """With torch blocked, and every other package that is not NumPy's never asked for."""
    script = """
import sys
sys.modules["torch"] = None
from dlbook.drills import all_drills, grade, task
for drill in all_drills():
    assert grade(drill.name, drill.reference).passed
    assert not grade(drill.name, next(iter(drill.wrong.values()))).passed
    task(drill.name)._repr_markdown_()
installed = [
    name.partition(".")[0]
    for name, module in sys.modules.items()
    if "site-packages" in (getattr(module, "__file__", None) or "")
]
print(*sorted(name for name in set(installed) if not name.startswith("_")))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["numpy"]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_imports_at_the_top(path: Path) -> None:
    for node in ast.parse(path.read_text("utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            top = name.partition(".")[0]
            assert top in {"numpy", "dlbook"} or top in sys.stdlib_module_names


def test_only_the_oracles_know_torch() -> None:
    for path in FOLDER.glob("*.py"):
        assert "import torch" not in path.read_text("utf-8")
        assert "oracles import" not in path.read_text("utf-8")
