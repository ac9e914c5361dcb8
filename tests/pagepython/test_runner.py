"""The runner of a page's cells, in this Python; test_runner_in_page.py has the page's own."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from pagepython import runner
from pagepython.runner import Session


class Page:
    """A session, and what it has sent."""

    def __init__(self, elsewhere: dict[int, str] | None = None) -> None:
        self.sent: list[tuple[str, str]] = []
        self.session = Session(lambda stream, text: self.sent.append((stream, text)), elsewhere)

    def run(self, code: str, number: int = 1) -> tuple[Any, Any, int | None]:
        """Return value, text of the error, and its line."""
        done = json.loads(self.session.run(number, code))
        error = done["error"] or {"text": None, "line": None}
        return done["value"], error["text"], error["line"]

    def printed(self, stream: str = "stdout") -> str:
        return "".join(text for name, text in self.sent if name == stream)


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("1 + 1", "2"),
        ("x = 3\nx", "3"),
        ("'text'", "'text'"),
        ("None", None),
        ("x = 3", None),
        ("", None),
        ("# a remark", None),
        ("for k in range(3):\n    k", None),
        ("3;", None),
        ("3;  # hidden", None),
        ("(3);\n\n", None),
        ("x = 1; x", "1"),
        ("x = 1; f'{x};'", "'1;'"),
        ("';'", "';'"),
        ("3  # shown;", "3"),
        ("from __future__ import annotations\n7", "7"),
    ],
)
def test_the_value_of_the_last_expression(page: Page, code: str, value: str | None) -> None:
    assert page.run(code) == (value, None, None)
    assert page.sent == []


def test_cells_share_their_variables(page: Page) -> None:
    page.run("def double(x):\n    return 2 * x", 1)
    assert page.run("double(4)", 2)[0] == "8"
    assert page.run("def double(x):\n    return 3 * x", 1)[1] is None
    assert page.run("double(4)", 2)[0] == "12"


def test_a_cell_that_fails_keeps_what_it_had_done(page: Page) -> None:
    page.run("x = 1\n1 / 0\nx = 2")
    assert page.run("x")[0] == "1"


def test_a_value_with_markdown_gives_its_text_too(page: Page) -> None:
    code = "class A:\n    def _repr_markdown_(self):\n        return '**a**'\n"
    assert page.run(code + "    def __repr__(self):\n        return 'a'\nA()")[0] == "a"


def test_a_long_value_is_cut_and_says_so(page: Page) -> None:
    value = page.run("'x' * 30_000")[0]
    assert value.startswith("'xxx")
    assert value.endswith("\n… The first 20,000 of 30,002 characters.")
    assert len(value) < 20_100
    assert page.run("'x' * 19_998")[0] == repr("x" * 19_998)


def test_a_repr_that_fails_is_an_error_of_the_cell(page: Page) -> None:
    code = "class A:\n    def __repr__(self):\n        return 1 / 0\nA()"
    value, text, line = page.run(code)
    assert value is None
    assert text.endswith("ZeroDivisionError: division by zero")
    assert line == 3


def test_an_error_shows_the_frames_of_the_reader_alone(page: Page) -> None:
    page.run("import json\ndef parse(text):\n    return json.loads(text)", 2)
    _, text, line = page.run("ok = 1\n\nparse('{')", 3)
    assert line == 3
    assert text.startswith("Traceback (most recent call last):\n")
    assert "  File \"<cell 3>\", line 3, in <module>\n    parse('{')\n" in text
    assert '  File "<cell 2>", line 3, in parse\n    return json.loads(text)\n' in text
    assert "decoder.py" not in text
    assert "runner.py" not in text
    assert text.splitlines()[-1].startswith("json.decoder.JSONDecodeError: Expecting property")


def test_the_errors_that_led_to_an_error_are_trimmed_too(page: Page) -> None:
    code = "import json\ntry:\n    json.loads('{')\n"
    _, text, line = page.run(code + "except ValueError as error:\n    raise KeyError(1) from error")
    assert line == 5
    assert "direct cause" in text
    assert "decoder.py" not in text
    group = page.run("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])")[1]
    assert "ValueError: 1" in group and "runner.py" not in group


@pytest.mark.parametrize(
    ("code", "line", "words"),
    [
        ("x = 1\ny = = 2", 2, "SyntaxError: invalid syntax"),
        ("x = 1\nreturn 3", 2, "SyntaxError: 'return' outside function"),
        ("if True:\nx = 1", 2, "IndentationError: expected an indented block"),
        ("x = (1,\n", 1, "SyntaxError: '(' was never closed"),
        ("a = 1\n%timeit a", 2, "SyntaxError: invalid syntax"),
        ("\n\neval('1 +')", 3, "SyntaxError: invalid syntax"),
    ],
)
def test_what_is_no_python_is_marked(page: Page, code: str, line: int, words: str) -> None:
    _, text, found = page.run(code)
    assert found == line
    assert words in text
    assert "runner.py" not in text


def test_recursion_without_end_is_shortened(page: Page) -> None:
    _, text, line = page.run("def f(x):\n    return f(x)\nf(1)")
    assert line == 2
    assert "RecursionError: maximum recursion depth exceeded" in text
    assert len(text.splitlines()) < 20
    _, text, _ = page.run("def f(x):\n    return g(x)\ndef g(x):\n    return f(x)\nf(1)")
    assert "more …" in text
    assert len(text.splitlines()) < 60
    assert page.run("1 + 1")[0] == "2"


def test_output_goes_to_its_stream_in_order(page: Page) -> None:
    page.run("import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c', end='')")
    assert page.printed() == "a\nc"
    assert page.printed("stderr") == "b\n"
    assert [name for name, _ in page.sent if _ == "b\n"] == ["stderr"]
    assert page.sent.index(("stderr", "b\n")) == len(page.sent) - 2
    assert sys.stdout is sys.__stdout__ or "runner" not in type(sys.stdout).__module__


def test_output_is_sent_in_batches(page: Page) -> None:
    page.run("for k in range(10_000):\n    print(k)")
    assert page.printed() == "".join(f"{k}\n" for k in range(10_000))
    assert len(page.sent) < 40
    assert max(len(text) for _, text in page.sent) <= runner.BATCH + 10


def test_output_is_sent_while_a_cell_runs(page: Page) -> None:
    page.run("import time\nfor k in range(3):\n    print(k)\n    time.sleep(0.06)")
    assert len(page.sent) >= 3
    page.sent.clear()
    page.run("print(1)\nprint(2, flush=True)\nprint(3, flush=True)")
    assert len(page.sent) >= 2


def test_a_flood_is_cut_and_says_so(page: Page) -> None:
    value, text, _ = page.run("for k in range(1_000_000):\n    print(k)\n'done'")
    assert (value, text) == ("'done'", None)
    assert page.printed().endswith("\n… Output is cut after 200,000 characters.\n")
    assert 200_000 < len(page.printed()) < 200_100
    assert len(page.sent) < 60
    page.sent.clear()
    page.run("print('again')")
    assert page.printed() == "again\n"


def test_only_text_can_be_written(page: Page) -> None:
    assert (
        "TypeError: write() takes text, got bytes"
        in page.run("import sys\nsys.stdout.write(b'a')")[1]
    )


@pytest.mark.parametrize("code", ["x = input('How many? ')", "import sys\nx = sys.stdin.read()"])
def test_nobody_is_asked(page: Page, code: str) -> None:
    _, text, line = page.run(code)
    assert text.startswith("Nobody can be asked for input here. Assign the value in the code")
    assert line == len(code.splitlines())
    assert page.run("try:\n    input()\nexcept EOFError:\n    x = 5\nx")[0] == "5"


@pytest.mark.parametrize("code", ["exit()", "import sys\nsys.exit(3)", "raise SystemExit"])
def test_a_session_survives_an_exit(page: Page, code: str) -> None:
    page.run("kept = 4")
    _, text, line = page.run(code)
    assert text == "The code asked to exit. It ended here; all variables are still there."
    assert line == len(code.splitlines())
    assert page.run("kept")[0] == "4"


def test_a_session_survives_an_interrupt(page: Page) -> None:
    _, text, line = page.run("raise KeyboardInterrupt")
    assert text.endswith("KeyboardInterrupt")
    assert line == 1
    assert page.run("1")[0] == "1"


def test_help_and_the_source_of_a_cell(page: Page) -> None:
    page.run('def f(x):\n    """Return x."""\n    return x')
    assert page.run("help(f)\nhelp()", 2) == (None, None, None)
    assert "Return x." in page.printed()
    assert page.run("import inspect\nprint(inspect.getsource(f), end='')", 3)[1] is None
    assert page.printed().endswith('def f(x):\n    """Return x."""\n    return x\n')


def test_a_class_of_a_cell_can_be_pickled(page: Page) -> None:
    before = sys.modules["__main__"]
    page.run("class A:\n    x = 1")
    assert page.run("import pickle\npickle.loads(pickle.dumps(A())).x", 2)[:2] == ("1", None)
    assert sys.modules["__main__"] is before


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("torch", "matplotlib", "tkinter", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
        for inner in [entry for entry in sys.modules if entry.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, inner)
    return


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import torch", "PyTorch does not run in a web page."),
        ("import torch.nn as nn", "PyTorch does not run in a web page."),
        ("from torch import nn", "PyTorch does not run in a web page."),
        ("import matplotlib.pyplot as plt", "matplotlib is not in this page."),
        ("import tkinter", "There is no module `tkinter` in this page. It has NumPy and"),
        ("import pandas as pd", "There is no module `pandas` in this page."),
        ("import nunpy", "There is no module `nunpy` in this page."),
    ],
)
@pytest.mark.usefixtures("absent")
def test_what_is_not_in_the_page_gets_a_sentence(page: Page, code: str, sentence: str) -> None:
    _, text, line = page.run(f"x = 1\n{code}")
    assert text.startswith(sentence)
    assert "\n" not in text
    assert line == 2


ELSEWHERE = {
    2: "import torch\nfrom torch import nn\nw = torch.ones(3)",
    4: "v = w.sum()\ndef helper(t):\n    hidden = t\n    return nn.Linear(1, 1)",
    6: "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()",
    8: "%matplotlib inline",
    9: "for k in range(3):\n    ax.plot(k)\n[inner for inner in range(3)]",
    10: "w = plt.gca()",
    12: "from dlbook import attention as att\nlone = 3",
    13: "v = helper(1)",
}


@pytest.mark.parametrize(
    ("name", "number", "sentence"),
    [
        ("w", 5, "`w` is made in cell 2, which needs PyTorch."),
        ("w", 11, "`w` is made in cell 10, which draws a figure."),
        ("w", 1, "`w` is made in cell 2, which needs PyTorch."),
        ("v", 5, "`v` is made in cell 4, which needs PyTorch."),
        ("v", 20, "`v` is made in cell 13, which needs PyTorch."),
        ("nn", 5, "`nn` is made in cell 2, which needs PyTorch."),
        ("helper", 5, "`helper` is made in cell 4, which needs PyTorch."),
        ("ax", 7, "`ax` is made in cell 6, which draws a figure."),
        ("k", 11, "`k` is made in cell 9, which draws a figure."),
        ("att", 14, "`att` is made in cell 12, which does not run in the page."),
        ("lone", 14, "`lone` is made in cell 12, which does not run in the page."),
    ],
)
def test_a_name_from_elsewhere_tells_its_cell(name: str, number: int, sentence: str) -> None:
    _, text, line = Page(ELSEWHERE).run(f"\n{name}", number)
    assert text == sentence
    assert line == 2


@pytest.mark.parametrize("name", ["hidden", "t", "inner", "unknown"])
def test_other_names_are_ordinary_errors(name: str) -> None:
    text = Page(ELSEWHERE).run(name, 20)[1]
    assert f"NameError: name '{name}' is not defined" in text
    text = Page(ELSEWHERE).run("def f():\n    w\n    w = 1\nf()", 20)[1]
    assert "UnboundLocalError" in text


def test_a_name_from_elsewhere_can_be_made_here() -> None:
    page = Page(ELSEWHERE)
    page.run("w = 7", 3)
    assert page.run("w", 5)[0] == "7"


def test_full_memory_gets_a_sentence(page: Page) -> None:
    _, text, line = page.run("import numpy as np\nx = np.ones((10**7, 10**7))")
    assert text.startswith("There is not enough memory for this (Unable to allocate ")
    assert text.endswith("Make the arrays smaller.")
    assert line == 2
    assert page.run("raise MemoryError")[1].startswith("There is not enough memory for this. Make")


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that grades by one call."""

    class Report:
        def __init__(self, name: str, answer: Any) -> None:
            self.content = {"passed": answer == 4, "summary": f"{name}: {answer}"}

        def as_dict(self) -> dict[str, Any]:
            return self.content

    module = types.ModuleType("some_grader")
    module.__dict__["grade"] = lambda name, function: Report(name, function(2))
    monkeypatch.setitem(sys.modules, "some_grader", module)
    return "some_grader"


