"""The tests' own tools, on a site of two small pages: they must notice what they watch for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support import axe, book, engines, install
from support.book import ROOT
from support.browser import NewPage, Watch
from support.engines import Engine, EngineFigure
from support.figures import Control, LiveFigurePage, difference, flatten
from support.serve import serve

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{}</svg>'
_ICON = "<link rel=icon href=data:,>"
_POLICY = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'self'\">"


def _tree(root: Path) -> Path:
    """Make a repository whose site is newer than its sources."""
    for name in book.SOURCES:
        path = root / name
        path = path if path.suffix else path / "file.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("source")
        os.utime(path, (1000, 1000))
    (root / "_build/html").mkdir(parents=True)
    (root / "_build/html/index.html").write_text("page")
    (root / "_build/.built").touch()
    os.utime(root / "_build/.built", (2000, 2000))
    return root


def test_fresh_site_is_usable(tmp_path: Path) -> None:
    assert book.why_unusable(_tree(tmp_path)) is None


def test_missing_site_is_named(tmp_path: Path) -> None:
    (_tree(tmp_path) / "_build/html/index.html").unlink()
    assert book.why_unusable(tmp_path) == "There is no site in _build/html; run: make book"


@pytest.mark.parametrize("source", ["src/file.txt", "_config.yml", "notebooks/new.ipynb"])
def test_stale_site_names_the_newer_source(tmp_path: Path, source: str) -> None:
    (_tree(tmp_path) / source).write_text("new")
    expected = f"The site in _build/html is older than {source}; run: make book"
    assert book.why_unusable(tmp_path) == expected


def test_what_python_leaves_behind_is_no_source(tmp_path: Path) -> None:
    cache = _tree(tmp_path) / "src/package/__pycache__"
    cache.mkdir(parents=True)
    (cache / "module.pyc").write_text("new")
    assert book.why_unusable(tmp_path) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>quiet</p>", None),
        ("<script src=loud.js></script>", "console error: loud"),
        ("<script src=broken.js></script>", "exception: "),
        ("<img src=missing.png>", "missing.png answered 404"),
        ("<img src=https://host.invalid/a.png>", "asked another host: https://host.invalid/a.png"),
        (_POLICY + "<p style='color: red'>text</p>", "policy: style-src-attr blocked"),
    ],
)
def test_watch(tmp_path: Path, new_page: NewPage, body: str, expected: str | None) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Page</title>{_ICON}{body}")
    (tmp_path / "loud.js").write_text("console.error('loud')")
    (tmp_path / "broken.js").write_text("nothing.here()")
    page = new_page()
    with serve(tmp_path) as address:
        watch = Watch(address)
        watch.attach(page)
        page.goto(address)
        page.wait_for_load_state("networkidle")
    if expected is None:
        watch.check()
    else:
        with pytest.raises(AssertionError, match=expected):
            watch.check()


_PAGE = "<!doctype html><html lang=en><title>Page</title><main><h1>Page</h1>{}</main>"


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ("<p>quiet</p>", set()),
        ("<input>", {"label"}),
        ("<p class=pale>pale</p>", {"color-contrast"}),
        ("<table><tr><th></th><td>1</td></tr></table>", {"empty-table-header"}),
    ],
)
def test_axe(tmp_path: Path, new_page: NewPage, body: str, rules: set[str]) -> None:
    (tmp_path / "page.css").write_text(".pale { color: #aaa; background: #fff; }")
    links = f"{_ICON}{_POLICY}<link rel=stylesheet href=page.css>"
    (tmp_path / "index.html").write_text(_PAGE.format(body).replace("<title>", links + "<title>"))
    page = new_page()
    with serve(tmp_path) as address:
        watch = Watch(address)
        watch.attach(page)
        page.goto(address)
        found = axe.violations(page)
        calm = axe.violations(page, but=axe.CONTRAST)
        pale = axe.violations(page, "main", only=axe.CONTRAST)
    assert {sentence.split()[0] for sentence in found} == rules
    assert {sentence.split()[0] for sentence in calm} == rules - set(axe.CONTRAST)
    assert {sentence.split()[0] for sentence in pale} == rules & set(axe.CONTRAST)
    watch.check()


def test_server_compresses_and_has_a_page_for_wrong_addresses(
    tmp_path: Path, new_page: NewPage
) -> None:
    (tmp_path / "index.html").write_text("<p>" + "word " * 500)
    (tmp_path / "404.html").write_text("<h1>Not here</h1>")
    page = new_page()
    with serve(tmp_path) as address:
        found, missing = page.goto(address), page.goto(address + "folder/none.html")
        assert found is not None
        assert missing is not None
        assert found.header_value("content-encoding") == "gzip"
        assert missing.status == 404
        assert page.inner_text("h1") == "Not here"


_FORM = """<figure class=livefigure id=all><svg></svg><form>
<input type=range name=a min=2 max=9 value=4>
<select name=b><option value=0>x<option value=1 selected>y<option value=2>z</select>
<input type=radio name=c value=0><input type=radio name=c value=1 checked>
<input type=checkbox name=d>
<button type=reset>Reset</button></form></figure>"""


def test_every_kind_of_input_is_read_and_moved(new_page: NewPage) -> None:
    page = new_page()
    page.set_content(_FORM)
    live = LiveFigurePage(page, "all")
    assert live.controls() == {
        "a": Control("range", 8, 2),
        "b": Control("select", 3, 1),
        "c": Control("radio", 2, 1),
        "d": Control("checkbox", 2, 0),
    }
    positions = {"a": 7, "b": 2, "c": 0, "d": 1}
    live.move(positions)
    assert live.positions() == positions
    assert live.elsewhere() == {"a": 0, "b": 0, "c": 1, "d": 0}


def test_wrappers_of_artists_do_not_count() -> None:
    wrapped = flatten(_SVG.format('<g data-slot="1" data-kind="Text"><text x="1">a</text></g>'))
    assert wrapped == flatten(_SVG.format('<text x="1">a</text>'))
    assert difference(wrapped, wrapped) is None


@pytest.mark.parametrize(
    "other", ['<text x="2">a</text>', '<text x="1">b</text>', '<text x="1">a</text><path/>', ""]
)
def test_drawings_that_differ(other: str) -> None:
    one = flatten(_SVG.format('<text x="1">a</text>'))
    assert difference(one, flatten(_SVG.format(other)))


def test_engines_read_move_and_press_as_chromium_does(tmp_path: Path, engine: Engine) -> None:
    form = _FORM.replace("id=all", "id=all data-state=live")
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Page</title>{_ICON}{form}")
    with serve(tmp_path) as address:
        engine.goto(address)
        live = EngineFigure(engine, "all")
        assert live.positions() == {"a": 2, "b": 1, "c": 1, "d": 0}
        for name, expected in {"a": 3, "b": 2, "c": 0, "d": 1}.items():
            live.step(name)
            assert live.positions()[name] == expected
        live.move({"a": 7})
        live.step("a")
        assert live.positions() == {"a": 6, "b": 2, "c": 0, "d": 1}


def test_a_frame_is_as_narrow_as_a_phone(tmp_path: Path, engine: Engine) -> None:
    wide = "<body style='margin: 0'><div style='width: 500px; height: 9000px'></div>"
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Page</title>{_ICON}{wide}")
    widths = "() => [document.body.scrollWidth, document.documentElement.clientWidth]"
    with serve(tmp_path) as address:
        engine.goto_narrow(address, 360, 740)
        assert engine.call(widths) == [500, 360]
        engine.goto(address)
        assert engine.call(widths)[1] > 1000


def test_a_frame_after_a_page_that_allows_none(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Page</title>{_ICON}{_POLICY}")
    with serve(tmp_path) as address:
        engine.goto(address)
        engine.goto_narrow(address, 360, 740)
        assert engine.call("() => innerWidth") == 360


def test_a_page_that_is_left_before_it_answers(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr(engine, "_run", lambda script, arguments: None)
    with pytest.raises(engines.PageGoneError, match=engine.name):
        engine.call("() => 1")


def test_an_exception_in_an_engine_has_its_words(engine: Engine) -> None:
    engine.goto("about:blank")
    with pytest.raises(RuntimeError, match=f"{engine.name}: .*nothing"):
        engine.call("() => nothing.here()")


@pytest.mark.parametrize("body", ["<script src=loud.js></script>", _POLICY + "<p style='top: 0'>"])
def test_firefox_tells_what_it_complains_of(tmp_path: Path, engine: Engine, body: str) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Page</title>{_ICON}{body}")
    (tmp_path / "loud.js").write_text("nothing.here()")
    with serve(tmp_path) as address:
        engine.complaints(address)
        engine.goto(address)
        found = _awaited_complaints(engine, address)
        assert engine.complaints(address) in ([], None)
    assert bool(found) if engine.name == "firefox" else found is None


@contextmanager
def _in_two_pieces(page: str, cut: str) -> Iterator[str]:
    """Serve a page whose stream rests before *cut*, long enough to be painted up to there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            before, after = page.split(cut)
            self.wfile.write(before.encode())
            time.sleep(1)
            self.wfile.write((cut + after).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: pytest's output is for the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("over", "faulty"), [("<mo>^</mo>", False), ("<!-- nothing -->", True)])
def test_a_formula_that_comes_in_two_pieces_is_no_fault(
    engine: Engine, over: str, faulty: bool
) -> None:
    words = "<p>Words before the formula.</p>" * 2000  # a short page is laid out only when whole
    formula = f"<math><mover accent=true><mi>m</mi>{over}</mover></math>"
    page = f"<!doctype html><title>Page</title>{_ICON}{words}{formula}"
    with _in_two_pieces(page, over) as address:
        engine.complaints(address)
        engine.goto(address)
        found = engine.complaints(address)
    assert bool(found) == faulty if engine.name == "firefox" else found is None


def _awaited_complaints(engine: Engine, address: str) -> list[str] | None:
    """A busy browser may say it some time after the page has loaded."""
    for _ in range(50):
        found = engine.complaints(address)
        if found or found is None:
            break
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(("ci", "outcome"), [("1", "1 error"), ("", "1 skipped")])
def test_a_missing_engine_is_never_silent(tmp_path: Path, ci: str, outcome: str) -> None:
    """In CI its tests fail, elsewhere they are skipped; both say how to get it."""
    test = tmp_path / "test_needs_an_engine.py"
    test.write_text("def test_it(engine):\n    assert engine.name == 'firefox'\n")
    (tmp_path / "conftest.py").write_text("from conftest_of_the_book import *\n")
    environment = {**os.environ, "CI": ci, "PATH": "", "PYTHONPATH": str(ROOT / "tests")}
    (tmp_path / "conftest_of_the_book.py").write_text((ROOT / "tests/conftest.py").read_text())
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-k", "firefox", f"--rootdir={tmp_path}",
         "-p", "no:cacheprovider", str(test)],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert outcome in ran.stdout, ran.stdout
    assert "by hand: apt install firefox-esr" in ran.stdout


@pytest.mark.parametrize(
    ("release", "root", "expected"),
    [
        ("ID=debian\n", True, ["apt-get"]),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', True, ["apt-get"]),
        ("ID=fedora\n", True, None),
        ("ID=debian\n", False, None),
    ],
)
def test_apt_installs_on_debian_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, root: bool,
    expected: list[str] | None,
) -> None:  # fmt: skip
    (tmp_path / "os-release").write_text(release)
    monkeypatch.setattr(install, "RELEASE", tmp_path / "os-release")
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.delenv("CI", raising=False)
    assert install.apt_get() == expected


@pytest.mark.parametrize(("ci", "code"), [("1", 1), ("", 0)])
def test_what_cannot_be_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(install, "apt_get", lambda: None)
    monkeypatch.setattr(engines, "missing", lambda: {"webkit": ["webkit2gtk-driver", "xvfb"]})
    assert install._engines() == code
    assert "by hand: apt install webkit2gtk-driver xvfb" in capsys.readouterr().out
