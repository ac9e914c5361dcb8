"""Who imports whom: a page's Python has no torch, and ``dlbook`` stands alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dlbook

ROOT = Path(dlbook.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))
OURS = {"booksite", "livefigure"}
#: What chapters compute with. Layers of PyTorch, figures and what a notebook shows are no part.
REFERENCES = [
    path.stem
    for path in sorted(ROOT.glob("*.py"))
    if path.stem not in {"__init__", "layers", "plots", "show"}
]


def module(path: Path) -> str:
    parts = ("dlbook", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def defines_modules(path: Path) -> bool:
    """Tell whether a file defines an ``nn.Module``, for which torch has to be there."""
    classes = [
        n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.ClassDef)
    ]
    bases = {ast.unparse(base) for definition in classes for base in definition.bases}
    return bool(bases & {"nn.Module", "torch.nn.Module", "Module"})


def imported(path: Path) -> set[str]:
    """Return the dotted names of all that a file imports, wherever it does so."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            assert node.level == 0, f"{path.name}: write imports in full"
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


PLAIN = [module(path) for path in FILES if not defines_modules(path)]


def test_there_is_something_to_test() -> None:
    assert {"dlbook", "dlbook.optimizers", "dlbook.plots", "dlbook.show"} <= set(PLAIN)


@pytest.mark.parametrize("name", PLAIN)
def test_imports_without_torch(name: str) -> None:
    script = f"import sys; sys.modules['torch'] = None; import {name}"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_blocked_torch_is_noticed() -> None:
    script = "import sys; sys.modules['torch'] = None; import torch"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode != 0


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_nothing_of_ours(path: Path) -> None:
    found = {name for name in imported(path) if name.partition(".")[0] in OURS}
    assert found <= ({"livefigure.style"} if module(path) == "dlbook.plots" else set())


def test_the_package_imports_nothing() -> None:
    assert imported(ROOT / "__init__.py") == set()


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_functions_need_numpy_only(name: str) -> None:
    modules = imported(ROOT / f"{name}.py")
    outside = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    # torch, if at all, inside functions: that a module is imported without it is tested above.
    assert outside - {"dlbook", "torch"} <= {"numpy"}
    ours = {module for module in modules if module.startswith("dlbook")}
    assert ours <= {"dlbook.checks", "dlbook.checks.Array"}


@pytest.mark.parametrize("name", ["receptive_field"])
def test_torch_is_imported_inside_functions_alone(name: str) -> None:
    modules = imported(ROOT / f"{name}.py")
    outside = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    assert outside - {"dlbook"} == {"numpy", "torch"}
    script = f"import sys, dlbook.{name}; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "False\n"
