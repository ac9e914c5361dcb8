"""Rules that every notebook keeps, read from its file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest
from support.cells import problems, replaced

#: Only Jupyter Book understands these; JupyterLab, VS Code and Colab show them raw.
MYST_ONLY = {
    "a directive": re.compile(r"^\s*(`{3,}|~{3,}|:{3,})\s*\{", re.MULTILINE),
    "a role": re.compile(r"\{[\w:.+-]+\}`"),
    "a target": re.compile(r"^\([\w:.-]+\)=\s*$", re.MULTILINE),
    "a numbered equation": re.compile(r"\$\$\s*\([\w:.-]+\)\s*$", re.MULTILINE),
}


def test_notebook_is_stripped(notebook: Path) -> None:
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs"), "an output is stored; run: nbstripout"
        assert cell.get("execution_count") is None, "a run is counted; run: nbstripout"


def test_cells_are_not_mixed(notebook: Path) -> None:
    assert problems(notebook) == []


def test_drills_replace_nothing_that_the_book_uses(notebook: Path) -> None:
    assert replaced(notebook) == []


def test_markdown_reads_well_everywhere(notebook: Path) -> None:
    for number, cell in enumerate(nbformat.read(notebook, as_version=4).cells, start=1):
        if cell.cell_type == "markdown":
            for what, pattern in MYST_ONLY.items():
                match = pattern.search(cell.source)
                assert match is None, f"cell {number} has {what}: {match[0]}"


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["from dlbook.x import f", "def figure():\n    return f(1)", "def f(x):\n    ..."], 1),
        (["from dlbook import x", "def figure():\n    return x.f(1)", "def f(x):\n    ..."], 0),
        (["def figure(k):\n    f = k\n    return f", "def f(x):\n    ..."], 0),
        (["def figure(f):\n    return f", 'def f(x):\n    """Do it."""\n    ...'], 0),
        (["def figure():\n    return f(1)", "def f(x):\n    return x"], 0),
        (["def f(x):\n    ...", "grade('f', f)"], 0),
    ],
)
def test_replaced_names_are_found(tmp_path: Path, cells: list[str], found: int) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbformat.write(book, tmp_path / "sample.ipynb")
    assert len(replaced(tmp_path / "sample.ipynb")) == found


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["import numpy as np", "np.ones(3)"], []),
        (["import numpy as np\nimport torch"], []),
        (["import numpy as np\nimport torch", "x = np.ones(3)"], ["np from torch cell 1"]),
        (["import numpy as np", "import torch\nx = torch.ones(3)", "x.sum()"], ["x from torch"]),
        (["import torch", "y = torch.ones(3)", "import numpy as np\nnp.ones(y)"], ["y from torch"]),
        (["from livefigure import live\nimport torch"], ["mixes"]),
        (["from torch import nn", "import matplotlib.pyplot as plt\nnn.Linear(1, 1)"], ["mixes"]),
        (["import matplotlib.pyplot as plt", "def f(plt):\n    return plt"], []),
    ],
)
def test_mixed_cells_are_found(tmp_path: Path, cells: list[str], expected: list[str]) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbformat.write(book, tmp_path / "sample.ipynb")
    found = problems(tmp_path / "sample.ipynb")
    assert len(found) == len(expected)
    assert all(part in text for part, text in zip(expected, found, strict=True))
