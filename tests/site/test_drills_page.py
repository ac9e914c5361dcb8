"""The page of all drills, with what the browser keeps of them; and each drill at its place."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect
from support import book
from support.book import Site
from support.browser import NewPage, Watch

from dlbook.drills import all_drills

PAGE = "book/drills.html"
LEVELS = ("screening", "core", "senior")

_WRITE = """(states) => {
  for (const [name, state] of Object.entries(states))
    pagepython.store.write(name, { code: `def ${name}(): ...`, state });
}"""

_FORBID = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("forbidden", "SecurityError"); },
})"""


#: Begins with a capital letter, ends with a full stop.
_SENTENCE = re.compile(r"^[A-Z][^\n]{10,}\.$")


class Entry(NamedTuple):
    """A drill in the list."""

    name: str
    chapter: str
    level: str


def listed() -> list[Entry]:
    """Return the drills as the built page lists them."""
    return [
        Entry(*(str(entry[f"data-{key}"]) for key in ("drill", "chapter", "level")))
        for entry in book.parse(PAGE).select(".drill-entry")
    ]


def in_turn() -> list[Entry]:
    """Return them as a reader is to go through them: by chapter, in each by level."""
    return sorted(listed(), key=lambda entry: (entry.chapter, LEVELS.index(entry.level)))


@pytest.fixture
def page(site: Site, new_page: NewPage) -> Iterator[Page]:
    page = new_page()
    watch = Watch(site.address)
    watch.attach(page)
    _open(page, site)
    yield page
    watch.check()


def _open(page: Page, site: Site) -> None:
    page.goto(site.address + PAGE, wait_until="load")
    expect(page.locator(".drills-tools")).to_be_visible()


def _visible(page: Page) -> list[str]:
    entries = page.locator(".drill-entry:visible")
    return [str(entry.get_attribute("data-drill")) for entry in entries.all()]


