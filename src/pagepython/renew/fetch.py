"""Fetches what the runtime is made from, each piece checked against its hash.

npm checks Pyodide, esbuild and the editor against ``package-lock.json``. No index serves NumPy's
wheel for the page: it is committed, and can be had out of a package that carries it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from pagepython.renew import node

HERE: Final = Path(__file__).parent
RUNTIME: Final = HERE.parent / "runtime"

NUMPY: Final = "2.4.3"
WHEEL: Final = f"numpy-{NUMPY}-cp314-cp314-pyemscripten_2026_0_wasm32.whl"
WHEEL_SHA256: Final = "0cad9c1b91f0082e4f959bc0e0bf5835a2efbba6ab3b1e9d1fe6e7e564cca98e"

#: A package on PyPI that carries the wheel, byte for byte the one that Pyodide 314.0.4 names.
CARRIER: Final = "open-webui==0.12.4"


def packages(folder: Path) -> Path:
    """Install what ``package-lock.json`` names.

    Parameters
    ----------
    folder
        Where; gets a ``node_modules``.

    Returns
    -------
    Path
        The ``node_modules``.

    Raises
    ------
    subprocess.CalledProcessError
        If npm cannot fetch a package, or one has another hash.
    """
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, folder / name)
    node.npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", folder=folder)
    return folder / "node_modules"


def wheel(modules: Path, original: Path = RUNTIME / "original") -> Path:
    """Return NumPy's untouched wheel; fetch it if the folder does not have it.

    Parameters
    ----------
    modules
        The ``node_modules``, for the hash that an earlier Pyodide names.
    original
        Where the wheel is kept.

    Raises
    ------
    ValueError
        If the wheel is not the one that Pyodide's own list names.
    """
    path = original / WHEEL
    if not path.is_file() or sha256(path) != WHEEL_SHA256:
        original.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_out_of_carrier())
    lock = json.loads((modules / "pyodide-with-numpy-2.4.3" / "pyodide-lock.json").read_text())
    named = lock["packages"]["numpy"]["sha256"]
    if not sha256(path) == WHEEL_SHA256 == named:
        raise ValueError(f"{path} has the hash {sha256(path)}; Pyodide's list names {named}")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _out_of_carrier() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", folder, CARRIER], check=True)
        (carrier,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(carrier) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(f"/{WHEEL}"))
            return archive.read(name)
