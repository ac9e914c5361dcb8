"""Rules of the repository as a whole, read from its files."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.book import ROOT, notebooks

#: The one address outside the ordinary package index that an installation may ask.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"

#: Which of our packages each room may import; a room may always import itself.
MAY_IMPORT: dict[str, set[str]] = {
    "notebooks": {"dlbook", "livefigure", "booksite.questions"},
    "dlbook.plots": {"livefigure.style"},
    "dlbook": set(),
    "livefigure": set(),
    "booksite": set(),
    "pagepython": set(),
}
OURS = ("dlbook", "livefigure", "booksite", "pagepython")

MODULES = sorted((ROOT / "src").rglob("*.py"))


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _locked(name: str) -> dict[str, str]:
    """Return what a lock pins: for each name the rest of its line."""
    lines = (line for line in _text(name).splitlines() if "==" in line and line[0] not in "#-")
    return dict(line.split("==", 1) for line in lines)


def test_binder_installs_the_lock() -> None:
    assert _text(".binder/requirements.txt").splitlines() == [
        f"--extra-index-url {TORCH_INDEX}",
        "-r ../requirements.txt",
    ]
    assert _text(".binder/runtime.txt").strip() == "python-3.12"


def test_lock_installs_this_repository_and_no_cuda() -> None:
    lock = _text("requirements.txt")
    assert "-e ." in lock.splitlines()
    assert not re.search(r"^(cuda|nvidia|triton)", lock, re.MULTILINE)
    assert "://" not in lock + _text("requirements-dev.txt")


def test_pins_agree() -> None:
    project = tomllib.loads(_text("pyproject.toml"))
    groups = project["dependency-groups"]
    lock, dev = _locked("requirements.txt"), _locked("requirements-dev.txt")
    needed = project["project"]["dependencies"] + groups["dev"]
    for requirement in needed:
        name = re.split(r"[^\w-]", requirement, maxsplit=1)[0].lower()
        assert name in lock or name in dev, f"{name} is not locked; run: make lock"
    for name in set(lock) & set(dev):
        assert lock[name].split()[0] == dev[name].split()[0], f"{name} differs; run: make lock"
    bench = _locked("requirements-bench.txt")
    for requirement in groups["bench"]:
        name = re.split(r"[^\w-]", requirement, maxsplit=1)[0].lower()
        assert name in bench and name not in lock, f"{name} belongs to the benchmarks alone"
    for name in set(lock) & set(bench):
        assert lock[name].split()[0] == bench[name].split()[0], f"{name} differs; run: make lock"
    torch = next(entry for entry in needed if entry.startswith("torch=="))
    assert lock["torch"] == torch.partition("==")[2]


def test_workflows_name_no_address_of_their_own() -> None:
    """Every fork's book links and launches that fork."""
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        addresses = re.findall(r"https?://[^\s'\"]+", workflow.read_text(encoding="utf-8"))
        assert set(addresses) <= {TORCH_INDEX}, workflow.name


def test_no_static_folder_in_the_root() -> None:
    """Jupyter Book would put every script in it on every page."""
    assert not (ROOT / "_static").exists()


def test_every_notebook_is_in_the_table_of_contents() -> None:
    contents = _text("_toc.yml")
    for notebook in notebooks():
        assert f"notebooks/{notebook.stem}\n" in contents


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the full name of everything that a module of *package* imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            start = ".".join(above) if node.level else ""
            module = ".".join(filter(None, (start, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _forbidden(tree: ast.AST, room: str, package: str) -> list[str]:
    """Return what a room may not import."""
    allowed = MAY_IMPORT[room] | {room.partition(".")[0]}
    return [
        name
        for name in _imports(tree, package)
        if name.partition(".")[0] in OURS
        and not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)
    ]


def _dotted(module: Path) -> str:
    return ".".join(module.relative_to(ROOT / "src").with_suffix("").parts)


@pytest.mark.parametrize("module", MODULES, ids=_dotted)
def test_module_imports_only_what_its_room_may(module: Path) -> None:
    name = _dotted(module)
    room = name if name in MAY_IMPORT else name.partition(".")[0]
    tree = ast.parse(module.read_text(encoding="utf-8"))
    assert _forbidden(tree, room, name.rpartition(".")[0]) == []


def test_notebook_imports_only_what_it_may(notebook: Path) -> None:
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert _forbidden(ast.parse("".join(cell["source"])), "notebooks", "") == []


@pytest.mark.parametrize(
    ("source", "room", "found"),
    [
        ("from livefigure import style", "dlbook.plots", []),
        ("import livefigure.style", "dlbook.plots", []),
        ("from livefigure import live", "dlbook.plots", ["livefigure.live"]),
        ("from livefigure import style", "dlbook", ["livefigure.style"]),
        ("def f():\n    import dlbook.show", "booksite", ["dlbook.show"]),
        ("from . import show", "dlbook", []),
        ("from booksite import questions", "notebooks", []),
        ("import booksite.pages", "notebooks", ["booksite.pages"]),
        ("import numpy, torch", "livefigure", []),
    ],
)
def test_forbidden_imports_are_found(source: str, room: str, found: list[str]) -> None:
    assert _forbidden(ast.parse(source), room, room.partition(".")[0]) == found


@pytest.mark.parametrize("module", MODULES, ids=_dotted)
def test_public_names_have_docstrings(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    if public:
        assert ast.get_docstring(tree), "the module has no docstring"
    for node in public:
        assert ast.get_docstring(node), f"{node.name} has no docstring"
