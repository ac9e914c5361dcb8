"""Every kind of control on a page of its own, worked in a browser; and data that are bad."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect
from support import serve
from support.browser import NewPage

from livefigure import assets, live, markup

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Figures</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self';
style-src 'self'; font-src 'self'">
<link rel="icon" href="data:,"><link rel="stylesheet" href="style.css">
<script defer src="script.js"></script></head>
<body><p id="top">Above.</p>{figure}<p id="end">Below.</p></body></html>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A page with one figure that has a control of every kind, its data in several files."""
    import ipywidgets as widgets
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from livefigure import encode, style

    root = tmp_path_factory.mktemp("page")
    with mpl.rc_context(style.rc()), pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "CHUNK_BYTES", 1500)
        fig, ax = plt.subplots(figsize=(4, 3))
        (line,) = ax.plot([0, 1], [0, 1], "o-")
        ax.set(xlim=(0, 2), ylim=(0.01, 10), yscale="log")

        @live(
            fig,
            pointer={ax: ("width", "height")},
            frame=widgets.Play(value=0, min=0, max=3, interval=30),
            width=(0.0, 2.0, 0.5),
            height=widgets.FloatLogSlider(value=1, min=-2, max=1, step=1),
            color=["blue", "green, dark"],
            shape=widgets.ToggleButtons(options=["dot", "cross"]),
            shown=True,
        )
        def everything(
            frame: int, width: float, height: float, color: str, shape: str, shown: bool
        ) -> str:
            line.set_data([0, width], [0.1 + frame, height])
            line.set_color(style.BLUE if color == "blue" else style.GREEN)
            line.set_marker("o" if shape == "dot" else "x")
            line.set_visible(shown)
            return f"{frame} {width:g} {height:g} {color} {shape} {shown}"

        baked = everything.bake()
    assert len(baked["parts"]) > 2
    names = [f"part{k}.js" for k in range(len(baked["parts"]))]
    for name, text in zip(names, baked["parts"], strict=True):
        (root / name).write_text(text)
    (root / "script.js").write_text(assets.page_script())
    (root / "style.css").write_text(assets.style("font.woff2"))
    (root / "font.woff2").write_bytes(assets.font().read_bytes())
    shown = {key: baked[key] for key in ("form", "svg", "caption", "states")}
    figure = markup.figure(baked["id"], sources=" ".join(names), **shown)
    (root / "index.html").write_text(PAGE.replace("{figure}", figure))
    with serve.serve(root) as address:
        (root / "address").write_text(address)
        yield root


def open_page(page: Page, folder: Path, anchor: str = "") -> Page:
    address = (folder / "address").read_text() + "index.html" + anchor
    page.goto(address, wait_until="domcontentloaded")
    return page


@pytest.fixture
def page(new_page: NewPage, folder: Path) -> Page:
    opened = open_page(new_page(), folder)
    expect(opened.locator("figure")).to_have_attribute("data-state", "live")
    return opened


def caption(page: Page) -> Locator:
    return page.locator("figcaption")


def test_every_kind_of_control(page: Page) -> None:
    expect(caption(page)).to_have_text("0 1 1 blue dot True")
    page.get_by_label("width").press("ArrowRight")
    page.get_by_label("height").press("End")
    page.get_by_label("color").select_option("green, dark")
    page.get_by_label("cross").check()
    expect(caption(page)).to_have_text("0 1.5 10 green, dark cross True")
    page.get_by_label("shown").uncheck()
    expect(caption(page)).to_have_text("0 1.5 10 green, dark cross False")
    assert page.locator("[data-kind=Line2D] path").count() == 0
    page.get_by_role("button", name="Reset").click()
    expect(caption(page)).to_have_text("0 1 1 blue dot True")
    expect(page.get_by_label("height")).to_have_attribute("aria-valuetext", "1")


def test_play_runs_to_the_end_and_stops(page: Page) -> None:
    page.get_by_role("button", name="Play").click()
    expect(caption(page)).to_have_text("3 1 1 blue dot True")
    page.get_by_role("button", name="Play").click()
    expect(caption(page)).to_have_text(re.compile("^[12] "))


def test_play_goes_step_by_step_for_who_wants_less_motion(new_page: NewPage, folder: Path) -> None:
    page = open_page(new_page(reduced_motion="reduce"), folder)
    for step in (1, 2):
        page.get_by_role("button", name="Play").click()
        expect(caption(page)).to_have_text(f"{step} 1 1 blue dot True")
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_address_keeps_the_state_of_every_kind(page: Page, new_page: NewPage, folder: Path) -> None:
    page.get_by_label("color").select_option("green, dark")
    page.get_by_label("shown").uncheck()
    page.wait_for_url(re.compile("#everything:.*shown=off"))
    anchor = "#" + page.url.partition("#")[2]
    again = open_page(new_page(), folder, anchor)
    expect(caption(again)).to_have_text("0 1 1 green, dark dot False")
    assert "#" + again.url.partition("#")[2] == anchor


