"""The runner in the page's own Python: what depends on its version, memory, and missing modules."""

from __future__ import annotations

from typing import Any

import pytest
from support.page import in_page

_CODE = """\
results = []
sent = []
elsewhere = {2: "import torch\\nw = 1"}
session = runner.Session(lambda stream, text: sent.append([stream, text]), elsewhere)
for number, code in enumerate(given, start=3):
    sent.clear()
    results.append([json.loads(session.run(number, code)), list(sent)])


class Report:
    def as_dict(self):
        return {"passed": True}


grader = sys.modules["some_grader"] = types.ModuleType("some_grader")
grader.grade = lambda name, function: Report()
drill = "def double(x):\\n    return np.multiply(2, x)"
results.append([json.loads(session.grade("double", drill, "some_grader")), []])
json.dumps(results)
"""
CODES = {
    "value": "import numpy as np\nnp.arange(3) + 1",
    "repr": "'x' * 30_000",
    "flood": "for k in range(1_000_000):\n    print(k)",
    "syntax": "x = 1\ny = = 2",
    "frames": "import json\njson.loads('{')",
    "recursion": "def f(x):\n    return g(x)\ndef g(x):\n    return f(x)\nf(1)",
    "input": "x = 1\ninput()",
    "torch": "import torch",
    "matplotlib": "import matplotlib.pyplot as plt",
    "dropped": "import tkinter",
    "dropped too": "import sqlite3",
    "elsewhere": "w",
    "memory": "y = [np.empty(2**27) for k in range(9)]",
    "too big": "np.ones((2**14, 2**14))",
    "exit": "exit()",
    "help": "help(np.sort)",
    "help alone": "help()",
    "source": "import inspect\nprint(inspect.getsource(f), end='')",
    "warning": "import warnings\nwarnings.warn('careful')",
    "still": "x",
}


@pytest.fixture(scope="module")
def done() -> dict[str, Any]:
    results = in_page(_CODE, list(CODES.values()))
    return dict(zip([*CODES, "grade"], results, strict=True))


def text_of(entry: Any) -> str:
    return str(entry[0]["error"]["text"])


def test_values_and_output(done: dict[str, Any]) -> None:
    assert done["value"][0] == {"value": "array([1, 2, 3])", "error": None}
    assert "The first 20,000 of 30,002 characters." in done["repr"][0]["value"]
    assert done["flood"][0]["error"] is None
    texts = [text for _, text in done["flood"][1]]
    assert texts[-1].endswith("… Output is cut after 200,000 characters.\n")
    assert len(texts) < 60


def test_errors(done: dict[str, Any]) -> None:
    assert "SyntaxError: invalid syntax" in text_of(done["syntax"])
    assert done["syntax"][0]["error"]["line"] == 2
    assert "decoder.py" not in text_of(done["frames"])
    assert "runner.py" not in text_of(done["frames"])
    assert done["frames"][0]["error"]["line"] == 2
    assert "RecursionError" in text_of(done["recursion"])
    assert len(text_of(done["recursion"]).splitlines()) < 60
    assert text_of(done["input"]).startswith("Nobody can be asked")
    assert text_of(done["exit"]).startswith("The code asked to exit.")
    assert text_of(done["elsewhere"]) == "`w` is made in cell 2, which needs PyTorch."
    assert done["warning"][1][0][1].split(":", 1)[1].startswith("2: UserWarning: careful")


def test_what_is_not_there(done: dict[str, Any]) -> None:
    assert text_of(done["torch"]).startswith("PyTorch does not run in a web page.")
    assert text_of(done["matplotlib"]).startswith("matplotlib is not in this page.")
    assert text_of(done["dropped"]).startswith("There is no module `tkinter` in this page.")
    assert text_of(done["dropped too"]).startswith("There is no module `sqlite3` in this page.")
    assert all("pyodide" not in text_of(done[name]).lower() for name in ("torch", "dropped"))


def test_help_and_source(done: dict[str, Any]) -> None:
    assert "Return a sorted copy of an array." in "".join(text for _, text in done["help"][1])
    assert done["help alone"][0]["error"] is None
    assert "def f(x):" in "".join(text for _, text in done["source"][1])


def test_the_session_outlives_a_full_memory(done: dict[str, Any]) -> None:
    assert text_of(done["memory"]).startswith("There is not enough memory for this")
    assert text_of(done["too big"]).startswith("There is not enough memory for this (array is too")
    assert done["still"][0] == {"value": "1", "error": None}


def test_a_drill(done: dict[str, Any]) -> None:
    assert done["grade"][0] == {"report": {"passed": True}, "error": None}
