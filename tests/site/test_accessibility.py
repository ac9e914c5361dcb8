"""Every page as axe-core sees it, on paper, with less motion, and in a reader's own colors."""

from __future__ import annotations

import io
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, TimeoutError, expect
from support import axe, book
from support.book import Site
from support.browser import NewPage
from support.figures import LiveFigurePage

#: All variants of a page: theme and width.
VARIANTS = tuple(product(("light", "dark"), (360, 768, 1280)))
#: Pages of three kinds that get all of them: prose, search, and a chapter.
WHOLE = (
    "book/intro.html",
    "search.html",
    *(f"notebooks/{chapter.stem}.html" for chapter in book.notebooks()[:1]),
)
#: The others get this one: the narrowest, where most can go wrong.
ONE = (("dark", 360),)
#: Contrast takes most of the time, and widths change no colors: each theme is looked at once.
ONCE_A_THEME = (*ONE, ("light", 1280))

_OPEN = "document.querySelectorAll('details').forEach((block) => { block.open = true; })"

_THEMES = """() => {
  const root = document.documentElement;
  window.themes = [];
  new MutationObserver(() => window.themes.push(root.dataset.theme))
    .observe(root, { attributeFilter: ["data-theme"] });
}"""

_MOVING = """() => [...document.querySelectorAll("*")].filter((node) => {
  const { transitionDuration, animationName, scrollBehavior } = getComputedStyle(node);
  return /[1-9]/.test(transitionDuration) || animationName !== "none"
    || scrollBehavior === "smooth";
}).length"""

# What is in a closed block, or right of the edge of one that would have to scroll.
_UNREAD_ON_PAPER = """() => [
  ...[...document.querySelectorAll("article details:not(.hide) > :not(summary)")]
    .filter((block) => !block.checkVisibility({ contentVisibilityAuto: true })),
  ...[...document.querySelectorAll("article pre")]
    .filter((code) => code.checkVisibility() && code.scrollWidth > code.clientWidth),
].map((block) => block.textContent.slice(0, 80))"""

# The colors that Chromium forces upon a light page.
_BLACK_ON_WHITE = """() => {
  const { style } = document.documentElement;
  style.setProperty("--ink", "#000");
  style.setProperty("--paper", "#fff");
  style.setProperty("--pst-color-surface", "#fff");
}"""

# Which boxes are stops for Tab, and which ought to be.
_STOPS_AND_WIDE = """() => {
  const boxes = [...document.querySelectorAll("article :is(div.math, pre)")];
  const which = (test) => boxes.flatMap((box, k) => (test(box) ? [k] : []));
  return [which((box) => box.tabIndex === 0), which((box) => box.scrollWidth > box.clientWidth)];
}"""

Variants = tuple[tuple[str, int], ...]


def _pages(*, whole: Variants, others: Variants = (), figures: bool = False) -> list[object]:
    """Return page, theme and width of all there is to test.

    Parameters
    ----------
    whole, others : tuple of (str, int)
        Variants of the pages in ``WHOLE``, and of the others, that ``make test`` looks at. All
        else is thorough.
    figures : bool, default: False
        Whether to leave out pages that have no figure.
    """
    have = {figure.page for figure in book.figures()}
    # The root leads on to another page. Where there is no site the tests run once and fail.
    paths = [path for path in book.pages() if path != "index.html"] or [WHOLE[0]]
    return [
        pytest.param(
            *(path, *variant),
            marks=[] if variant in (whole if path in WHOLE else others) else pytest.mark.thorough,
        )
        for path in paths
        for variant in VARIANTS
        if path in have or not figures
    ]


def _open(page: Page, site: Site, path: str) -> list[LiveFigurePage]:
    """Open a page and everything on it; return its figures, which are alive."""
    page.goto(site.address + path, wait_until="load")
    figures = [LiveFigurePage(page, found.name) for found in book.figures() if found.page == path]
    for figure in figures:
        figure.wait_live()
    page.evaluate(_OPEN)
    _settle(page)
    return figures


def _settle(page: Page) -> None:
    """Wait until what scrolls is a stop for Tab: theme and site look some time after a change."""
    with suppress(TimeoutError):  # the test that follows says what is wrong
        page.wait_for_function(
            f"() => {{ const [stops, wide] = ({_STOPS_AND_WIDE})();"
            " return String(stops) === String(wide); }",
            timeout=5000,
        )


@pytest.mark.parametrize(("path", "scheme", "width"), _pages(whole=VARIANTS, others=ONE))
def test_axe_finds_nothing(
    site: Site, new_page: NewPage, path: str, scheme: str, width: int
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    for figure in _open(page, site, path):
        figure.move(figure.elsewhere())
    found = axe.violations(page, but=axe.CONTRAST)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("path", "scheme", "width"), _pages(whole=ONCE_A_THEME))
def test_axe_finds_contrast_enough(
    site: Site, new_page: NewPage, path: str, scheme: str, width: int
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    _open(page, site, path)
    found = axe.violations(page, only=axe.CONTRAST)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("path", "scheme", "width"), _pages(whole=ONCE_A_THEME, figures=True))
