"""``make book`` builds when something has changed, and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.book import ROOT

INPUTS = (
    "_config.yml", "_toc.yml", "requirements.txt", "pyproject.toml",
    "book/intro.md", "notebooks/01_first.ipynb", "notebooks/02_second.ipynb", "src/room/module.py",
)  # fmt: skip
# Stands in for jupyter-book: counts the builds, and fails as long as there is a file "broken".
BUILD = """#!/bin/sh
echo built >> builds
mkdir -p _build/html src/room/__pycache__
echo page > _build/html/index.html
touch src/room/__pycache__/module.pyc
test ! -e broken
"""


def write(path: Path, text: str, time: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if time:
        os.utime(path, (time, time))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small repository with our Makefile, in which the book was built once."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in INPUTS:
        write(tmp_path / name, "source", 1000)
    write(tmp_path / ".venv/bin/python", "", 1000)
    write(tmp_path / ".venv/bin/jupyter-book", BUILD)
    (tmp_path / ".venv/bin/jupyter-book").chmod(0o755)
    write(tmp_path / ".venv/.installed", "", 2000)
    assert builds_after_make(tmp_path) == 1
    return tmp_path


def builds_after_make(tree: Path) -> int:
    """Call ``make book`` and return how many builds there have been."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "book"], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    broken = (tree / "broken").exists()
    assert (done.returncode != 0) == broken, done.stderr
    assert ("double click opens it" in done.stdout) != broken
    return (tree / "builds").read_text().count("built")


def test_nothing_changed_builds_nothing(tree: Path) -> None:
    assert builds_after_make(tree) == 1


CHANGES: dict[str, Callable[[Path], None]] = {
    "module": lambda tree: write(tree / "src/room/module.py", "new"),
    "contents": lambda tree: write(tree / "_toc.yml", "new"),
    "a new notebook, as old as the others": lambda tree: write(
        tree / "notebooks/03_third.ipynb", "source", 1000
    ),
    "a notebook is gone": lambda tree: (tree / "notebooks/02_second.ipynb").unlink(),
    "packages": lambda tree: write(tree / ".venv/.installed", ""),
    "the site is gone": lambda tree: shutil.rmtree(tree / "_build/html"),
    "all that was built is gone": lambda tree: shutil.rmtree(tree / "_build"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_builds_once(tree: Path, change: str) -> None:
    CHANGES[change](tree)
    assert builds_after_make(tree) == 2
    assert builds_after_make(tree) == 2


def test_what_python_and_jupyter_leave_is_no_change(tree: Path) -> None:
    write(tree / "src/room/__pycache__/other.pyc", "")
    write(tree / "src/room.egg-info/PKG-INFO", "")
    write(tree / "notebooks/.ipynb_checkpoints/01_first-checkpoint.ipynb", "")
    assert builds_after_make(tree) == 1


def test_a_build_that_failed_is_repeated(tree: Path) -> None:
    write(tree / "broken", "")
    write(tree / "book/intro.md", "new")
    assert builds_after_make(tree) == 2
    (tree / "broken").unlink()
    assert builds_after_make(tree) == 3
    assert builds_after_make(tree) == 3
