"""What a page weighs, as a browser fetches it, and that nothing it shows was cut away."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from support.book import Site
from support.browser import NewPage
from support.weight import weigh

KB = 1000


def test_a_chapter_is_light(notebook: Path, site: Site, new_page: NewPage) -> None:
    name = f"notebooks/{notebook.stem}.html"
    assert weigh(new_page(), site.address, name).before_figures <= 320 * KB


@pytest.mark.parametrize("name", ["book/intro.html", "search.html"])
def test_a_page_without_a_chapter_is_light(name: str, site: Site, new_page: NewPage) -> None:
    assert weigh(new_page(), site.address, name).before_figures <= 150 * KB


def test_every_icon_of_a_page_is_in_the_font(page_name: str, site: Site, new_page: NewPage) -> None:
    (font,) = site.folder.rglob("fa-solid-900.woff2")
    known = set(TTFont(io.BytesIO(font.read_bytes())).getBestCmap())
    page = new_page()
    page.goto(site.address + page_name, wait_until="networkidle")
    icons = page.eval_on_selector_all(
        ".fa-solid, .fas",
        """nodes => nodes.map((node) =>
          [node.className, getComputedStyle(node, '::before').content])""",
    )
    for classes, content in icons:
        sign = content.strip('"')
        assert len(sign) == 1 and ord(sign) in known, classes


def test_every_class_that_a_theme_shows_by_script_is_styled(site: Site, new_page: NewPage) -> None:
    """The tooltip and the dialog exist only once they are asked for."""
    page = new_page()
    page.goto(site.address + "book/intro.html")
    page.locator(".theme-switch-button").first.hover()
    tooltip = page.locator(".tooltip")
    tooltip.wait_for()
    assert tooltip.evaluate("node => getComputedStyle(node).position") == "absolute"
    page.keyboard.press("Control+k")
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    assert dialog.locator("input[type=search]").is_visible()
