"""The extension in a plain Sphinx project that has nothing else of ours."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

CONF = """
project = "Empty"
extensions = ["myst_nb", "livefigure.sphinx"]
exclude_patterns = ["out", "doctrees", "jupyter_execute"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
"""

CELL = """\
import matplotlib.pyplot as plt
from livefigure import live
fig, ax = plt.subplots()
(line,) = ax.plot([0, 1], [0, 1])
@live(fig, slope=(0.0, 1.0, 0.25))
def {name}(slope):
    line.set_ydata([0, slope])
    return f"The slope is {{slope:g}}."
"""

STILL = """\
import matplotlib.pyplot as plt
from livefigure import still
fig, ax = plt.subplots()
(line,) = ax.plot([0, 1], [0, 1])
still(fig, "A rising line.")
"""


def write_notebook(path: Path, *names: str) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell("# Title")]
    notebook.cells += [nbformat.v4.new_code_cell(CELL.format(name=name)) for name in names]
    nbformat.write(notebook, path)


def build(root: Path, jobs: int = 1) -> Path:
    """Build the project in *root* and return the folder of the site."""
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            root, root, root / "out", root / "doctrees", "html",
            status=None, warningiserror=True, parallel=jobs,
        )  # fmt: skip
        app.build()
    return root / "out"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "conf.py").write_text(CONF)
    (root / "index.md").write_text(
        "# Start\n\n```{toctree}\nsub/page\n```\n\n```{livefigure} tilt\n```\n"
    )
    (root / "sub").mkdir()
    write_notebook(root / "sub" / "page.ipynb", "tilt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVEFIGURE_BAKE", "")
        build(root)
    return root


def data_files(site: Path) -> list[str]:
    return sorted(path.name for path in (site / "_static" / "livefigures").iterdir())


def test_both_pages_show_the_figure(project: Path) -> None:
    site = project / "out"
    (name,) = data_files(site)
    assert re.fullmatch(r"tilt-[0-9a-f]{8}\.js", name)
    for page, prefix in (("index.html", ""), ("sub/page.html", "../")):
        text = (site / page).read_text()
        assert text.count('<figure class="livefigure" id="tilt" data-states="5"') == 1
        assert f'data-src="{prefix}_static/livefigures/{name}"' in text
        assert "The slope is 0.5." in text
        assert f'src="{prefix}_static/livefigure.js' in text
    assert "livefigure.js" not in (site / "genindex.html").read_text()
    assert "livefigure.css" in (site / "genindex.html").read_text()


def test_files_come_back_and_stale_ones_go(project: Path) -> None:
    site = project / "out"
    (name,) = data_files(site)
    shutil.rmtree(site / "_static" / "livefigures")
    (site / "_static" / "livefigures").mkdir()
    (site / "_static" / "livefigures" / "old-00000000.js").write_text("")
    build(project)  # nothing is read again
    assert data_files(site) == [name]


def test_a_changed_figure_changes_on_the_other_page_too(project: Path) -> None:
    site = project / "out"
    (before,) = data_files(site)
    path = project / "sub" / "page.ipynb"
    path.write_text(path.read_text().replace("The slope is", "Now it is"))
    os.utime(path, (path.stat().st_mtime + 5,) * 2)
    build(project)
    (after,) = data_files(site)
    assert after != before
    assert after in (site / "index.html").read_text()
    assert "Now it is" in (site / "index.html").read_text()


def test_unknown_and_doubled_names_fail(project: Path, tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.md").write_text("# Start\n\n```{livefigure} nowhere\n```\n")
    with pytest.raises(Exception, match="index: no notebook makes a live figure 'nowhere'"):
        build(tmp_path)
    write_notebook(tmp_path / "index.ipynb", "tilt", "tilt")
    (tmp_path / "index.md").unlink()
    with pytest.raises(Exception, match="index shows the live figure tilt twice: rename"):
        build(tmp_path)


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_name_on_two_pages_fails(tmp_path: Path, jobs: int) -> None:
    """With two readers neither sees the other's page: the merge has to find it."""
    (tmp_path / "conf.py").write_text(CONF)
    others = [f"p{k}" for k in range(6)]  # Sphinx reads side by side from six pages on
    toc = "\n".join([*others, "one", "two"])
    (tmp_path / "index.md").write_text(f"# Start\n\n```{{toctree}}\n{toc}\n```\n")
    for name in others:
        (tmp_path / f"{name}.md").write_text("# Page\n")
    write_notebook(tmp_path / "one.ipynb", "tilt")
    write_notebook(tmp_path / "two.ipynb", "tilt")
    with pytest.raises(
        Exception, match=r"named tilt, one in (one|two) and one in (one|two): rename"
    ):
        build(tmp_path, jobs)


def test_the_id_of_a_heading_is_refused(tmp_path: Path) -> None:
    """A link would lead to one of the two, and scripts would find the wrong one."""
    (tmp_path / "conf.py").write_text(CONF)
    write_notebook(tmp_path / "index.ipynb", "title")
    with pytest.raises(Exception, match="index: the live figure title has the id of a heading"):
        build(tmp_path)


def test_a_still_figure_is_drawn_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(CONF)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell(STILL),
    ]
    nbformat.write(notebook, tmp_path / "index.ipynb")
    site = build(tmp_path)
    text = (site / "index.html").read_text()
    assert text.count('<div class="livefigure-still"><svg ') == 1
    assert 'role="img" aria-label="A rising line."' in text
    assert "<img" not in text and not list(site.glob("_images/*"))
    # It needs the style sheet, and no script.
    assert "livefigure.css" in text and "livefigure.js" not in text