def test_axe_finds_nothing_in_three_states_of_each_figure(
    site: Site, new_page: NewPage, path: str, scheme: str, width: int
) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    found = []
    figures = _open(page, site, path)
    for share in (0.0, 0.5, 1.0):
        for figure in figures:
            controls = figure.controls()
            figure.move({name: int(share * (one.count - 1)) for name, one in controls.items()})
        found += axe.violations(page, "figure.livefigure")
    assert not found, "\n".join(found)


def test_what_scrolls_sideways_does_so_by_keyboard(
    page_name: str, site: Site, new_page: NewPage
) -> None:
    """Also what stood in a closed block when the page was loaded."""
    page = new_page(viewport={"width": 360, "height": 740})
    page.goto(site.address + page_name, wait_until="networkidle")
    page.evaluate(_OPEN)
    _settle(page)
    stops, wide = page.evaluate(_STOPS_AND_WIDE)
    assert stops == wide
    for formula in page.locator("article div.math[tabindex='0']").all():
        expect(formula).to_have_accessible_name("Formula")
    for box in page.locator("article :is(div.math, pre)[tabindex='0']").all()[:4]:
        box.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => document.activeElement.scrollLeft > 0")
        assert float(box.evaluate("(box) => parseFloat(getComputedStyle(box).outlineWidth)")) >= 2


def test_paper_is_light_with_every_figure_as_it_stands(
    page_name: str, site: Site, new_page: NewPage
) -> None:
    page = new_page(color_scheme="dark", viewport={"width": 700, "height": 990})  # A4
    page.goto(site.address + page_name, wait_until="networkidle")
    figures = [
        LiveFigurePage(page, found.name) for found in book.figures() if found.page == page_name
    ]
    for figure in figures:
        figure.wait_live()
        figure.move(figure.elsewhere())
    seen = [figure.seen() for figure in figures]
    page.emulate_media(media="print")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    for figure, moved in zip(figures, seen, strict=True):
        expect(figure.form).to_be_hidden()
        expect(figure.image).to_be_visible()
        assert figure.seen() == moved
        assert figure.root.evaluate("(root) => getComputedStyle(root).breakInside") == "avoid"
    assert page.evaluate(_UNREAD_ON_PAPER) == []
    page.emulate_media(media="screen")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("mode", ["auto", "dark", "light"])
def test_theme_returns_after_printing(site: Site, new_page: NewPage, mode: str) -> None:
    page = new_page(color_scheme="dark")
    page.add_init_script(f"localStorage.setItem('mode', '{mode}')")
    page.goto(site.address + "book/intro.html", wait_until="networkidle")
    page.evaluate(_THEMES)
    page.pdf()
    expect(page.locator("html")).to_have_attribute(
        "data-theme", "light" if mode == "light" else "dark"
    )
    if mode != "light":
        assert page.evaluate("window.themes") == ["light", "dark"]


def test_nothing_moves_for_who_wants_less_motion(
    page_name: str, site: Site, new_page: NewPage
) -> None:
    page = new_page()
    page.goto(site.address + page_name, wait_until="networkidle")
    assert page.evaluate(_MOVING) > 0, "nothing moves anyway: this test tests nothing"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(_MOVING) == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("system", ["light", "dark"])
def test_pictures_keep_their_colors_in_a_readers_own(
    site: Site, new_page: NewPage, theme: str, system: str
) -> None:
    """Also where the theme of the page is the opposite of the reader's colors."""
    page = new_page(color_scheme=system)
    figure = book.figures()[0]
    live = LiveFigurePage.open(page, site.address + figure.page, figure.name)
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
    plain = _pixels(live.image)
    background = live.root.evaluate("(root) => getComputedStyle(root).backgroundColor")
    page.emulate_media(forced_colors="active")
    forced = live.root.evaluate("(root) => getComputedStyle(root).backgroundColor")
    assert forced != background, "the browser forces no colors: this test tests nothing"
    # Its outermost pixels show what is around it, too.
    assert (_pixels(live.image)[2:-2, 2:-2] == plain[2:-2, 2:-2]).all()


def test_formulas_are_whole_in_a_readers_own_colors(
    notebook: Path, site: Site, new_page: NewPage
) -> None:
    """Chromium's plates behind text must not cover what stands close to it, such as a bar."""
    page = new_page()
    page.goto(f"{site.address}notebooks/{notebook.stem}.html", wait_until="networkidle")
    page.evaluate(_OPEN)
    page.evaluate(_BLACK_ON_WHITE)
    formulas = page.locator("article div.math:has(.accent)").all()[:5]
    plain = [_ink(formula) for formula in formulas]
    page.emulate_media(forced_colors="active")
    for formula, ink in zip(formulas, plain, strict=True):
        assert ink > 0
        assert _ink(formula) == pytest.approx(ink, rel=0.005), formula.text_content()


def _ink(element: Locator) -> float:
    """Return how many pixels of black there are in an element on white ground."""
    return float((1 - _pixels(element) / 255).mean(axis=2).sum())


def _pixels(element: Locator) -> np.ndarray:
    """Return a picture of an element, shape (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"))
