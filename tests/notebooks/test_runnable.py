"""Which cells run in the page: found by running them there, and compared with their tags."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.book import Site
from support.cells import kinds
from support.page import Shown, difference, disagreement, qualified, tagged

#: What a reader can try in each chapter, at least.
FEWEST = 8


def test_runnable_cells_are_those_that_run_in_the_page(notebook: Path, site: Site) -> None:
    found, differences = qualified(notebook)
    assert differences == []
    assert tagged(notebook, "runnable") == found
    assert len(found) >= FEWEST


def test_torch_cells_are_tagged(notebook: Path) -> None:
    needed = {number for number, kind in kinds(notebook).items() if kind == "torch"}
    assert needed
    assert tagged(notebook, "torch") == needed


@pytest.mark.parametrize(
    ("kernel", "page"),
    [
        ("array([1, 2])", "array([1, 2])"),
        ("array([1, 2])", "array([1, 2], dtype=int64)"),
        ("array([1, 2], dtype=int32)", "array([1, 2])"),
        ("np.int64(3)", "np.int32(3)"),
        ("424.29449118278444", "424.29449118278467"),
        ("error 2.2e-16", "error 0.0"),
        ("{'a': 1,\n 'b': 2}", "{'a': 1, 'b': 2}"),
        ("[ 0.5 -1. ]", "[0.5 -1.0]"),
    ],
)
def test_what_counts_as_the_same(kernel: str, page: str) -> None:
    assert difference(kernel, page) is None


@pytest.mark.parametrize(
    ("kernel", "page", "words"),
    [
        ("loss 0.5", "loss 0.51", "after 'loss' the page shows '0.51', the kernel '0.5'"),
        ("3600000000", "-694967296", "the page shows '-694967296'"),
        ("1.0000001", "1.0000002", "the page shows '1.0000002'"),
        ("error 2.2e-16", "error 1e-11", "the page shows '1e-11'"),
        ("1 2", "2 1", "the page shows '2'"),
        ("1 2", "1", "at its end"),
        ("True", "False", "the page shows 'False'"),
        ("", "1", "the page shows '1' at its end, the kernel ''"),
        ("np.int64(3)", "np.float64(3)", "the page shows 'np.float'"),
        ("int64", "int32", "the page shows '32', the kernel '64'"),
    ],
)
def test_what_counts_as_different(kernel: str, page: str, words: str) -> None:
    assert words in (difference(kernel, page) or "")


def test_what_keeps_a_cell_from_running_in_the_page() -> None:
    page = {"stdout": "1\n", "stderr": "", "value": None, "error": None}
    assert disagreement(Shown("1\n", "", ""), page) is None
    assert disagreement(Shown("2\n", "", ""), page) is not None
    assert disagreement(Shown("1\n", "a warning", ""), page) is not None
    assert disagreement(Shown("1\n", "", "3"), page) is not None
    assert disagreement(Shown("1\n", "", "", ("image/png",)), page) == "it shows image/png"
    failed = page | {"error": {"text": "no", "line": 1}}
    assert disagreement(Shown("1\n", "", ""), failed) == "it fails: no"