def _states(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.eval_on_selector_all(
        ".drill-entry",
        """entries => Object.fromEntries(entries
          .map((entry) => [entry.dataset.drill, entry.dataset.state])
          .filter(([, state]) => state !== "untouched"))""",
    )
    return found


def _import(page: Page, name: str, text: str) -> None:
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Import").click()
    chosen.value.set_files({"name": name, "mimeType": "application/json", "buffer": text.encode()})


def _said(page: Page) -> Locator:
    return page.get_by_role("status").and_(page.locator(".drills-said"))


# --- every drill of the book, once ---


def test_every_drill_is_listed_once_and_leads_to_its_place() -> None:
    assert Counter(entry.name for entry in listed()) == Counter(
        entry.name for entry in all_drills()
    )
    known = {entry.name: entry for entry in all_drills()}
    for entry in listed():
        assert entry.level == known[entry.name].level
        assert entry.chapter.partition("_")[2] == known[entry.name].chapter
    links = [str(link["href"]) for link in book.parse(PAGE).select(".drill-head > a")]
    assert links == [f"../notebooks/{entry.chapter}.html#drill-{entry.name}" for entry in listed()]


def test_every_drill_is_on_its_chapters_page_once(notebook: Path) -> None:
    page = book.parse(book.page_of(notebook))
    drills = page.select(".drill")
    own = [entry for entry in all_drills() if entry.chapter == notebook.stem.partition("_")[2]]
    assert Counter(str(drill["data-drill"]) for drill in drills) == Counter(e.name for e in own)
    for entry in own:
        (drill,) = page.select(f"#drill-{entry.name}")
        assert drill["data-chapter"] == notebook.stem
        assert drill["data-level"] == entry.level
        assert len(drill.select(":scope > details.drill-hint")) == len(entry.hints)
        code = [pre.get_text() for pre in drill.select(":scope > .drill-code pre")]
        assert len(code) == 1 and code[0].strip().startswith(f"def {entry.name}(")
        assert code[0].strip().endswith("...")
    assert "nothing returned yet" not in page.get_text()


# --- states ---


def test_at_first_nothing_is_touched(page: Page) -> None:
    first, everything = in_turn()[0], listed()
    expect(page.locator(".drills-count")).to_have_text(f"0 of {len(everything)} solved.")
    expect(page.locator(".drills-next")).to_contain_text(f"Next: {first.name} (")
    expect(page.locator(".drill-state").first).to_have_text("○ untouched")
    assert _states(page) == {}
    assert _visible(page) == [entry.name for entry in everything]
    expect(_said(page)).to_be_empty()


def test_states_are_kept_and_what_was_tried_comes_next(page: Page, site: Site) -> None:
    first, second, *_, last = in_turn()
    page.evaluate(_WRITE, {first.name: "solved", last.name: "tried"})
    for reload in (False, True):
        if reload:
            _open(page, site)
        assert _states(page) == {first.name: "solved", last.name: "tried"}
        expect(page.locator(".drills-count")).to_contain_text("1 of ")
        expect(page.locator(".drills-count")).to_contain_text("solved, 1 tried.")
        expect(page.locator(".drills-next")).to_contain_text(f"Next: {last.name} (")
        link = page.locator(".drills-next a")
        expect(link).to_have_attribute(
            "href", f"../notebooks/{last.chapter}.html#drill-{last.name}"
        )
    page.evaluate(_WRITE, {last.name: "solved"})
    expect(page.locator(".drills-next")).to_contain_text(f"Next: {second.name} (")
    page.evaluate("(name) => pagepython.store.remove(name)", first.name)
    expect(page.locator(".drills-next")).to_contain_text(f"Next: {first.name} (")


def test_what_comes_next_goes_by_level_within_a_chapter(page: Page) -> None:
    order = in_turn()
    elsewhere = [
        k for k, (one, other) in enumerate(zip(order, listed(), strict=True)) if one != other
    ]
    assert elsewhere, "the list is in that order anyway: this test tests nothing"
    for k in (0, *elsewhere, len(order) - 1):
        page.evaluate(_WRITE, {entry.name: "solved" for entry in order[:k]})
        expect(page.locator(".drills-next")).to_contain_text(f"Next: {order[k].name} (")


def test_when_all_are_solved_it_says_so(page: Page) -> None:
    page.evaluate(_WRITE, {entry.name: "solved" for entry in listed()})
    expect(page.locator(".drills-next")).to_have_text("Every drill is solved.")
    total = len(listed())
    expect(page.locator(".drills-count")).to_have_text(f"{total} of {total} solved.")


def test_it_follows_what_happens_in_another_tab(page: Page, site: Site) -> None:
    name = listed()[0].name
    other = page.context.new_page()
    _open(other, site)
    other.evaluate(_WRITE, {name: "solved"})
    expect(page.locator(f"[data-drill={name}] .drill-state")).to_have_text("● solved")


def test_it_is_up_to_date_after_the_way_back(page: Page, site: Site) -> None:
    name = listed()[0].name
    page.locator(f"[data-drill={name}] a").click()
    page.wait_for_url("**/notebooks/**")
    page.evaluate(_WRITE, {name: "tried"})
    page.go_back()
    expect(page.locator(f"[data-drill={name}] .drill-state")).to_have_text("◐ tried")


# --- filters ---


def test_filters_narrow_the_list_together(page: Page) -> None:
    everything = listed()
    chapter = everything[-1].chapter
    solved = next(entry for entry in everything if entry.chapter == chapter)
    page.evaluate(_WRITE, {solved.name: "solved"})
    page.get_by_label("Chapter").select_option(chapter)
    wanted = [entry.name for entry in everything if entry.chapter == chapter]
    assert _visible(page) == wanted
    expect(_said(page)).to_have_text(f"{len(wanted)} drills shown.")
    expect(page.locator(".drills h2:visible")).to_have_count(1)
    page.get_by_label("Level").select_option(solved.level)
    page.get_by_label("State").select_option("solved")
    assert _visible(page) == [solved.name]
    expect(_said(page)).to_have_text("1 drill shown.")
    page.get_by_label("State").select_option("tried")
    assert _visible(page) == []
    expect(_said(page)).to_have_text("No drill is like that.")
    for label in ("Chapter", "Level", "State"):
        page.get_by_label(label).select_option("")
    assert _visible(page) == [entry.name for entry in everything]


def test_a_filtered_list_follows_a_change(page: Page) -> None:
    name = listed()[0].name
    page.get_by_label("State").select_option("untouched")
    assert name in _visible(page)
    page.evaluate(_WRITE, {name: "solved"})
    expect(page.locator(f"[data-drill={name}]")).to_be_hidden()


def test_all_of_it_works_by_keyboard(page: Page) -> None:
    page.get_by_role("link", name=in_turn()[0].name).first.focus()
    expect(page.locator(".drills-next a")).to_be_focused()
    for label in ("Chapter", "Level", "State"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(label)).to_be_focused()
        assert (
            page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") > 1
        )
        page.keyboard.press("ArrowDown")
    entries = listed()
    assert _visible(page) == [
        entry.name
        for entry in entries
        if (entry.chapter, entry.level) == (entries[0].chapter, "screening")
    ]
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Export")).to_be_focused()
    with page.expect_download():
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Import")).to_be_focused()
    with page.expect_file_chooser():
        page.keyboard.press("Space")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.drills-chapter') !== null")


# --- the reader's file ---


def test_what_is_exported_can_be_imported_elsewhere(
    page: Page, site: Site, new_page: NewPage, tmp_path: Path
) -> None:
    states = {listed()[0].name: "solved", listed()[1].name: "tried"}
    page.evaluate(_WRITE, states)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "drills.json"
    download.value.save_as(tmp_path / "drills.json")
    text = (tmp_path / "drills.json").read_text(encoding="utf-8")
    assert f"def {listed()[0].name}(): ..." in json.dumps(json.loads(text))

    other = new_page()
    _open(other, site)
    assert _states(other) == {}
    _import(other, "mine.json", text)
    expect(_said(other)).to_have_text("2 drills taken over from mine.json.")
    assert _states(other) == states
    _open(other, site)
    assert _states(other) == states
    code = other.evaluate("(name) => pagepython.store.read(name).code", listed()[0].name)
    assert code == f"def {listed()[0].name}(): ..."


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]", '{"drills": {"sgd": {"code": 1}}}'])
def test_a_bad_file_is_refused_in_a_sentence(page: Page, text: str) -> None:
    name = listed()[0].name
    page.evaluate(_WRITE, {name: "solved"})
    for _ in range(2):  # the same file again
        _import(page, "bad.json", text)
        expect(_said(page)).to_have_text(_SENTENCE)
        page.get_by_label("Level").select_option("core")
        expect(_said(page)).to_contain_text("shown.")
        page.get_by_label("Level").select_option("")
    assert _states(page) == {name: "solved"}


def test_where_nothing_can_be_kept_it_says_so(site: Site, new_page: NewPage) -> None:
    page = new_page()
    page.add_init_script(_FORBID)
    _open(page, site)
    expect(_said(page)).to_contain_text("This browser keeps nothing for this site")
    expect(page.get_by_role("button", name="Export")).to_be_hidden()
    expect(page.locator(".drills-next")).to_contain_text(f"Next: {in_turn()[0].name} (")
    page.get_by_label("Level").select_option("senior")
    assert _visible(page) == [entry.name for entry in listed() if entry.level == "senior"]


def test_without_scripts_the_list_is_there(site: Site, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(site.address + PAGE)
    assert _visible(page) == [entry.name for entry in listed()]
    expect(page.locator(".drills-tools")).to_be_hidden()
    expect(page.locator(".drill-state").first).to_be_empty()