@pytest.mark.parametrize("anchor", ["#end", "#everything:width=%E0%A4%A", "#everything:nonsense"])
def test_other_addresses_do_no_harm(new_page: NewPage, folder: Path, anchor: str) -> None:
    page = new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_page(page, folder, anchor)
    expect(page.locator("figure")).to_have_attribute("data-state", "live")
    expect(caption(page)).to_have_text("0 1 1 blue dot True")
    assert not errors


def test_drag_moves_both_and_stops_outside(page: Page) -> None:
    box = page.locator("[data-pad]").bounding_box()
    assert box is not None
    right, top = box["x"] + box["width"], box["y"]
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(right - 2, top + 2)
    expect(caption(page)).to_have_text("0 2 10 blue dot True")
    page.mouse.move(right + 300, top + box["height"] + 300)
    expect(caption(page)).to_have_text("0 2 0.01 blue dot True")
    page.mouse.up()
    page.mouse.move(box["x"], top)
    expect(caption(page)).to_have_text("0 2 0.01 blue dot True")


def test_caption_is_announced_after_the_last_move_only(page: Page) -> None:
    status = page.get_by_role("status")
    expect(status).to_have_text("")
    for _ in range(2):
        page.get_by_label("width").press("ArrowRight")
    page.evaluate(
        """() => {
          window.said = [];
          const status = document.querySelector('[role=status]');
          new MutationObserver(() => window.said.push(status.textContent))
            .observe(status, { childList: true });
        }"""
    )
    expect(status).to_have_text("0 2 1 blue dot True")
    assert page.evaluate("window.said") == ["0 2 1 blue dot True"]


def test_a_drag_is_announced_once_and_politely(page: Page) -> None:
    page.evaluate(
        """() => {
          const [status, caption] = [...document.querySelectorAll("[role=status], figcaption")]
            .sort((a, b) => a.localName === "figcaption" ? 1 : -1);
          [window.said, window.shown] = [[], []];
          const watch = (node, into) => new MutationObserver(() => into.push(node.textContent))
            .observe(node, { childList: true });
          watch(status, window.said);
          watch(caption, window.shown);
        }"""
    )
    box = page.locator("[data-pad]").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] - 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 2, steps=40)
    page.mouse.up()
    expect(page.get_by_role("status")).to_have_text("0 2 10 blue dot True")
    assert page.evaluate("window.said") == ["0 2 10 blue dot True"]
    assert len(page.evaluate("window.shown")) > 5
    assert _live_regions(page) == ["polite"]


