"""Notebooks run when something they depend on has changed, and only then."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from jupyter_cache import get_cache
from sphinx.errors import ExtensionError

from booksite.execution import imported_modules, prepare, source_files


class Book:
    """A folder with notebooks and sources, and what Sphinx would say of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "runs.txt"
        self.app: Any = SimpleNamespace(
            srcdir=str(root),
            config=SimpleNamespace(nb_execution_mode="cache", nb_execution_timeout=60),
        )
        self.env: Any = SimpleNamespace(
            found_docs=set(),
            doc2path=lambda name: str(root / f"{name}.ipynb"),
            mystnb_config=SimpleNamespace(execution_cache_path=str(root / "cache")),
        )
        (root / "requirements.txt").write_text("numpy\n")
        for name in ("alpha", "beta", "shared"):
            self.write_module(name, "value = 1\n")
        self.write_module("alpha", "from toy import shared\n")

    def write_module(self, name: str, text: str) -> None:
        package = self.root / "src" / "toy"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / f"{name}.py").write_text(text)

    def write_notebook(self, name: str, *cells: str) -> None:
        notebook = nbformat.v4.new_notebook()
        notebook.metadata.kernelspec = {
            "name": "python3",
            "display_name": "p",
            "language": "python",
        }
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(notebook, self.root / f"{name}.ipynb")
        self.env.found_docs.add(name)

    def counting_notebook(self, name: str, imports: str) -> None:
        run = f"with open({str(self.runs)!r}, 'a') as stream:\n    stream.write({name + ' '!r})"
        self.write_notebook(name, f"if False:\n    {imports}", run, f"print({name!r})")

    def tag(self, name: str, tag: str) -> None:
        path = self.root / f"{name}.ipynb"
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:
            cell.metadata.tags = [tag]
        nbformat.write(notebook, path)

    def build(self) -> tuple[list[str], list[str]]:
        """Return the pages to read again, and the notebooks that ran."""
        self.runs.write_text("")
        again = prepare(self.app, self.env)
        return sorted(again), sorted(self.runs.read_text().split())

    def printed(self, name: str) -> list[str]:
        cache = get_cache(self.root / "cache")
        _, merged = cache.merge_match_into_notebook(nbformat.read(self.root / f"{name}.ipynb", 4))
        return [output.text for cell in merged.cells for output in cell.outputs if "text" in output]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_runs_what_changed_and_nothing_else(book: Book) -> None:
    book.counting_notebook("first", "from toy import alpha")
    book.counting_notebook("second", "import toy.beta as beta")
    both = ["first", "second"]
    assert book.build() == (both, both)
    assert book.printed("first") == ["first\n"]
    assert book.build() == ([], []), "unchanged"

    book.write_module("beta", "value = 2\n")
    assert book.build() == (["second"], ["second"]), "its own module"
    book.write_module("shared", "value = 2\n")
    assert book.build() == (["first"], ["first"]), "a module that its module imports"
    (book.root / "src" / "toy" / "cases.json").write_text("{}")
    assert book.build() == (both, both), "data beside their modules"
    (book.root / "requirements.txt").write_text("numpy==2\n")
    assert book.build() == (both, both), "the lock"

    book.env.found_docs.discard("second")
    assert book.build() == ([], [])
    assert len(get_cache(book.root / "cache").list_cache_records()) == 1, "outputs of a page gone"


def test_a_module_of_its_name_counts_though_nothing_imports_it(book: Book) -> None:
    book.counting_notebook("02_delta", "import toy")
    book.counting_notebook("03_gamma", "import toy")
    book.write_module("delta", "from toy import beta\n")
    book.build()
    book.write_module("delta", "from toy import beta  # changed\n")
    assert book.build() == (["02_delta"], ["02_delta"])
    book.write_module("beta", "value = 3\n")
    assert book.build() == (["02_delta"], ["02_delta"]), "what it imports"


def test_a_tag_keeps_the_outputs(book: Book) -> None:
    book.counting_notebook("first", "from toy import alpha")
    book.build()
    book.tag("first", "runnable")
    assert book.build() == ([], [])
    assert book.printed("first") == ["first\n"], "found under its tags"
    assert len(get_cache(book.root / "cache").list_cache_records()) == 1
    book.tag("first", "skip-execution")
    assert book.build() == ([], []), "each cell is passed over"
    assert book.printed("first") == []


def test_a_tag_hides_no_other_change(book: Book) -> None:
    book.counting_notebook("first", "from toy import alpha")
    book.build()
    book.tag("first", "runnable")
    book.write_module("alpha", "value = 2\n")
    assert book.build() == (["first"], ["first"])


def test_a_new_environment_reads_again_and_runs_nothing(book: Book) -> None:
    book.counting_notebook("first", "from toy import alpha")
    book.build()
    del book.env.booksite_keys
    assert book.build() == (["first"], [])


