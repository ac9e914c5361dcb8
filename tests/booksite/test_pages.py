"""What the last step makes of a written page."""

from __future__ import annotations

from pathlib import Path

import pytest

from booksite.pages import FOLDER, MATH_POLICY, POLICY, base_path, finish, finish_site

PAGE = """<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <script data-cfasync="false">document.documentElement.dataset.mode = "auto";</script>
    <noscript><style>.pst-js-only { display: none !important; }</style></noscript>
    <script defer src="../_static/scripts/fontawesome.js?digest=1"></script>
    <script src="../_static/doctools.js"></script>
    <script>DOCUMENTATION_OPTIONS.pagename = 'a';</script>
    <script src="../_static/searchtools.js"></script>
    <script src="../searchindex.js"></script>
    <script type="application/vnd.jupyter.widget-state+json">{"state": {}}</script>
    <script type="application/ld+json">{"name": "kept"}</script>
  </head>
  <body>BODY</body>
</html>
"""


def page(body: str = "") -> str:
    return PAGE.replace("BODY", body)


def test_nothing_inline_is_left() -> None:
    finished, files = finish(page(), "../")
    (script,) = [path for path in files if path.endswith(".js")]
    (style,) = [path for path in files if path.endswith(".css")]
    assert f'<script src="../{script}"></script>' in finished
    assert f'<noscript><link rel="stylesheet" href="../{style}" /></noscript>' in finished
    assert "dataset.mode" in files[script]
    assert "dataset.mode" not in finished
    assert "pst-js-only" in files[style]
    assert "<style" not in finished
    for gone in ("fontawesome", "pagename", "searchtools", "searchindex", "widget-state"):
        assert gone not in finished
    assert "doctools.js" in finished
    assert '{"name": "kept"}' in finished


def test_no_page_is_fetched_in_advance() -> None:
    """Firefox would, for ``rel="next"``; the policy forbids it, and the console says so."""
    links = [f'<link rel="{kind}" title="T" href="{kind}.html" />' for kind in ("next", "prev")]
    finished, _ = finish(page().replace("</head>", "".join(links) + "</head>"), "")
    assert links[0] not in finished
    assert links[1] in finished


@pytest.mark.parametrize("heading", ['<th class="head"><p></p></th>', '<th class="head">\n</th>'])
def test_a_heading_without_words_is_none(heading: str) -> None:
    """A screen reader would announce it with each cell of its column."""
    kept = '<th class="head"><p>words</p></th>'
    finished, _ = finish(page(f"<table><tr>{heading}{kept}</tr></table>"), "")
    assert f"<table><tr><td></td>{kept}</tr></table>" in finished


def test_the_whole_sidebar_is_a_landmark() -> None:
    """The theme makes one of the menu only; its logo and its search field stand outside."""
    finished, _ = finish(page('<div id="pst-primary-sidebar" class="a">'), "")
    assert '<div id="pst-primary-sidebar" role="navigation" aria-label="Sidebar" class="a">' in (
        finished
    )


def test_policy_by_need() -> None:
    plain, _ = finish(page(), "")
    math, _ = finish(page('<span class="katex">x</span>'), "")
    assert f'content="{POLICY}"' in plain
    assert "unsafe" not in plain
    assert f'content="{MATH_POLICY}"' in math
    assert plain.index("Content-Security-Policy") < plain.index("<script")


@pytest.mark.parametrize(
    "code",
    ['<div class="cell tag_runnable docutils">', '<div id="a" class="drill" data-drill="a">'],
)
def test_policy_lets_code_run_where_there_is_some(code: str) -> None:
    runs, _ = finish(page(f'{code}<span class="katex">x</span></div>'), "")
    assert "script-src 'self' 'wasm-unsafe-eval'; " in runs
    assert "; worker-src blob:; style-src-attr 'unsafe-inline'\"" in runs
    assert "'unsafe-eval'" not in runs.replace("'wasm-unsafe-eval'", "")


def test_a_finished_page_stays() -> None:
    finished, _ = finish(page(), "../")
    again, files = finish(finished, "../")
    assert again == finished
    assert not files


def test_search_keeps_its_scripts() -> None:
    finished, _ = finish(page(), "", is_search=True)
    assert "searchtools.js" in finished
    assert "searchindex.js" in finished


def test_the_bare_redirect_becomes_a_page() -> None:
    finished, _ = finish('<meta http-equiv="Refresh" content="0; url=book/intro.html" />\n', "")
    assert finished.startswith("<!DOCTYPE html>")
    assert "Content-Security-Policy" in finished
    assert 'content="0; url=book/intro.html"' in finished
    assert '<a href="book/intro.html">' in finished
    assert finish(finished, "")[0] == finished


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (page('<button class="x" onclick="print()">'), "an inline onclick"),
        (page('<td style="color: red">'), "a style attribute, .*color: red"),
        ("<html></html>", "no <meta charset>"),
    ],
)
def test_what_cannot_keep_the_policy_fails(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finish(text, "")


def test_a_whole_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_BASE_URL", "https://owner.github.io/name")
    for name in ("index.html", "sub/page.html", "404.html", "_static/part.html"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page())
    (tmp_path / "_static" / "theme.css.map").write_text("{}")
    theme = tmp_path / "_static" / "scripts" / "theme.js"
    theme.parent.mkdir()
    theme.write_text('a(),console.log(`mode ${e} (now)`),console.log("x"),console.error("kept")')
    finish_site(tmp_path)
    (script,) = (tmp_path / FOLDER).glob("*.js")
    where = f"{FOLDER}/{script.name}"
    assert f'src="{where}"' in (tmp_path / "index.html").read_text()
    assert f'src="../{where}"' in (tmp_path / "sub/page.html").read_text()
    assert f'src="/name/{where}"' in (tmp_path / "404.html").read_text()
    assert (tmp_path / "_static/part.html").read_text() == page(), "a fragment, no page"
    assert not list(tmp_path.rglob("*.map"))
    assert theme.read_text() == 'a(),void 0,void 0,console.error("kept")'
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    finish_site(tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("", "/"),
        ("https://a.org", "/"),
        ("https://a.github.io/b", "/b/"),
        ("https://a.org/b/", "/b/"),
    ],
)
def test_base_path(address: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_BASE_URL", address)
    assert base_path() == path
