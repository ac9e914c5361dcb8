"""Execute notebooks before Sphinx reads them, two at a time, and only those that changed.

jupyter-cache knows a notebook by its code cells alone, and Sphinx does not read an unchanged
notebook again. Both are blind to an edit in ``src/``. So each notebook gets a key over its
cells, the lock, every module below ``src/`` that it imports, directly or not, and every module
of its own name: ``02_topic.ipynb`` depends on each ``topic.py`` there is.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging

#: To the file that this variable names, kernels append ``figure done total``.
PROGRESS: Final = "LIVEFIGURE_PROGRESS"
KERNELS: Final = 2
#: Tags by which a kernel runs a cell in another way.
_TO_KERNELS: Final = {"raises-exception", "skip-execution"}
_WIDGET: Final = "application/vnd.jupyter.widget-view+json"
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)

logger = logging.getLogger(__name__)


class Job(NamedTuple):
    """One notebook to execute."""

    docname: str
    path: Path
    key: str


@cache  # a module of src/ is asked about once for each notebook that needs it
def imported_modules(code: str) -> frozenset[str]:
    """Return the names of the modules that some code imports, ``a.b`` for ``from a import b`` too.

    IPython's own syntax is understood. Code that is no Python imports nothing: what is wrong
    with it is the kernel's to say, with the cell.
    """
    try:
        tree = ast.parse(TransformerManager().transform_cell(code))
    except SyntaxError:
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def source_files(codes: Iterable[str], src: Path) -> list[Path]:
    """Return every file below ``src`` that some code needs: modules, and the data beside them.

    Parameters
    ----------
    codes : iterable of str
        Python sources; one that does not parse hides no import of the others.
    src : Path
        The folder of the packages.
    """
    found: set[Path] = set()
    waiting = list(codes)
    while waiting:
        for name in imported_modules(waiting.pop()):
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                place = src.joinpath(*parts[:depth])
                for path in (place / "__init__.py", place.with_name(place.name + ".py")):
                    if path.is_file() and path not in found:
                        found.add(path)
                        waiting.append(path.read_text(encoding="utf-8"))
    data = {path for folder in {path.parent for path in found} for path in folder.rglob("*.json")}
    return sorted(found | data)


def own_modules(stem: str, src: Path) -> list[Path]:
    """Return the modules that bear a notebook's name, less its number.

    A package may find them by their name alone, which no import statement shows.
    """
    return sorted(src.rglob(re.sub(r"^\d+_", "", stem) + ".py"))


def notebook_key(path: Path, notebook: NotebookNode, root: Path) -> str:
    """Return a digest of all that a notebook's outputs depend on."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    digest = hashlib.sha256(json.dumps([platform.python_version(), cells]).encode())
    src = root / "src"
    own = own_modules(path.stem, src)
    codes = [*cells, *(module.read_text(encoding="utf-8") for module in own)]
    needed = sorted({*own, *source_files(codes, src)})
    for file in [root / "requirements.txt", *needed]:
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def prepare(app: Sphinx, env: BuildEnvironment, *_: Any) -> list[str]:
    """Execute what has changed and return the pages to read again."""
    if app.config.nb_execution_mode != "cache":
        return []
    cache = get_cache(env.mystnb_config.execution_cache_path)
    keys_file = Path(cache.path) / "keys.json"
    keys: dict[str, str] = json.loads(keys_file.read_text()) if keys_file.exists() else {}
    current: dict[str, str] = {}
    jobs = []
    for docname in sorted(env.found_docs):
        path = Path(env.doc2path(docname))
        if path.suffix != ".ipynb":
            continue
        notebook = nbformat.read(path, 4)
        current[docname] = notebook_key(path, notebook, Path(app.srcdir))
        known = keys.get(docname) == current[docname]
        if not known or not (_is_cached(cache, notebook) or _take_over(cache, path, notebook)):
            jobs.append(Job(docname, path, current[docname]))
    keys = {docname: key for docname, key in keys.items() if docname in current}
    for job, executed, seconds in _execute_all(jobs, app.config.nb_execution_timeout):
        bundle = CacheBundleIn(executed, str(job.path), data={"execution_seconds": seconds})
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        keys[job.docname] = job.key
        keys_file.write_text(json.dumps(keys, indent=1, sort_keys=True))
    _forget_others(cache, [Path(env.doc2path(docname)) for docname in current])
    before = getattr(env, "booksite_keys", {})
    env.booksite_keys = current
    return [docname for docname, key in current.items() if before.get(docname) != key]


