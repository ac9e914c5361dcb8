"""The editor, alone on a page under the strict content policy of the book."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support import axe, serve
from support.browser import NewPage, Watch

from pagepython.renew.editor import HOME

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; "
    "connect-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'self'"
)

CODE = "def area(box):\n    return box[2] * 3.5  # the 'side'\n\nprint(f\"{area([0, 0, 2])} px\")\n"

PAGE = f"""<!doctype html>
<html lang="en"{{theme}}>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>An editor</title>
<link rel="stylesheet" href="editor.css">
<script src="editor.js"></script>
</head>
<body>
<main><h1>An editor</h1>
<button id="before">Before</button><div id="cell"></div><button id="after">After</button></main>
<script src="start.js"></script>
</body>
</html>
"""

START = """
window.updates = [];
window.editor = pagepythonEditor.create(document.getElementById("cell"), {
  code: CODE, label: "Code of cell 1", onUpdate: (code) => window.updates.push(code),
});
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("editor")
    for name in ("editor.js", "editor.css"):
        (folder / name).write_bytes((HOME / name).read_bytes())
    for name, theme in (("plain", ""), ("light", "light"), ("dark", "dark")):
        attribute = f' data-theme="{theme}"' if theme else ""
        (folder / f"{name}.html").write_text(PAGE.format(theme=attribute), encoding="utf-8")
    (folder / "start.js").write_text(f"const CODE = {CODE!r};{START}", encoding="utf-8")
    (folder / "favicon.ico").write_bytes(b"")
    with serve.serve(folder) as served:
        yield served


@pytest.fixture
def page(new_page: NewPage, address: str) -> Iterator[Page]:
    opened = new_page()
    watch = Watch(address)
    watch.attach(opened)
    opened.goto(address + "plain.html")
    yield opened
    watch.check()


def _value(page: Page) -> str:
    value: str = page.evaluate("editor.value")
    assert value == page.evaluate("editor.textarea.value")
    return value


def _place(page: Page, position: int) -> None:
    page.locator("textarea").focus()
    page.evaluate("(at) => editor.textarea.setSelectionRange(at, at)", position)
    _settle(page)


def _settle(page: Page) -> None:
    """Wait for the event by which the editor learns that the selection has changed.

    It comes a little later; what is typed before it does not join what was typed last.
    """
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def test_weight_and_license() -> None:
    sizes = [
        len(gzip.compress((HOME / name).read_bytes(), 9)) for name in ("editor.js", "editor.css")
    ]
    assert sizes[1] <= 1024
    assert sum(sizes) <= 12 * 1024
    assert "Jonas Pytte" in (HOME / "LICENSE").read_text(encoding="utf-8")


def test_shows_colored_code_in_a_labeled_textarea(page: Page) -> None:
    area = page.get_by_role("textbox", name="Code of cell 1")
    expect(area).to_have_value(CODE)
    shown = page.locator(".pce-line").all_inner_texts()
    assert "".join(shown).replace("\n", "") == CODE.replace("\n", "")
    found = {
        kind: page.locator(f".token.{kind}").first.inner_text()
        for kind in ("keyword", "function", "number", "comment", "string")
    }
    assert found["keyword"] == "def" and found["function"] == "area"
    assert found["comment"] == "# the 'side'"
    assert page.locator("style").count() == 0
    assert page.evaluate("updates") == []


def test_typing_tells_and_can_be_undone(page: Page) -> None:
    _place(page, len(CODE))
    for sign in "xyz":
        page.keyboard.type(sign)
        _settle(page)
    assert _value(page) == page.evaluate("updates.at(-1)") == CODE + "xyz"
    page.keyboard.press("Control+z")
    assert _value(page) == CODE
    page.keyboard.press("Control+y")
    assert _value(page) == CODE + "xyz"


def test_indentation_and_brackets(page: Page) -> None:
    page.evaluate("editor.setValue('')")
    _place(page, 0)
    page.keyboard.type("for k in range(3")  # the closing bracket comes by itself
    assert _value(page) == "for k in range(3)"
    page.keyboard.type("):")  # and is typed over
    page.keyboard.press("Enter")
    page.keyboard.type("print(k)")
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    page.keyboard.type("done")
    assert _value(page) == "for k in range(3):\n    print(k)\ndone"
    _place(page, len("for k in range(3):\n    print(k"))
    expect(page.locator(".active-bracket")).to_have_text(["(", ")"])
    page.keyboard.press("Control+/")
    assert "    # print(k)" in _value(page)