def test_two_run_at_a_time(book: Book) -> None:
    """Each of two notebooks waits for the other: one after another, neither would end."""
    for me, other in (("first", "second"), ("second", "first")):
        meet = (
            "import pathlib, time\n"
            f"pathlib.Path({str(book.root / me)!r}).touch()\n"
            "deadline = time.monotonic() + 30\n"
            f"while not pathlib.Path({str(book.root / other)!r}).exists():\n"
            "    assert time.monotonic() < deadline, 'alone'\n"
            "    time.sleep(0.05)"
        )
        book.write_notebook(me, meet)
    started = time.monotonic()
    prepare(book.app, book.env)
    assert time.monotonic() - started < 60


def test_kernels_use_one_thread_and_know_where_to_report(book: Book) -> None:
    book.write_notebook(
        "first",
        "import os\nprint(os.environ['OMP_NUM_THREADS'], 'LIVEFIGURE_PROGRESS' in os.environ)",
    )
    prepare(book.app, book.env)
    assert book.printed("first") == ["1 True\n"]


def test_a_failing_cell_is_named_and_the_others_are_kept(book: Book) -> None:
    book.counting_notebook("good", "from toy import alpha")
    book.write_notebook("bad", "x = 1", "1 / 0")
    with pytest.raises(ExtensionError, match="bad: cell 2 failed") as caught:
        prepare(book.app, book.env)
    assert "ZeroDivisionError" in str(caught.value)
    book.env.found_docs.discard("bad")
    assert book.build() == (["good"], [])


def test_all_failing_notebooks_are_named(book: Book) -> None:
    book.write_notebook("first", "1 / 0")
    book.write_notebook("second", "x = 1", "nosuch")
    with pytest.raises(ExtensionError) as caught:
        prepare(book.app, book.env)
    assert "first: cell 1 failed" in str(caught.value)
    assert "second: cell 2 failed" in str(caught.value)


def test_what_is_no_python_fails_as_the_cell_that_it_is(book: Book) -> None:
    book.write_notebook("bad", "x = 1", "def f(:")
    with pytest.raises(ExtensionError, match="bad: cell 2 failed") as caught:
        prepare(book.app, book.env)
    assert "SyntaxError" in str(caught.value)


def test_a_cell_without_end_is_named(book: Book) -> None:
    book.app.config.nb_execution_timeout = 1
    book.write_notebook("slow", "x = 1", "import time\ntime.sleep(60)")
    with pytest.raises(ExtensionError, match="slow: cell 2 ran for more than 1 s"):
        prepare(book.app, book.env)


def test_a_kernel_that_dies_is_named(book: Book) -> None:
    book.write_notebook("hungry", "import os", "os._exit(1)")
    with pytest.raises(ExtensionError, match="hungry: the kernel died in cell 2"):
        prepare(book.app, book.env)


def test_a_bare_widget_is_refused(book: Book) -> None:
    book.write_notebook("first", "import ipywidgets\nipywidgets.IntSlider()")
    with pytest.raises(ExtensionError, match="first: cell 1 shows a live widget"):
        prepare(book.app, book.env)


def test_widget_state_is_not_kept(book: Book) -> None:
    book.write_notebook("first", "import ipywidgets\nslider = ipywidgets.IntSlider()\nprint(1)")
    prepare(book.app, book.env)
    (record,) = get_cache(book.root / "cache").list_cache_records()
    kept = get_cache(book.root / "cache").get_cache_bundle(record.pk).nb
    assert "widgets" not in kept.metadata
    assert "state" not in json.dumps(kept.metadata)


def test_what_a_cell_prints_is_one_output(book: Book) -> None:
    """The kernel sends it in pieces, whose ends depend on the clock."""
    printing = "print('one', end=' ', flush=True)\nprint('line', flush=True)\nprint('two')"
    book.write_notebook("slow", printing)
    book.build()
    assert book.printed("slow") == ["one line\ntwo\n"]


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    code = "%matplotlib inline\nimport a.b as c\ndef f():\n    from d.e import g\nhere = !ls"
    assert set(imported_modules(code)) == {"a.b", "d.e", "d.e.g"}
    (tmp_path / "d").mkdir()
    for name in ("__init__", "e", "unused"):
        (tmp_path / "d" / f"{name}.py").write_text("import d.e\n")
    assert [path.name for path in source_files([code], tmp_path)] == ["__init__.py", "e.py"]
    # Neither another language nor a mistake hides what the other cells import.
    cells = ["%%bash\nfor x in 1; do echo $x; done", "def f(:", "import d.e"]
    assert [path.name for path in source_files(cells, tmp_path)] == ["__init__.py", "e.py"]
