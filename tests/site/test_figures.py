"""Every live figure of the built site, in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support import book
from support.book import FigureOnPage, Site
from support.browser import NewPage, Watch
from support.figures import LiveFigurePage

#: Heights of the controls that scroll away and of those that stay in view.
_HEIGHTS = """(form) => [false, true].map((on) => {
  form.toggleAttribute("data-sticky", on);
  return form.offsetHeight;
})"""

_INK = """(svg) => [...svg.querySelectorAll("[fill^='var('], [stroke^='var(']")]
  .slice(0, 50).map((node) => {
    const { fill, stroke } = getComputedStyle(node);
    return `${fill} ${stroke}`;
  })"""


_FOCUSED = """(id) => {
  const node = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(node);
  return [node.name || node.textContent, node.closest("figure")?.id === id,
    outlineStyle === "none" ? 0 : parseFloat(outlineWidth)];
}"""


def test_every_control_changes_the_data(live_figure: LiveFigurePage) -> None:
    start = live_figure.data()
    defaults = live_figure.positions()
    for name, control in live_figure.controls().items():
        assert _changes_data(live_figure, name) or _changes_data_with_another(live_figure, name), (
            f"{name} changes no data, neither with the others at their defaults nor with one of "
            "them moved"
        )
        assert live_figure.positions() == defaults, f"{name} was not put back"
        assert live_figure.data() == start
        assert control.count > 1


def _changes_data(figure: LiveFigurePage, name: str) -> bool:
    """Tell whether a control changes data where the others are, and put it back."""
    control = figure.controls()[name]
    start = figure.data()
    changes = any(_data_at(figure, name, k) != start for k in reversed(range(control.count)))
    figure.move({name: control.position})
    return changes


def _changes_data_with_another(figure: LiveFigurePage, name: str) -> bool:
    """Tell the same of a switch that says what another control means: move that one first."""
    for other, control in figure.controls().items():
        if other == name:
            continue
        figure.move({other: control.count - 1 if control.position == 0 else 0})
        changes = _changes_data(figure, name)
        figure.move({other: control.position})
        if changes:
            return True
    return False


def _data_at(figure: LiveFigurePage, name: str, position: int) -> str:
    figure.move({name: position})
    return figure.data()


def test_works_when_the_network_is_cut(notebook: Path, site: Site, new_page: NewPage) -> None:
    """All figures at once: a longer caption brings others into view, which then load."""
    page = new_page()
    page.goto(site.address + book.page_of(notebook))
    figures = [LiveFigurePage(page, figure.name) for figure in book.figures_of(notebook)]
    for figure in figures:
        figure.wait_live()
    page.wait_for_load_state("networkidle")
    watch = Watch("http://")
    watch.attach(page)
    page.context.set_offline(True)
    for figure in figures:
        _assert_moves(figure)
    watch.check()


@pytest.mark.one_a_page
def test_works_from_a_file(site: Site, figure: FigureOnPage, new_page: NewPage) -> None:
    page = new_page()
    watch = Watch("file://")
    watch.attach(page)
    _assert_moves(LiveFigurePage.open(page, (site.folder / figure.page).as_uri(), figure.name))
    watch.check()


def _assert_moves(figure: LiveFigurePage) -> None:
    before = figure.data()
    figure.move(figure.elsewhere())
    assert figure.data() != before


@pytest.mark.one_a_page
def test_first_frame_without_javascript(
    site: Site, figure: FigureOnPage, new_page: NewPage
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(site.address + figure.page)
    still = LiveFigurePage(page, figure.name)
    expect(still.image).to_be_visible()
    expect(still.root.locator("figcaption")).not_to_be_empty()
    expect(still.root.locator("figcaption")).to_be_visible()
    expect(still.form).to_be_hidden()


def test_fits_a_phone(site: Site, figure: FigureOnPage, new_page: NewPage) -> None:
    page = new_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    live = LiveFigurePage.open(page, site.address + figure.page, figure.name)
    box = live.image.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert live.smallest_text() >= 8, "text of such a size cannot be read"
    _assert_moves(live)
    # Else it would flicker where the one height says yes and the other no.
    loose, sticky = live.form.evaluate(_HEIGHTS)
    assert loose == sticky


@pytest.mark.one_a_page
def test_ink_follows_the_dark_mode(site: Site, figure: FigureOnPage, new_page: NewPage) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        page = new_page(color_scheme=scheme)
        live = LiveFigurePage.open(page, site.address + figure.page, figure.name)
        colors[scheme] = live.image.evaluate(_INK)
    assert colors["light"]
    assert all(a != b for a, b in zip(colors["light"], colors["dark"], strict=True))


@pytest.mark.one_a_page
def test_words_that_were_searched_for_stay_legible(
    site: Site, figure: FigureOnPage, new_page: NewPage
) -> None:
    """The first page after a search marks what was searched for, with boxes behind the words."""
    page = new_page(color_scheme="dark")
    word = max(re.findall(r"[a-z]+", _fixed_words(site, figure)), key=len)
    page.add_init_script(f"localStorage.setItem('sphinx_highlight_terms', '{word}')")
    live = LiveFigurePage.open(page, site.address + figure.page, figure.name)
    boxes = page.locator("figure.livefigure svg rect.highlighted")
    boxes.first.wait_for(state="attached")
    assert live.form.is_visible()
    fills = boxes.evaluate_all("(boxes) => boxes.map((box) => getComputedStyle(box).fill)")
    assert set(fills) == {"none"}


def _fixed_words(site: Site, figure: FigureOnPage) -> str:
    """Return the words of a figure that are not drawn anew."""
    texts = book.parse(figure.page, site.folder).select(f"#{figure.name} svg text")
    return " ".join(
        text.get_text() for text in texts if not text.find_parent(attrs={"data-slot": True})
    )


@pytest.mark.one_a_page
def test_keyboard_alone_moves_every_slider(live_figure: LiveFigurePage) -> None:
    page = live_figure.page
    captions = {live_figure.caption()}
    sliders = [name for name, control in live_figure.controls().items() if control.kind == "range"]
    for name in sliders:
        live_figure.tab_to(name)
        images = {live_figure.image.inner_html()}
        page.keyboard.press("Home")
        last = live_figure.controls()[name].count - 1
        for _ in range(last):
            page.keyboard.press("ArrowRight")
            captions.add(live_figure.caption())
            images.add(live_figure.image.inner_html())
        assert live_figure.positions()[name] == last
        page.keyboard.press("ArrowLeft")
        assert live_figure.positions()[name] == last - 1
        assert len(images) > 1, f"{name} changes nothing"
    if sliders:
        assert len(captions) > 1, "no slider changes the caption"


@pytest.mark.one_a_page
def test_tab_meets_every_control_in_order_and_shows_where_it_is(
    live_figure: LiveFigurePage,
) -> None:
    page = live_figure.page
    live_figure.root.evaluate("(root) => { root.tabIndex = -1; root.focus(); }")
    met: list[str] = []
    while True:
        page.keyboard.press("Tab")
        name, inside, outline = page.evaluate(_FOCUSED, live_figure.name)
        if not inside:
            break
        assert outline >= 2, f"one does not see that {name} has the focus"
        met.append(name)
        assert len(met) <= 3 * len(live_figure.controls()) + 1, f"Tab does not leave: {met}"
    assert [name for name in met if name not in ("Play", "Reset")] == list(live_figure.controls())
    assert met[-1] == "Reset"


def test_what_a_drag_moves_has_a_slider_too(live_figure: LiveFigurePage) -> None:
    sliders = {name for name, control in live_figure.controls().items() if control.kind == "range"}
    for pad in live_figure.image.locator("[data-pad]").all():
        moved = json.loads(pad.get_attribute("data-moves") or "{}").values()
        assert moved
        assert {name for name, _ in moved} <= sliders


def test_words_go_with_the_slider(live_figure: LiveFigurePage) -> None:
    for name, control in live_figure.controls().items():
        if control.kind == "range":
            slider = live_figure.form.locator(f"[name='{name}']")
            first = slider.get_attribute("aria-valuetext")
            live_figure.move({name: (control.position + 1) % control.count})
            words = slider.get_attribute("aria-valuetext")
            assert words
            assert words != first
            expect(slider).to_have_accessible_name(re.compile(r"\S"))


@pytest.mark.one_a_page
def test_reset_restores_the_first_state(live_figure: LiveFigurePage) -> None:
    positions, seen = live_figure.positions(), live_figure.seen()
    live_figure.move(live_figure.elsewhere())
    assert live_figure.seen() != seen
    live_figure.form.locator("button[type=reset]").click()
    expect(live_figure.root.locator("figcaption")).to_have_text(seen[1], use_inner_text=False)
    assert live_figure.positions() == positions
    assert live_figure.seen() == seen


@pytest.mark.one_a_page
def test_address_reproduces_the_state(
    live_figure: LiveFigurePage, site: Site, new_page: NewPage
) -> None:
    live_figure.move(live_figure.elsewhere())
    _wait_for_hash(live_figure.page, live_figure.name)
    address = live_figure.page.url
    names = re.findall(r"[:,]([a-z0-9_]+)=", address.partition("#")[2])
    assert names == list(live_figure.controls())
    again = LiveFigurePage.open(new_page(), address, live_figure.name)
    assert again.positions() == live_figure.positions()
    assert again.seen() == live_figure.seen()


def _wait_for_hash(page: Page, name: str) -> None:
    page.wait_for_function("(start) => location.hash.startsWith(start)", arg=f"#{name}:")


@pytest.mark.one_a_page
def test_plain_anchors_stay(site: Site, figure: FigureOnPage, new_page: NewPage) -> None:
    address = f"{site.address}{figure.page}#{figure.name}"
    plain = LiveFigurePage.open(new_page(), site.address + figure.page, figure.name)
    anchored = LiveFigurePage.open(new_page(), address, figure.name)
    assert anchored.page.url == address
    assert anchored.seen() == plain.seen()


def test_a_drag_moves_the_controls_of_its_axes(live_figure: LiveFigurePage) -> None:
    pads = live_figure.image.locator("[data-pad]")
    mouse = live_figure.page.mouse
    for pad in pads.all():
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        assert box is not None
        corners = []
        for share, act in ((0.08, mouse.down), (0.92, mouse.up)):
            mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"], steps=4)
            act()
            corners.append(live_figure.positions())
        moved = {name for name in corners[0] if corners[0][name] != corners[1][name]}
        promised = json.loads(pad.get_attribute("data-moves") or "{}").values()
        assert moved == {name for name, _ in promised}