def test_tab_indents_and_escape_leaves(page: Page) -> None:
    _place(page, 0)
    page.keyboard.press("Tab")
    assert _value(page) == "    " + CODE
    page.keyboard.press("Shift+Tab")
    assert _value(page) == CODE
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(page.locator("#after")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("textarea")).to_be_focused()
    page.keyboard.press("Control+m")
    page.keyboard.press("Tab")
    expect(page.locator("#after")).to_be_focused()
    assert _value(page) == CODE


@pytest.mark.parametrize("keys", ["Shift+Enter", "Control+Enter"])
def test_keys_that_run_are_left_to_the_page(page: Page, keys: str) -> None:
    page.evaluate(
        "document.getElementById('cell').addEventListener('keydown', (event) => {"
        " if (event.key === 'Enter') { event.preventDefault(); window.ran = true; } })"
    )
    _place(page, 4)
    page.keyboard.press(keys)
    assert page.evaluate("window.ran")
    assert _value(page) == CODE


def test_mark_of_a_line_goes_with_the_next_edit(page: Page) -> None:
    marked = page.locator(".error-line")
    page.evaluate("editor.markLine(2)")
    expect(marked).to_have_text(re.compile("return box"))
    expect(page.locator("textarea")).to_have_attribute("aria-invalid", "true")
    page.evaluate("editor.markLine(4)")
    expect(marked).to_have_count(1)
    expect(marked).to_have_text(re.compile("print"))
    page.evaluate("editor.markLine(null)")
    expect(marked).to_have_count(0)
    page.evaluate("editor.markLine(99)")
    expect(marked).to_have_count(0)
    page.evaluate("editor.markLine(1)")
    _place(page, 0)
    page.keyboard.type("#")
    expect(marked).to_have_count(0)
    expect(page.locator("textarea")).not_to_have_attribute("aria-invalid", "true")


def test_set_value_and_remove(page: Page) -> None:
    page.evaluate("editor.markLine(1)")
    page.evaluate("editor.setValue('y = 2\\n')")
    assert _value(page) == "y = 2\n"
    assert page.evaluate("updates") == ["y = 2\n"]
    assert page.locator(".error-line").count() == 0
    page.evaluate("editor.remove()")
    assert page.locator("#cell").inner_html() == ""


def test_phone(new_page: NewPage, address: str) -> None:
    page = new_page(viewport={"width": 360, "height": 700})
    page.goto(address + "plain.html")
    page.evaluate("editor.setValue('x = ' + '1 + '.repeat(80) + '1')")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    size = "parseFloat(getComputedStyle(editor.textarea).fontSize)"
    assert page.evaluate(size) >= 16
    page.evaluate("editor.textarea.focus(); editor.textarea.setSelectionRange(300, 300)")
    page.keyboard.type("2")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize(
    ("name", "scheme", "dark"),
    [
        ("plain", "light", False),
        ("plain", "dark", True),
        ("light", "dark", False),
        ("dark", "light", True),
    ],
)
def test_colors(new_page: NewPage, address: str, name: str, scheme: str, dark: bool) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"{address}{name}.html")
    page.evaluate("editor.markLine(2)")
    paper = "getComputedStyle(document.querySelector('.prism-code-editor')).backgroundColor"
    channels = [int(channel) for channel in re.findall(r"\d+", page.evaluate(paper))]
    assert (sum(channels[:3]) < 384) == dark
    # The page around it, which has no style, is black on white.
    assert axe.violations(page, ".prism-code-editor") == []


def test_a_site_chooses_the_colors(new_page: NewPage, address: str) -> None:
    page = new_page()
    page.goto(address + "plain.html")
    page.evaluate("document.body.style.setProperty('--pagepython-keyword', 'rgb(1, 2, 3)')")
    color = "getComputedStyle(document.querySelector('.keyword')).color"
    assert page.evaluate(color) == "rgb(1, 2, 3)"


def test_what_is_committed_is_readable_elsewhere() -> None:
    """The bundle says nothing of where it was made."""
    for name in ("editor.js", "editor.css"):
        text = Path(HOME / name).read_text(encoding="utf-8")
        assert "node_modules" not in text and "/tmp" not in text
