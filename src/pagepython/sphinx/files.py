"""What a site needs of this package: page scripts, the editor, the runtime, the book's modules."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rjsmin

HERE: Final = Path(__file__).parent.parent
STATIC: Final = HERE / "static"
RUNTIME: Final = HERE / "runtime"

#: Bytes of each file below the site's folder for this package.
Site = dict[str, bytes]

#: Fixed, so that the same files make the same archive.
_DATE: Final = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Settings:
    """What a site configures; see :mod:`pagepython.sphinx`."""

    packages: list[Path]
    leave_out: list[str]
    grader: str
    answers: Path | None
    launch: str
    served: str


def site_files(settings: Settings) -> Site:
    """Return all files of a site.

    What changes seldom and weighs much is in a folder of its own. Both folders are named by a
    digest of what is in them, so that a browser may keep them for ever.

    Parameters
    ----------
    settings : Settings
        What the site configures.

    Returns
    -------
    dict of str to bytes
        By path. ``start.js`` and ``pagepython.css`` are for the pages; the others are fetched.
    """
    runtime = _runtime()
    index = f"runtime-{_digest(runtime)}"
    modules = archive(settings)
    own: Site = {
        "modules.zip": modules,
        "session.css": (STATIC / "session.css").read_bytes(),
        "editor.js": (STATIC / "editor" / "editor.js").read_bytes(),
        "editor.css": (STATIC / "editor" / "editor.css").read_bytes(),
        "editor-LICENSE.txt": (STATIC / "editor" / "LICENSE").read_bytes(),
        **_answers(settings),
    }
    session = _script("session.js")
    folder = _digest({**own, "session": session.encode(), "index": index.encode()})
    files = _addresses(runtime, index, own, folder, settings)
    own["session.js"] = _wrapped(f"const FILES = {json.dumps(files)};\n{session}")
    start = {
        "session": f"{folder}/session.js",
        "launch": settings.launch or "[data-no-launch]",
        "served": settings.served,
    }
    return {
        "start.js": _wrapped(f"const SETTINGS = {json.dumps(start)};\n{_script('start.js')}"),
        "pagepython.css": (STATIC / "pagepython.css").read_bytes(),
        **{f"{index}/{name}": data for name, data in runtime.items()},
        **{f"{folder}/{name}": data for name, data in own.items()},
    }


def archive(settings: Settings) -> bytes:
    """Return the modules that cells can import, and the runner, as a zip archive.

    The bytes are the same whenever the files are.
    """
    contents: Site = {
        f"pagepython/{name}": (HERE / name).read_bytes() for name in ("__init__.py", "runner.py")
    }
    for package in settings.packages:
        for path in sorted(package.rglob("*")):
            name = path.relative_to(package.parent).as_posix()
            is_answer = settings.answers is not None and path.is_relative_to(settings.answers)
            if is_answer or path.suffix not in (".py", ".json"):
                continue
            if not any(fnmatch.fnmatch(name, pattern) for pattern in settings.leave_out):
                contents[name] = path.read_bytes()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name, data in contents.items():
            made.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _runtime() -> Site:
    manifest = json.loads((RUNTIME / "manifest.json").read_text(encoding="utf-8"))
    files = {name: (RUNTIME / name).read_bytes() for name in sorted(manifest["files"])}
    worker = rjsmin.jsmin((STATIC / "worker.js").read_text(encoding="utf-8"))
    files["python.js"] = files.pop("pyodide.js") + b"\n" + worker.encode()
    for path in [*sorted(RUNTIME.glob("LICENSE*")), RUNTIME / "NOTICE"]:
        files[path.name] = path.read_bytes()
    return files


def _answers(settings: Settings) -> Site:
    if settings.answers is None:
        return {}
    return {f"answers/{path.name}": path.read_bytes() for path in settings.answers.glob("*.json")}


def _addresses(
    runtime: Site, index: str, own: Site, folder: str, settings: Settings
) -> dict[str, Any]:
    """Return where everything is, for the script that fetches it."""
    fetched = [
        _described(f"{index}/{name}", data)
        for name, data in runtime.items()
        if name.endswith((".wasm", ".zip", ".whl", "lock.json"))
    ]
    worker = _described(f"{index}/python.js", runtime["python.js"])
    answers = {}
    if settings.answers is not None:
        (parent,) = {
            package.parent
            for package in settings.packages
            if settings.answers.is_relative_to(package)
        }
        place = settings.answers.relative_to(parent).as_posix()
        for name, data in sorted(own.items()):
            if name.startswith("answers/"):
                file = Path(name)
                described = _described(f"{folder}/{name}", data)
                answers[file.stem] = {**described, "place": f"{place}/{file.name}"}
    return {
        "worker": worker,
        "runtime": fetched,
        "bytes": worker["bytes"] + sum(file["bytes"] for file in fetched),
        "index": f"{index}/",
        "modules": _described(f"{folder}/modules.zip", own["modules.zip"]),
        "style": f"{folder}/session.css",
        "editor": {"script": f"{folder}/editor.js", "style": f"{folder}/editor.css"},
        "grader": settings.grader,
        "answers": answers,
    }


def _described(path: str, data: bytes) -> dict[str, Any]:
    """Return a file's address, its size, and the hash by which the browser checks it."""
    integrity = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "bytes": len(data),
        "integrity": f"sha256-{integrity}",
    }


def _script(name: str) -> str:
    return str(rjsmin.jsmin((STATIC / name).read_text(encoding="utf-8")))


def _wrapped(code: str) -> bytes:
    """Return a script as a function of its own, so that it adds no global names."""
    return f"(() => {{\n{code}\n}})();\n".encode()


def _digest(files: Site) -> str:
    whole = hashlib.sha256()
    for name, data in sorted(files.items()):
        whole.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return whole.hexdigest()[:8]