def _live_regions(page: Page) -> list[str]:
    """Return how urgent the browser tells screen readers that each live region is."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    properties = (entry for node in nodes for entry in node.get("properties", []))
    return [entry["value"]["value"] for entry in properties if entry["name"] == "live"]


def test_a_whole_figure_by_keyboard_alone(new_page: NewPage, folder: Path) -> None:
    page = new_page()
    page.clock.install()
    open_page(page, folder)
    expect(page.locator("figure")).to_have_attribute("data-state", "live")
    press = page.keyboard.press

    def tab_to(role: Any, name: str) -> Locator:
        press("Tab")
        field = page.get_by_role(role, name=name, exact=True)
        expect(field).to_be_focused()
        width = field.evaluate("(field) => parseFloat(getComputedStyle(field).outlineWidth)")
        style = field.evaluate("(field) => getComputedStyle(field).outlineStyle")
        assert (width, style) == (2, "solid"), f"one does not see that {name} has the focus"
        return field

    tab_to("slider", "frame")
    press("ArrowRight")
    expect(caption(page)).to_have_text("1 1 1 blue dot True")
    press("ArrowLeft")
    page.clock.pause_at("2100-01-01")  # from here on time passes only when told to
    tab_to("button", "Play")
    press("Space")
    page.clock.run_for(30)
    expect(caption(page)).to_have_text("2 1 1 blue dot True")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    press("Space")
    page.clock.run_for(1000)
    expect(caption(page)).to_have_text("2 1 1 blue dot True")
    tab_to("slider", "width")
    press("End")
    expect(caption(page)).to_have_text("2 2 1 blue dot True")
    height = tab_to("slider", "height")
    press("Home")
    expect(caption(page)).to_have_text("2 2 0.01 blue dot True")
    expect(height).to_have_attribute("aria-valuetext", "0.01")
    tab_to("combobox", "color")
    press("g")
    expect(caption(page)).to_have_text("2 2 0.01 green, dark dot True")
    tab_to("radio", "dot")
    press("ArrowRight")
    expect(page.get_by_role("radio", name="cross")).to_be_focused()
    expect(caption(page)).to_have_text("2 2 0.01 green, dark cross True")
    tab_to("checkbox", "shown")
    press("Space")
    expect(caption(page)).to_have_text("2 2 0.01 green, dark cross False")
    page.clock.run_for(1000)
    expect(page.get_by_role("status")).to_have_text("2 2 0.01 green, dark cross False")
    tab_to("button", "Reset")
    press("Enter")
    page.clock.run_for(1000)
    expect(caption(page)).to_have_text("0 1 1 blue dot True")
    expect(page.get_by_role("status")).to_have_text("0 1 1 blue dot True")
    press("Tab")  # and out again
    assert page.evaluate("document.activeElement.closest('figure')") is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "its data could not be loaded"),
        ("nonsense(", "its data are damaged"),
        ('livefigure({"format": 99, "id": "everything"}, "");', "its data have format 99"),
        ("cut", "the data end too early"),
    ],
)
def test_bad_data_are_said_and_the_first_frame_stays(
    new_page: NewPage, folder: Path, body: str | None, sentence: str
) -> None:
    page = new_page()
    whole = (folder / "part0.js").read_text()
    text = whole[: whole.rindex('"') - 40] + '");\n' if body == "cut" else body
    page.route(
        "**/part*.js",
        lambda route: (
            route.abort()
            if text is None
            else route.fulfill(body=text, content_type="text/javascript")
        ),
    )
    open_page(page, folder)
    expect(page.locator("figure")).to_have_attribute("data-state", "failed")
    note = page.locator(".livefigure-note")
    expect(note).to_contain_text("shows its first state only")
    expect(note).to_contain_text(sentence)
    expect(page.get_by_label("width")).to_be_disabled()
    expect(page.locator("[data-kind=Line2D] path").first).to_be_visible()
    expect(caption(page)).to_have_text("0 1 1 blue dot True")


def test_a_part_that_is_missing_keeps_no_other_away(new_page: NewPage, folder: Path) -> None:
    page = new_page()
    page.route("**/part1.js", lambda route: route.abort())
    open_page(page, folder, "#everything:frame=0,width=1")
    note = page.locator(".livefigure-note")
    expect(note).to_have_text("This figure lacks some of its states: its data could not be loaded.")
    figure = page.locator("figure")
    expect(figure).to_have_attribute("data-state", "live")
    frames = page.get_by_label("frame")
    seen = []
    for _ in range(4):
        seen.append((caption(page).inner_text(), figure.get_attribute("data-pending")))
        frames.press("ArrowRight")
    missing = ("This state could not be loaded.", "")
    assert seen.count(missing) == 1
    assert [entry for entry in seen if entry != missing] == [
        (f"{frame} 1 1 blue dot True", None) for frame in range(4) if seen[frame] != missing
    ]


def test_a_part_that_is_late_is_waited_for(new_page: NewPage, folder: Path) -> None:
    page = new_page()
    held: list[Route] = []
    page.route("**/part0.js", lambda route: held.append(route))
    open_page(page, folder)
    page.get_by_label("width").press("ArrowRight")
    expect(caption(page)).to_have_text("Loading this state …")
    expect(page.locator("figure")).to_have_attribute("data-pending", "")
    held[0].continue_()
    expect(caption(page)).to_have_text("0 1.5 1 blue dot True")
    expect(page.locator("figure")).not_to_have_attribute("data-pending", "")


def test_no_other_global_name(page: Page) -> None:
    added = page.evaluate(
        """async () => {
          const frame = document.createElement('iframe');
          document.body.append(frame);
          const plain = new Set(Object.getOwnPropertyNames(frame.contentWindow));
          return Object.getOwnPropertyNames(window).filter((name) => !plain.has(name));
        }"""
    )
    assert [name for name in added if not name.isdigit()] == ["livefigure"]


@pytest.mark.parametrize(("height", "position"), [(600, "static"), (2000, "sticky")])
def test_controls_stay_in_view_only_where_they_leave_room(
    new_page: NewPage, folder: Path, height: int, position: str
) -> None:
    page = open_page(new_page(viewport={"width": 360, "height": height}), folder)
    expect(page.locator("figure")).to_have_attribute("data-state", "live")
    expect(page.locator("form")).to_have_css("position", position)