def graded(page: Page, code: str, grader: str, name: str = "double") -> Any:
    return json.loads(page.session.grade(name, code, grader))


def test_a_drill_is_graded(page: Page, grader: str) -> None:
    right = graded(page, "def double(x):\n    return 2 * x", grader)
    assert right == {"report": {"passed": True, "summary": "double: 4"}, "error": None}
    wrong = graded(page, "def double(x):\n    return 3 * x", grader)
    assert wrong["report"]["passed"] is False
    assert graded(page, "double = lambda x: int(np.add(x, 2))", grader)["report"]["passed"]
    assert page.sent == []


def test_a_drill_sees_nothing_of_the_page(page: Page, grader: str) -> None:
    page.run("factor = 2\ndef double(x):\n    return 4")
    done = graded(page, "def double(x):\n    return factor * x", grader)
    assert done["report"] is None
    assert "NameError: name 'factor' is not defined" in done["error"]["text"]
    assert done["error"]["line"] == 2
    assert graded(page, "pass", grader)["error"]["text"] == (
        "The code defines no function `double`."
    )


@pytest.mark.parametrize(
    ("code", "line", "words"),
    [
        ("", None, "The code defines no function `double`."),
        ("def triple(x):\n    return x", None, "The code defines no function `double`."),
        ("double = 3", None, "The code defines no function `double`."),
        ("def double(x):\n    return (x", 2, "SyntaxError: '(' was never closed"),
        ("import numpy as np\nnp.nothing", 2, "AttributeError: module 'numpy' has no attribute"),
        ("def double(x):\n    raise SystemExit", 2, "The code asked to exit."),
    ],
)
def test_a_drill_that_is_no_function_says_so(
    page: Page, grader: str, code: str, line: int | None, words: str
) -> None:
    done = graded(page, code, grader)
    assert done["report"] is None
    assert words in done["error"]["text"]
    assert done["error"]["line"] == line


def test_a_drill_of_another_name_has_lines_of_its_own(page: Page, grader: str) -> None:
    error = graded(page, "def half(x):\n    return x / 0", grader, "half")["error"]
    assert '  File "<drill half>", line 2, in half\n    return x / 0\n' in error["text"]
    assert "test_runner" not in error["text"]
    assert error["line"] == 2
