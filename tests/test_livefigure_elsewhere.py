"""``livefigure`` as a distribution of its own, used as its README says, with nothing of ours."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page
from support.book import ROOT
from support.browser import NewPage, Watch
from support.figures import LiveFigurePage

from livefigure.style import DARK, LIGHT

PACKAGE = ROOT / "src" / "livefigure"
README = (PACKAGE / "README.md").read_text(encoding="utf-8")

#: Where an import is not named as its distribution is.
DISTRIBUTION = {"IPython": "ipython", "fontTools": "fonttools"}


def examples(heading: str, language: str) -> list[str]:
    """Return the fenced examples of a language in a section of the README."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    return [
        code for _, code in re.findall(rf"^(`{{3,}}){language}\n(.*?)^\1$", section, re.M | re.S)
    ]


def run(python: Path, *command: str, cwd: Path) -> str:
    """Run a Python command in an environment that knows nothing of this repository."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LIVEFIG"))}
    done = subprocess.run(
        [python, *command], cwd=cwd, env=environment, text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that has ``livefigure`` and not this repository.

    Other packages are links to the ones installed, as installing them anew takes minutes.
    """
    root = tmp_path_factory.mktemp("elsewhere")
    venv.create(root / "env", symlinks=os.name != "nt", with_pip=False)
    place = {"base": str(root / "env"), "platbase": str(root / "env")}
    target = Path(sysconfig.get_path("purelib", vars=place))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("moving_parts", "__editable__")):
            (target / entry.name).symlink_to(entry)
    shutil.copytree(
        PACKAGE, root / "src" / "livefigure", ignore=shutil.ignore_patterns("__pycache__")
    )
    (project,) = examples("As a distribution of its own", "toml")
    (root / "pyproject.toml").write_text(project, encoding="utf-8")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(
        Path(sys.executable), *install, "--no-build-isolation", "--target", str(root / "own"),
        str(root), cwd=root,
    )  # fmt: skip
    for entry in (root / "own").iterdir():
        shutil.move(entry, target / entry.name)
    return root / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def write_notebook(path: Path) -> None:
    (cell,) = examples("In a notebook", "python")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell(cell)]
    nbformat.write(notebook, path)


def check_figure(page: Page, path: Path, ink: str) -> None:
    """Check that a figure on a page opened from its file moves, and its ink in dark mode."""
    figure = LiveFigurePage.open(page, path.as_uri(), "tilt")
    data, caption = figure.data(), figure.caption()
    assert caption == "The slope is 0.5."
    figure.move({"slope": 4})
    assert figure.data() != data
    assert figure.caption() == "The slope is 1."
    script = "(root) => getComputedStyle(root).getPropertyValue('--ink').trim()"
    assert figure.root.evaluate(script) == ink


def test_only_livefigure_is_there(python: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u; print([bool(u.find_spec(n)) for n in {!r}])"
    names = ("livefigure", "dlbook", "booksite")
    assert run(python, "-c", code.format(names), cwd=tmp_path) == "[True, False, False]\n"


def test_jupyter_book(python: Path, tmp_path: Path, new_page: NewPage) -> None:
    config, contents = examples("In a Jupyter Book", "yaml")
    (directive,) = examples("In a Jupyter Book", "markdown")
    (tmp_path / "_config.yml").write_text(config, encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(contents, encoding="utf-8")
    (tmp_path / "index.md").write_text(f"# Start\n\n{directive}", encoding="utf-8")
    write_notebook(tmp_path / "notebook.ipynb")
    book = ("-c", "from jupyter_book.cli.main import main; main()", "build", ".")
    run(python, *book, cwd=tmp_path)
    site = tmp_path / "_build" / "html"
    for name in ("index.html", "notebook.html"):
        page = new_page(color_scheme="dark")
        # The stock theme asks other hosts for its own sake; figures work without a network.
        page.route(re.compile("^https?:"), lambda route: route.abort())
        check_figure(page, site / name, DARK["ink"])
    data = {file.name: file.read_bytes() for file in (site / "_static/livefigures").iterdir()}
    shutil.rmtree(site)  # the pages read stay in _build/.doctrees
    run(python, *book, cwd=tmp_path)
    kept = {file.name: file.read_bytes() for file in (site / "_static/livefigures").iterdir()}
    assert kept == data != {}


def test_plain_sphinx(python: Path, tmp_path: Path, new_page: NewPage) -> None:
    (conf,) = examples("In a Sphinx project", "python")
    (directive,) = examples("In a Jupyter Book", "markdown")
    (css,) = examples("Colors and dark mode", "css")
    conf += 'html_theme = "alabaster"\nhtml_static_path = ["own"]\nhtml_css_files = ["own.css"]\n'
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.css").write_text(css, encoding="utf-8")
    (tmp_path / "conf.py").write_text(conf, encoding="utf-8")
    toc = "```{toctree}\nnotebook\n```\n"
    (tmp_path / "index.md").write_text(f"# Start\n\n{toc}\n{directive}", encoding="utf-8")
    write_notebook(tmp_path / "notebook.ipynb")
    for number in range(6):  # Sphinx reads side by side from six pages on
        (tmp_path / f"page{number}.md").write_text("---\norphan: true\n---\n# Page\n")
    run(python, "-m", "sphinx", "-q", "-W", "-j", "2", ".", "_build/html", cwd=tmp_path)
    for name in ("index.html", "notebook.html"):
        page, watch = new_page(color_scheme="dark"), Watch("file://")
        watch.attach(page)
        check_figure(page, tmp_path / "_build" / "html" / name, LIGHT["ink"])
        watch.check()


def test_a_kernel_needs_no_sphinx(python: Path, tmp_path: Path) -> None:
    (cell,) = examples("In a notebook", "python")
    block = "import sys\nfor name in ('sphinx', 'docutils', 'myst_nb', 'fontTools.subset'):\n"
    block += "    sys.modules[name] = None\n"
    end = "print(tilt.bake()['states'], type(tilt.widget()).__name__)\n"
    assert run(python, "-c", f"{block}{cell}{end}", cwd=tmp_path).endswith("5 VBox\n")


def test_every_import_is_declared() -> None:
    (text,) = examples("As a distribution of its own", "toml")
    project = tomllib.loads(text)["project"]
    extra = project["optional-dependencies"]
    names = {
        group: {re.split(r"[^\w-]", entry, maxsplit=1)[0] for entry in entries}
        for group, entries in {"": project["dependencies"], **extra}.items()
    }
    for module in PACKAGE.rglob("*.py"):
        group = "sphinx" if module.parent.name == "sphinx" else module.stem
        allowed = names[""] | names.get(group, set())
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert not node.level
                found = [node.module or ""]
            for name in (entry.partition(".")[0] for entry in found):
                if name not in sys.stdlib_module_names and name != "livefigure":
                    assert DISTRIBUTION.get(name, name) in allowed, f"{module.name}: {name}"
