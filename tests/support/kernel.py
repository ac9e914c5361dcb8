"""Run notebooks in real kernels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from support.book import ROOT

#: What each figure draws: positions, SVG and caption of every sampled state.
Drawings = dict[str, list[dict[str, Any]]]

#: The longest that one cell may take, in seconds.
LIMIT = 300


@contextmanager
def kernel_of(
    notebook: Path, started: Callable[[int], None] = lambda pid: None
) -> Iterator[NotebookClient]:
    """Run a notebook in a kernel that lives as long as the block, in the notebook's folder.

    The kernel is a reader's: nothing asks it to bake.

    Parameters
    ----------
    notebook : Path
        The notebook.
    started : callable, optional
        Told the process id of the kernel before the first cell runs.
    """
    read: Any = nbformat.read(notebook, as_version=4)
    place = {"metadata": {"path": notebook.parent}}
    client: Any = NotebookClient(read, timeout=LIMIT, kernel_name="python3", resources=place)
    environment = {key: value for key, value in os.environ.items() if key != "LIVEFIGURE_BAKE"}
    with client.setup_kernel(env=environment):
        started(client.km.provisioner.pid)
        for index, cell in enumerate(read.cells):
            client.execute_cell(cell, index)
        yield client


def run(client: NotebookClient, code: str) -> None:
    """Run more code in the kernel of an executed notebook; fail as it fails."""
    cell = nbformat.v4.new_code_cell(code)
    client.nb.cells.append(cell)
    client.execute_cell(cell, len(client.nb.cells) - 1)


def drawings(notebook: Path, folder: Path) -> Drawings:
    """Return what each figure of a notebook draws in its kernel, in sampled states.

    Parameters
    ----------
    notebook : Path
        The notebook.
    folder : Path
        Where the kernel may leave a file.
    """
    file = folder / f"{notebook.stem}.json"
    with kernel_of(notebook) as client:
        run(
            client,
            f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
            f"from support import probe; probe.write(globals(), {str(file)!r})",
        )
    drawn: Drawings = json.loads(file.read_text(encoding="utf-8"))
    return drawn
