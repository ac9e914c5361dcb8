"""Every page: quiet, self-contained, as wide as the screen, and linked to what exists."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Page, expect
from support import book
from support.book import Site
from support.browser import NewPage, Watch

WIDTHS = (1280, 360)

#: The narrowest screen on which nothing may need scrolling sideways (WCAG 2.2, 1.4.10 Reflow).
NARROWEST = 320


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_quiet_and_fits(page_name: str, site: Site, new_page: NewPage, scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    watch = Watch(site.address)
    watch.attach(page)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(site.address + page_name, wait_until="load")
        page.wait_for_load_state("networkidle")
        _assert_fits(page, width)
    page.set_viewport_size({"width": NARROWEST, "height": 900})
    _assert_fits(page, NARROWEST)
    watch.check()


def _assert_fits(page: Page, width: int) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{page.url} is {wide} px wide on a screen of {width} px"


def test_links_lead_somewhere(page_name: str) -> None:
    broken = []
    for element in book.parse(page_name).select("a[href], link[href], script[src], img[src]"):
        link = str(element.get("href") or element.get("src"))
        parts = urlsplit(link)
        # The page for wrong addresses is served anywhere, so its links are absolute.
        if parts.scheme or parts.netloc or link.startswith("/"):
            continue
        target = (book.SITE / page_name).parent / unquote(parts.path)
        target = book.SITE / page_name if not parts.path else target
        target = target / "index.html" if target.is_dir() else target
        if not target.exists() or not _has_anchor(target, unquote(parts.fragment)):
            broken.append(link)
    assert not broken


def _has_anchor(target: Path, anchor: str) -> bool:
    if not anchor or ":" in anchor or target.suffix != ".html":
        return True
    text = target.read_text(encoding="utf-8")
    return f'id="{anchor}"' in text or f'name="{anchor}"' in text


def test_what_a_cell_prints_is_in_one_piece(page_name: str) -> None:
    assert not book.parse(page_name).select("div.output.stream + div.output.stream")


def test_pictures_follow_the_theme(page_name: str) -> None:
    """A bitmap keeps its paper in the dark: figures that do not move are drawn by ``still``."""
    assert not [image["src"] for image in book.parse(page_name).select("article img[src]")]


def test_page_for_wrong_addresses(site: Site, new_page: NewPage) -> None:
    assert (site.folder / "404.html").exists()
    page = new_page()
    answer = page.goto(site.address + "no-such-page.html")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("article h1")).to_be_visible()


def test_search_finds_a_chapter(notebook: Path, site: Site, new_page: NewPage) -> None:
    name = f"notebooks/{notebook.stem}.html"
    heading = book.parse(name).select_one("h1")
    assert heading is not None
    word = max(re.findall("[A-Za-z]+", heading.get_text()), key=len)
    page = new_page()
    watch = Watch(site.address)
    watch.attach(page)
    page.goto(f"{site.address}search.html?q={word}")
    expect(page.locator(f'#search-results a[href*="{name}"]').first).to_be_visible()
    watch.check()


def test_launch_links_name_one_repository_and_their_own_notebook() -> None:
    launched: dict[str, str] = {}
    for name in book.pages():
        for link in book.parse(name).select("a[href*='/v2/gh/'], a[href*='/v2/git']"):
            launched[name] = unquote(str(link["href"]))
    chapters = {f"notebooks/{notebook.stem}.html" for notebook in book.notebooks()}
    # Where no repository is known there is no link at all, rather than a broken one.
    if launched:
        assert set(launched) >= chapters
        assert len({link.partition("?")[0] for link in launched.values()}) == 1
        for name in chapters:
            assert name.replace(".html", ".ipynb") in launched[name]