def _is_cached(cache: Any, notebook: NotebookNode) -> bool:
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def _take_over(cache: Any, path: Path, notebook: NotebookNode) -> bool:
    """Keep outputs when only the metadata of cells have changed, which the cache's hash covers.

    Tells whether it could.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if any(_TO_KERNELS & set(cell.metadata.get("tags", ())) for cell in cells):
        return False
    for record in cache.list_cache_records():
        executed = cache.get_cache_bundle(record.pk).nb
        if [cell.source for cell in executed.cells] == [cell.source for cell in cells]:
            for cell, done in zip(cells, executed.cells, strict=True):
                done.metadata = cell.metadata
            bundle = CacheBundleIn(executed, str(path), data=record.data)
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            return _is_cached(cache, notebook)
    return False


def _forget_others(cache: Any, paths: Iterable[Path]) -> None:
    """Remove outputs of notebooks that have changed since, or are gone."""
    wanted = {cache.create_hashed_notebook(nbformat.read(path, 4))[1] for path in paths}
    for record in cache.list_cache_records():
        if record.hashkey not in wanted:
            cache.remove_cache(record.pk)


def _execute_all(jobs: list[Job], timeout: int) -> Iterator[tuple[Job, NotebookNode, float]]:
    """Yield each executed notebook when it is done; raise all failures after all ended."""
    failures: list[BaseException] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(KERNELS) as pool:
        tails = {job: Path(folder) / job.docname.replace("/", "_") for job in jobs}
        running = {pool.submit(_execute, job, tails[job], timeout): job for job in jobs}
        told: dict[Job, str] = {}
        while running:
            done, _ = wait(running, timeout=0.5)
            for job in running.values():
                _tell(job, tails[job], told)
            for future in done:
                job = running.pop(future)
                outcome = _outcome(future, failures)
                if outcome is not None:
                    yield job, *outcome
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise ExtensionError("\n\n".join(map(str, failures)))


def _outcome(future: Future[Any], failures: list[BaseException]) -> Any:
    error = future.exception()
    if error is not None:
        failures.append(error)
        return None
    return future.result()


def _tell(job: Job, tail: Path, told: dict[Job, str]) -> None:
    """Print the last line that the notebook's kernel wrote, if it is new."""
    lines = tail.read_text(encoding="utf-8").split("\n") if tail.exists() else []
    # The last entry is empty, or a line that is still being written.
    if len(lines) > 1 and told.get(job) != lines[-2]:
        told[job] = lines[-2]
        figure, done, total = lines[-2].split(" ")
        logger.info("%s: %s, %s of %s states", job.docname, figure, done, total)


def _execute(job: Job, tail: Path, timeout: int) -> tuple[NotebookNode, float]:
    """Execute one notebook in a kernel of its own."""
    logger.info("%s: executing", job.docname)
    started = time.monotonic()
    notebook = nbformat.read(job.path, 4)
    running = 0

    def remember(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running
        running = cell_index

    client = NotebookClient(
        notebook,
        timeout=timeout,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # the kernel flushes by the clock, in the middle of a line too
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns that it speaks over TCP
        on_cell_start=remember,
    )
    environment = {**os.environ, **_ONE_THREAD, PROGRESS: str(tail)}
    try:
        client.execute(cwd=str(job.path.parent), env=environment)
    except CellExecutionError as error:
        raise ExtensionError(f"{job.docname}: cell {running + 1} failed\n{error}") from None
    except CellTimeoutError:
        message = f"{job.docname}: cell {running + 1} ran for more than {timeout} s"
        raise ExtensionError(message) from None
    except DeadKernelError:
        message = f"{job.docname}: the kernel died in cell {running + 1} (out of memory?)"
        raise ExtensionError(message) from None
    _refuse_bare_widgets(job.docname, notebook)
    seconds = time.monotonic() - started
    logger.info("%s: executed in %.0f s", job.docname, seconds)
    return notebook, seconds


def _refuse_bare_widgets(docname: str, notebook: NotebookNode) -> None:
    """Fail on an output that is a widget and nothing else: the page would show a gap."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()):
            kinds = set(output.get("data", ())) - {"text/plain"}
            if kinds == {_WIDGET}:
                raise ExtensionError(
                    f"{docname}: cell {number} shows a live widget, which a page without a "
                    "kernel cannot: use livefigure.live, or show something else"
                )


def setup(app: Sphinx) -> None:
    """Execute when Sphinx has found the pages and not yet read one."""
    app.connect("env-get-outdated", prepare)
