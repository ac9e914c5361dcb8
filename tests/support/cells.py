"""What the code cells of a notebook need: NumPy only, torch, or a figure's libraries."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from support.book import ROOT

#: Top packages that a reader's browser lacks, and the kind of cell that they make.
KINDS = {
    "torch": "torch",
    "matplotlib": "figure",
    "ipywidgets": "figure",
    "livefigure": "figure",
    "IPython": "figure",
    "booksite": "figure",
}


@dataclass(frozen=True)
class CodeCell:
    """One code cell.

    Attributes
    ----------
    number : int
        Its place among all cells of the notebook, from 1.
    binds, uses : frozenset of str
        Names that it gives a value, and names that it expects to have one.
    imports : frozenset of str
        Kinds of what it imports itself.
    """

    number: int
    binds: frozenset[str]
    uses: frozenset[str]
    imports: frozenset[str]


def kinds(notebook: Path) -> dict[int, str]:
    """Return the kind of each code cell by its number.

    Parameters
    ----------
    notebook : Path
        The notebook.

    Returns
    -------
    dict of int to str
        ``"NumPy"``, ``"torch"``, ``"figure"``, or ``"exercise"`` for a cell that shows, leaves
        to be written or grades a drill, or asks questions.
    """
    found = {}
    libraries: dict[str, str] = {}
    for cell in code_cells(notebook):
        found[cell.number] = min(_kinds(cell, libraries), default="NumPy")
        tree = _parse(_read(notebook).cells[cell.number - 1].source)
        names = cell.uses | cell.binds
        if names & {"task", "grade", "questions"} or any(map(_is_to_be_written, tree.body)):
            found[cell.number] = "exercise"
        _learn(notebook, cell, libraries)
    return found


def problems(notebook: Path) -> list[str]:
    """Return where a notebook mixes NumPy with torch or figures, in words.

    A NumPy cell must run in a page that has neither torch nor matplotlib, after the other
    NumPy cells alone.
    """
    found = []
    libraries: dict[str, str] = {}  # names of imports that are not NumPy only: kind
    origins: dict[str, tuple[int, str]] = {}  # every name: cell and kind of its last value
    for cell in code_cells(notebook):
        needed = _kinds(cell, libraries)
        where = f"{notebook.name}, cell {cell.number}"
        if len(needed) > 1:
            found.append(f"{where} mixes torch and a figure")
        kind = min(needed, default="NumPy")
        for name in sorted(cell.uses & set(origins)):
            number, origin = origins[name]
            if kind == "NumPy" and origin != "NumPy":
                found.append(f"{where} is NumPy only but uses {name} from {origin} cell {number}")
        origins.update(dict.fromkeys(cell.binds, (cell.number, kind)))
        _learn(notebook, cell, libraries)
    return found


def _kinds(cell: CodeCell, libraries: dict[str, str]) -> set[str]:
    return cell.imports | {libraries[name] for name in cell.uses if name in libraries}


def _learn(notebook: Path, cell: CodeCell, libraries: dict[str, str]) -> None:
    """Take up what a cell imports, and forget the imports whose names it gives to others."""
    for name in cell.binds:
        libraries.pop(name, None)
    libraries.update(_libraries(notebook, cell.number))


def replaced(notebook: Path) -> list[str]:
    """Return which functions use a name that a drill's cell gives a new meaning, in words.

    A reader's half-written answer would become part of the book's own figures and checks.
    """
    trees = {
        number: _parse(cell.source)
        for number, cell in enumerate(_read(notebook).cells, start=1)
        if cell.cell_type == "code"
    }
    drills = {
        node.name: number
        for number, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and _is_to_be_written(node)
    }
    return [
        f"{notebook.name}, cell {number}: {function.name} uses {name}, which cell {drills[name]} "
        "replaces; call it through its module"
        for number, tree in trees.items()
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for name in sorted(_globals_of(function) & set(drills))
        if drills[name] != number
    ]


def _is_to_be_written(node: ast.stmt) -> bool:
    """Tell whether a statement is a function whose body ends in ``...``."""
    last = node.body[-1] if isinstance(node, ast.FunctionDef) else None
    return isinstance(last, ast.Expr) and (
        isinstance(last.value, ast.Constant) and last.value.value is ...
    )


def _globals_of(function: ast.FunctionDef) -> set[str]:
    """Return the names that a function reads and does not bind anywhere within."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    bound |= {name for name, _ in _imports(ast.Module(function.body, []))}
    return read - bound


def code_cells(notebook: Path) -> Iterator[CodeCell]:
    """Yield the code cells of a notebook."""
    for number, cell in enumerate(_read(notebook).cells, start=1):
        if cell.cell_type == "code":
            tree = _parse(cell.source)
            binds, uses = _names(tree)
            imports = {kind for _, kind in _imports(tree) if kind}
            yield CodeCell(number, frozenset(binds), frozenset(uses), frozenset(imports))


def _read(notebook: Path) -> Any:
    return nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]


def _parse(source: str) -> ast.Module:
    return ast.parse("\n".join("" if line.startswith(("%", "!")) else line
                               for line in source.splitlines()))  # fmt: skip


def _libraries(notebook: Path, number: int) -> dict[str, str]:
    tree = _parse(_read(notebook).cells[number - 1].source)
    return {name: kind for name, kind in _imports(tree) if kind}


def _imports(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Yield every imported name with the kind of cell that its package makes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], _kind(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                kind = _kind(node.module) or _kind(f"{node.module}.{alias.name}")
                yield alias.asname or alias.name, kind


def _kind(module: str) -> str | None:
    """Return the kind of a module; one of ours is of the kind that it imports at its top."""
    top = module.partition(".")[0]
    if top in KINDS:
        return KINDS[top]
    path = ROOT / "src" / Path(*module.split(".")).with_suffix(".py")
    if top != "dlbook" or not path.exists():
        return None
    names = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return next(filter(None, (KINDS.get(name.partition(".")[0]) for name in names)), None)


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the names that a cell binds at its top level, and those that it expects.

    A function's own names count as neither, if the cell itself does not bind them.
    """
    binds = {name for name, _ in _imports(tree)}
    uses: set[str] = set()
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            binds.add(node.name)
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            own |= {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)}
        elif isinstance(node, ast.Name):
            (uses if isinstance(node.ctx, ast.Load) else binds).add(node.id)
    return binds, uses - binds - own
