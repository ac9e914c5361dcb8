"""Packs the runtime: bytecode in place of sources, and one script in place of two."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pagepython.renew import archive, fetch, node, selection

LOADER: Final = "pyodide.js"
WASM: Final = "pyodide.asm.wasm"
LIBRARY: Final = "python_stdlib.zip"
LOCK: Final = "pyodide-lock.json"
MANIFEST: Final = "manifest.json"

#: How often zopfli tries to make a file smaller. Fifteen rounds gain a fifth of a percent.
ROUNDS: Final = 1

#: What a page fetches.
FETCHED: Final = (LOADER, WASM, LIBRARY, fetch.WHEEL, LOCK)

#: All of it in one scope: a worker's script is put behind it and gets ``loadPyodide``, no more.
_LOADER_OPTIONS: Final = (
    *("--format=iife", "--global-name=pageCore", "--external:node:*", "--external:ws"),
    "--define:import.meta.url=pageURL",
    "--banner:js=const pageURL = import.meta.url;",
    "--footer:js=const { loadPyodide } = pageCore;",
)

#: Where the files are in the page's Python: tracebacks show it.
_LIBRARY_PLACE: Final = "/lib/python314.zip/"
_PACKAGES_PLACE: Final = "/lib/python3.14/site-packages/"

#: Without docstrings and asserts.
_BARE: Final = 2
#: With docstrings: numpy.ma makes its own out of NumPy's, and fails where there are none.
_WHOLE: Final = 0


def pack(modules: Path, wheel: Path, target: Path, rounds: int = ROUNDS) -> None:
    """Write the packed runtime.

    Parameters
    ----------
    modules
        The ``node_modules`` with Pyodide and esbuild.
    wheel
        NumPy's untouched wheel.
    target
        The folder that gets the files.
    rounds
        How often zopfli tries to make a file smaller.
    """
    target.mkdir(parents=True, exist_ok=True)
    core = modules / "pyodide"
    library = selection.standard_library(_unpacked(core / LIBRARY))
    numpy = selection.numpy(_unpacked(wheel))
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(library, _LIBRARY_PLACE, _BARE, core, Path(folder) / "library")
        numpy = compiled(numpy, _PACKAGES_PLACE, _WHOLE, core, Path(folder) / "numpy")
    bundle(modules, fetch.HERE / "core.src.js", target / LOADER, *_LOADER_OPTIONS)
    shutil.copyfile(core / WASM, target / WASM)
    (target / LIBRARY).write_bytes(archive.pack(library, rounds))
    (target / fetch.WHEEL).write_bytes(archive.pack(_with_record(numpy), rounds))
    (target / LOCK).write_text(_json(_lock(core, target / fetch.WHEEL)), encoding="utf-8")
    (target / MANIFEST).write_text(_json(_manifest(core, target)), encoding="utf-8")


def bundle(modules: Path, source: Path, target: Path, *options: str) -> None:
    """Bundle a script and what it imports with esbuild.

    Parameters
    ----------
    modules
        The ``node_modules`` that the script imports from.
    source
        The script.
    target
        The file to write.
    *options
        More of esbuild's options.
    """
    script = modules / "esbuild" / "bin" / "esbuild"
    entry = modules.parent / source.name  # there the imports are found
    shutil.copyfile(source, entry)
    always = ("--bundle", "--minify", "--log-level=error")
    node.run(script, entry, f"--outfile={target}", *always, *options)


def compiled(
    files: Mapping[str, bytes], place: str, level: int, core: Path, folder: Path
) -> dict[str, bytes]:
    """Return the files with bytecode in place of each Python file.

    Parameters
    ----------
    files
        Content by name.
    place
        Where they are in the page's Python, with a slash at the end.
    level
        Level of optimization, as of :func:`compile`.
    core
        The folder of Pyodide, whose Python compiles.
    folder
        A folder to work in.
    """
    sources = sorted(name for name in files if name.endswith(".py"))
    for name in sources:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(files[name])
    jobs = [[f"/host/{name}", f"/host/{name}c", place + name, level] for name in sources]
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    node.run(fetch.HERE / "compile.mjs", core, folder, folder / "jobs.json")
    others = {name: content for name, content in files.items() if name not in sources}
    return others | {f"{name}c": (folder / f"{name}c").read_bytes() for name in sources}


def manifest_of(folder: Path, names: tuple[str, ...] = FETCHED) -> dict[str, dict[str, object]]:
    """Return hash and size of each file by name."""
    return {
        name: {
            "sha256": fetch.sha256(folder / name),
            "bytes": (folder / name).stat().st_size,
        }
        for name in names
    }


def _unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as opened:
        return {item.filename: opened.read(item) for item in opened.infolist() if not item.is_dir()}


def _with_record(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a wheel's files with a RECORD of what is in it now."""
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    lines = "".join(f"{name},,\n" for name in sorted(files))
    return {**files, record: lines.encode()}


def _lock(core: Path, wheel: Path) -> dict[str, object]:
    """Return Pyodide's list of packages with NumPy alone."""
    lock = json.loads((core / LOCK).read_text(encoding="utf-8"))
    entry = {
        **lock["packages"]["numpy"],
        "file_name": wheel.name,
        "sha256": fetch.sha256(wheel),
        "version": fetch.NUMPY,
    }
    return {"info": lock["info"], "packages": {"numpy": entry}}


def _manifest(core: Path, folder: Path) -> dict[str, object]:
    lock = json.loads((core / LOCK).read_text(encoding="utf-8"))
    return {
        "pyodide": json.loads((core / "package.json").read_text(encoding="utf-8"))["version"],
        "python": lock["info"]["python"],
        "numpy": fetch.NUMPY,
        "files": manifest_of(folder),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"
