"""A container such as Binder's: what `.binder/` installs runs every notebook in 2 GB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.book import ROOT, notebooks

LIMIT = 2 * 1024**3


@pytest.fixture(scope="module")
def binder() -> Iterator[Path]:
    """Return a copy of the repository with an environment made from `.binder/` alone.

    Binder installs `.binder/requirements.txt` as it is. Where PyTorch's index does not answer,
    pip would ask it for every package and wait; there the same lines are installed in the two
    steps that the Makefile takes, torch first.
    """
    # Not pytest's own folder: it keeps three of them, and this one holds gigabytes.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for name in _files():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        _run([sys.executable, "-m", "venv", ".venv"], copy)
        pip = [str(_python(copy)), "-m", "pip", "--quiet", "install"]
        index, rest = (copy / ".binder/requirements.txt").read_text(encoding="utf-8").splitlines()
        if _answers(index.split()[1]):
            _run([*pip, "-r", ".binder/requirements.txt"], copy)
        else:
            locked = (copy / "requirements.txt").read_text(encoding="utf-8").splitlines()
            torch = next(line for line in locked if line.startswith("torch=="))
            patience = ["--retries", "0", "--timeout", "5"]
            _run([*pip, "--no-deps", *patience, *index.split(), torch], copy)
            _run([*pip, "-r", str(Path(".binder") / rest.split()[1])], copy)
        yield copy


@pytest.mark.slow
def test_every_notebook_runs_in_two_gigabytes(binder: Path) -> None:
    found = notebooks(binder)
    assert found
    for notebook in found:
        command = [str(_python(binder)), "-m", "support.memory", str(notebook)]
        peak = int(_run(command, binder / "tests").split()[-1])
        assert peak < LIMIT, f"{notebook.name} took {peak / 1024**3:.2f} GB"


def _files() -> list[str]:
    """Return the files of the repository, those to be committed included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return [name for name in _run(command, ROOT).splitlines() if (ROOT / name).is_file()]


def _python(copy: Path) -> Path:
    return copy / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _answers(index: str) -> bool:
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=5):
            return True
    except OSError:
        return False


def _run(command: list[str], folder: Path) -> str:
    """Run a command, and return what it printed; its errors go to pytest."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
