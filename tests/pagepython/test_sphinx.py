"""The Sphinx extension: what it writes into a site, and on which pages."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from sphinx.application import Sphinx
from sphinx.errors import ConfigError
from sphinx.util.docutils import docutils_namespace

from pagepython.sphinx.files import Settings, archive, site_files

PAGE = '# Page\n\n<div class="drill" data-drill="double"><pre>def double(x): ...</pre></div>\n'


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a module, one to leave out, a file of its own, and answers."""
    folder = tmp_path / "code" / "mine"
    (folder / "answers").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "maths.py": "def double(x):\n    return 2 * x\n",
        "plots.py": "import matplotlib\n",
        "table.json": "[1]",
        "notes.txt": "not needed",
        "answers/double.json": "{}",
    }.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def settings(package: Path) -> Settings:
    return Settings([package], ["mine/plots.py"], "mine", package / "answers", "a.launch", "No.")


def test_archive_has_the_very_files(settings: Settings, package: Path) -> None:
    made = zipfile.ZipFile(io.BytesIO(archive(settings)))
    assert set(made.namelist()) == {
        "pagepython/__init__.py",
        "pagepython/runner.py",
        "mine/__init__.py",
        "mine/maths.py",
        "mine/table.json",
    }
    assert made.read("mine/maths.py") == (package / "maths.py").read_bytes()
    assert archive(settings) == archive(settings)


def test_addresses_change_with_what_they_lead_to(settings: Settings, package: Path) -> None:
    before = site_files(settings)
    (package / "maths.py").write_text("def double(x):\n    return x + x\n")
    after = site_files(settings)
    assert before["start.js"] != after["start.js"]  # which names the folder of the others
    runtime = {name for name in before if name.startswith("runtime-")}
    assert runtime == {name for name in after if name.startswith("runtime-")}
    others = set(before) - runtime - {"start.js", "pagepython.css"}
    assert not others & set(after)


def test_answers_are_fetched_to_their_place(settings: Settings) -> None:
    files = site_files(settings)
    (session,) = (data for name, data in files.items() if name.endswith("session.js"))
    line = session.decode().splitlines()[1]
    known = json.loads(line.removeprefix("const FILES = ").removesuffix(";"))
    answer = known["answers"]["double"]
    assert answer["place"] == "mine/answers/double.json"
    assert files[answer["path"]] == b"{}"
    for file in [known["worker"], known["modules"], *known["runtime"]]:
        assert len(files[file["path"]]) == file["bytes"]
        assert file["integrity"].startswith("sha256-")


def _built(root: Path, **settings: Any) -> Path:
    """Build a folder of pages, and return the site."""
    out = root.with_name("site")
    config = {
        "extensions": ["myst_nb", "pagepython.sphinx"],
        "nb_execution_mode": "off",
        "nb_ipywidgets_js": {},
        **settings,
    }
    with docutils_namespace():
        app = Sphinx(
            str(root), None, str(out), str(out / ".doctrees"), "html", confoverrides=config,
            status=None, warning=None,
        )  # fmt: skip
        app.build()
    return out


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A folder with a plain page, one with a drill, and one with a cell that runs."""
    root = tmp_path / "pages"
    root.mkdir()
    (root / "index.md").write_text("# Start\n\n```{toctree}\npage\ncells\n```\n")
    (root / "page.md").write_text(PAGE)
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    notebook.cells = [nbformat.v4.new_markdown_cell("# Cells"), nbformat.v4.new_code_cell("1 + 1")]
    notebook.cells[1].metadata["tags"] = ["runnable"]
    nbformat.write(notebook, root / "cells.ipynb")
    return root


def test_script_only_where_something_runs(pages: Path) -> None:
    site = _built(pages)
    scripts = {
        name: "pagepython/start.js" in (site / f"{name}.html").read_text()
        for name in ("index", "page", "cells")
    }
    assert scripts == {"index": False, "page": True, "cells": True}


def test_stale_files_go_and_lost_ones_return(pages: Path, package: Path) -> None:
    site = _built(pages, pagepython_packages=[str(package)])
    home = site / "_static" / "pagepython"
    (before,) = home.glob("*/modules.zip")
    (package / "maths.py").write_text("changed = True\n")
    (home / "start.js").unlink()
    _built(pages, pagepython_packages=[str(package)])
    (after,) = home.glob("*/modules.zip")
    assert after.parent != before.parent
    assert (home / "start.js").exists()
    assert len(list(home.glob("runtime-*"))) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pagepython_packages": ["nowhere"]}, "pagepython_packages: there is no folder .*nowhere"),
        ({"pagepython_answers": "nowhere"}, "pagepython_answers: there is no folder .*nowhere"),
        ({"pagepython_answers": "."}, "pagepython_answers: .* is in none of pagepython_packages"),
    ],
)
def test_bad_settings_are_named(pages: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _built(pages, **settings)
