"""What is cut from a site, and what has to stay."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from booksite import weight
from livefigure import assets

PAGE = '<!doctype html><html><head></head><body class="page" id="top"></body></html>'
USED = weight.used_names([PAGE], ["x.classList.add('open'); name = 'bs-tip' + '-' + side"])


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (".page{color:red}", ".page{color:red}"),
        ("body #top{color:red}", "body #top{color:red}"),
        (".absent{color:red}", ""),
        ("#absent{color:red}", ""),
        (".page .absent,.page b{color:red}", ".page b{color:red}"),
        (".open{color:red}", ".open{color:red}"),  # a script sets it
        (".bs-tip-left{color:red}", ".bs-tip-left{color:red}"),  # a script composes it
        (".bs-other-left{color:red}", ""),
        (".page:not(.absent){color:red}", ".page:not(.absent){color:red}"),
        (".page:is(.absent,a){color:red}", ".page:is(.absent,a){color:red}"),
        (
            '[data-theme="dark"] a[href*=".absent"]{color:red}',
            '[data-theme="dark"] a[href*=".absent"]{color:red}',
        ),
        ("@media print{.absent{color:red}}", ""),
        ("@media print{.absent{color:red}.page{top:0}}", "@media print{.page{top:0}}"),
        ("@import url(a.css);", "@import url(a.css);"),
        (":root{--unread:1}", ""),
        (
            ":root{--unread:var(--other);--other:1}.page{top:var( --read )}:root{--read:2}",
            ".page{top:var( --read )}\n:root{--read:2}",
        ),
        ("@keyframes spin{to{top:0}}", ""),
        (
            "@keyframes spin{to{top:0}}.page{animation:spin 1s}",
            "@keyframes spin{to{top:0}}\n.page{animation:spin 1s}",
        ),
        (
            '@font-face{src:url(a.woff2) format("woff2"),url(a.ttf) format("truetype")}',
            '@font-face{src:url(a.woff2) format("woff2")}',
        ),
        ("@font-face{src:url(fa-brands-400.woff2)}", ""),
    ],
)
def test_rules(rule: str, kept: str) -> None:
    (trimmed,) = weight.trim_styles({"a.css": rule}, USED).values()
    assert trimmed == kept
    assert weight.trim_styles({"a.css": trimmed}, USED) == {"a.css": trimmed}


def test_a_property_that_another_sheet_reads_stays() -> None:
    sheets = {"a.css": ":root{--a:1;--b:2;--c:3}", "b.css": "p{top:var(--a)}"}
    used = weight.used_names([], ["style.setProperty('--c', 1)"])
    trimmed = weight.trim_styles(sheets, used)["a.css"]
    assert "--a" in trimmed
    assert "--b" not in trimmed
    assert "--c" in trimmed


def test_a_notice_stays_and_a_comment_goes() -> None:
    sheet = "/*! By A,\n under MIT */\n.absent{top:0}/* aside */.page{top:0}"
    (trimmed,) = weight.trim_styles({"a.css": sheet}, USED).values()
    assert trimmed == "/*! By A,\n under MIT */\n.page{top:0}"
    assert weight.trim_styles({"a.css": trimmed}, USED) == {"a.css": trimmed}


def characters(font: bytes) -> set[int]:
    return set(TTFont(io.BytesIO(font)).getBestCmap())


def test_a_font_keeps_what_is_asked_for() -> None:
    whole = assets.font().read_bytes()
    cut = weight.trim_font(whole, {ord("a"), ord("−"), 0xF0C9})
    assert characters(cut) == {ord("a"), ord("−")}
    assert cut[:4] == b"wOF2"
    assert weight.trim_font(whole, {ord("a"), ord("−")}) == cut, "the same bytes again"
    names = [TTFont(io.BytesIO(font))["name"].names for font in (whole, cut)]
    assert [str(name) for name in names[0]] == [str(name) for name in names[1]], "its license"
    advance = [TTFont(io.BytesIO(font))["hmtx"] for font in (whole, cut)]
    glyphs = [TTFont(io.BytesIO(font)).getBestCmap()[ord("a")] for font in (whole, cut)]
    assert advance[0][glyphs[0]] == advance[1][glyphs[1]]


def test_icons_are_found_as_codes_and_as_signs() -> None:
    assert weight.icon_codes(['a{content:"\\f0c9"}', 'b{content:"\uf185"}c{top:"x"}']) == {
        0xF0C9,
        0xF185,
    }


STYLE = """A .highlight{background: #fff; color: #111}
A .highlight .n{color: #111}
A .highlight .k{color: #222}
A .highlight .b{color: #111; font-weight: bold}
A .highlight .d{color: #111}
B .highlight{background: #000; color: #eee}
B .highlight .n{color: #eee}
B .highlight .k{color: #eee}
B .highlight .b{color: #eee}
B .highlight .d{color: #ddd}
"""


def test_spans_that_change_nothing_go() -> None:
    assert weight.plain_classes(STYLE) == {"n"}
    code = '<span class="n">x</span> <span class="k">if</span>'
    page = f'{code}<div class="highlight"><pre>{code}</pre></div>{code}'
    assert weight.plain_code(page, {"n"}) == page.replace(
        f"<pre>{code}", '<pre>x <span class="k">if</span>'
    )
    assert weight.plain_code(page, set()) == page


@pytest.fixture
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where fonts that were cut are remembered."""
    return tmp_path_factory.mktemp("fonts")


def site(root: Path) -> Path:
    (root / "_static" / "locales" / "de").mkdir(parents=True)
    (root / "_static" / "locales" / "de" / "a.po").write_text("x")
    (root / "_static" / "a.css").write_text(".page{top:0}.absent{top:0}")
    (root / "_static" / "a.js").write_text("1;")
    (root / "_static" / "a.js.map").write_text("{}")
    (root / "_static" / "a.js.LICENSE.txt").write_text("MIT")
    (root / "_static" / "font.woff2").write_bytes(assets.font().read_bytes())
    (root / "sub").mkdir()
    links = '<link href="{0}_static/a.css?v=old" /><script src="{0}_static/a.js"></script>'
    for name, way in (("index.html", ""), ("sub/page.html", "../"), ("404.html", "/")):
        (root / name).write_text(PAGE.replace("<head>", "<head>" + links.format(way)))
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_site_is_cut_once(tmp_path: Path, fonts: Path) -> None:
    root = site(tmp_path)
    weight.trim_site(root, fonts)
    after = contents(root)
    assert "_static/locales/de/a.po" not in after
    assert "_static/a.js.map" not in after
    assert after["_static/a.js.LICENSE.txt"] == b"MIT"
    assert after["_static/a.css"] == b".page{top:0}"
    kept = characters(after["_static/font.woff2"])
    assert {ord(sign) for sign in "page"} <= kept
    assert ord("α") not in kept
    weight.trim_site(root, fonts)
    assert contents(root) == after


def test_a_font_is_cut_once_for_the_same_characters(tmp_path: Path, fonts: Path) -> None:
    root = site(tmp_path)
    font = root / "_static" / "font.woff2"
    whole = font.read_bytes()
    for _ in range(2):  # the first puts digests into links, which are characters too
        font.write_bytes(whole)
        weight.trim_site(root, fonts)
    for known in fonts.iterdir():
        known.write_bytes(b"remembered")
    font.write_bytes(whole)
    weight.trim_site(root, fonts)
    assert font.read_bytes() == b"remembered"
    page = root / "index.html"
    page.write_text(page.read_text().replace("</body>", "αβγ</body>"))
    font.write_bytes(whole)
    weight.trim_site(root, fonts)
    assert ord("β") in characters(font.read_bytes())


def test_the_font_of_figures_has_what_figures_write(tmp_path: Path, fonts: Path) -> None:
    root = site(tmp_path)
    page = root / "sub" / "page.html"
    figure = '<figure class="livefigure" id="f"><svg><text>dot</text></svg></figure>'
    still = '<div class="livefigure-still"><svg><text>Zeh</text></svg></div>'
    page.write_text(page.read_text().replace("</body>", f"{figure}{still}<b>QK</b></body>"))
    whole = (root / "_static" / "font.woff2").read_bytes()
    for name in ("dejavu/DejaVuSans.woff2", "livefigures/f-1.js"):
        (root / "_static" / name).parent.mkdir(exist_ok=True)
    (root / "_static/dejavu/DejaVuSans.woff2").write_bytes(whole)
    (root / "_static/livefigures/f-1.js").write_text('livefigure("cab");')
    weight.trim_site(root, fonts)
    kept = characters((root / "_static/dejavu/DejaVuSans.woff2").read_bytes())
    assert {ord(sign) for sign in "dotcabZeh"} <= kept
    assert ord("Q") not in kept and ord("K") not in kept


def test_links_name_the_content(tmp_path: Path, fonts: Path) -> None:
    root = site(tmp_path)
    weight.trim_site(root, fonts)
    first = (root / "sub" / "page.html").read_text()
    for name in ("index.html", "sub/page.html", "404.html"):
        assert "?v=old" not in (root / name).read_text()
    (root / "_static" / "a.css").write_text(".page{top:1px}")
    weight.trim_site(root, fonts)
    second = (root / "sub" / "page.html").read_text()
    assert first != second
    # What a figure loads by itself has its digest in its name.
    for other in ('<a href="x.css">', '<figure data-src="x.js">'):
        assert weight.stamp_links(other, lambda link: None if "css" in link else "1") == other
