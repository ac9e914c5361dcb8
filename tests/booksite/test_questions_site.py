"""A small site with a notebook that shows a bank: its markup, and what a browser makes of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Page, expect
from sphinx.errors import ExtensionError
from support.banks import GOOD, write
from support.browser import NewPage, Watch
from support.serve import serve
from support.small_site import build

from booksite.questions import QuestionSheet
from booksite.questions.reading import read


def write_site(root: Path, text: str = GOOD) -> None:
    """Write a bank, a notebook that has run and shows it, and a page that links to it."""
    path = write(root, text)
    write_notebook(root, QuestionSheet(read(path)))
    toc = "```{toctree}\nshown\n```\n"
    (root / "index.md").write_text(f"# Small\n\n[the second](#q-small-second)\n\n{toc}")


def write_notebook(root: Path, sheet: QuestionSheet, times: int = 1) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "p", "language": "python"}
    notebook.cells = [nbformat.v4.new_markdown_cell("# Shown\n\n## Questions", id="heading")]
    for number in range(times):
        output = nbformat.v4.new_output("display_data", sheet._repr_mimebundle_())
        source = 'questions("01_small")'
        notebook.cells.append(
            nbformat.v4.new_code_cell(source, outputs=[output], id=f"cell-{number}")
        )
    nbformat.write(notebook, root / "shown.ipynb")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    write_site(root)
    built = build(root)
    assert built.warnings == ""
    return built.site


@pytest.fixture(scope="module")
def shown(site: Path) -> BeautifulSoup:
    return BeautifulSoup((site / "shown.html").read_text(encoding="utf-8"), "html.parser")


def test_a_question_is_an_article_with_its_address(shown: BeautifulSoup) -> None:
    articles = shown.select("section.questions article.question")
    assert [article.attrs["id"] for article in articles] == ["q-small-first", "q-small-second"]
    first, second = (dict(article.attrs) for article in articles)
    assert (first["data-level"], first["data-kind"]) == ("core", "explain")
    assert "data-starred" in first
    assert "data-starred" not in second
    assert [link["href"] for link in shown.select("article > h4 > a")] == [
        "#q-small-first", "#q-small-second",
    ]  # fmt: skip
    assert [h3.get_text() for h3 in shown.select(".question-group > h3")] == ["Section"]
    labels = [" ".join(label.get_text().split()) for label in shown.select(".question-labels")]
    assert labels == ["★ asked often core explain", "screening compute"]


def test_an_answer_opens_in_steps(shown: BeautifulSoup) -> None:
    answer = shown.select_one("#q-small-first > details")
    assert answer is not None
    assert not answer.has_attr("open")
    inside = answer.select(":scope > details > summary")
    assert [re.sub(r"\s+", " ", summary.get_text()) for summary in inside] == [
        "In full", "Trap", "Follow-up: And then?",
    ]  # fmt: skip
    assert "Often said otherwise." in answer.get_text()
    assert [item.get_text() for item in answer.select(".question-sources li")] == ["A paper 2020"]
    second = shown.select("#q-small-second details > summary")
    assert [summary.get_text() for summary in second] == ["Answer", "In full"]


def test_math_is_rendered_everywhere(shown: BeautifulSoup) -> None:
    def formulas(selector: str) -> list[str]:
        return [found.get_text().strip() for found in shown.select(f"{selector} annotation")]

    assert formulas("#q-small-first > h4") == ["x"]
    assert formulas(".question-answer") == ["y"]
    assert formulas(".question-full") == [r"x = \frac{y}{1}"]
    assert formulas(".question-follow-up") == ["z"]
    section = shown.select_one("section.questions")
    assert section is not None
    assert re.findall(r"\$\S*", re.sub(r"\s+", " ", section.get_text())) == ["$5."]


def test_choices_and_filter_are_plain_controls(shown: BeautifulSoup) -> None:
    first = shown.select("#q-small-first input")
    assert [(button["type"], button["name"]) for button in first] == [
        ("radio", "choice-small-first")
    ] * 2
    assert not any(button.has_attr("checked") for button in first)
    reasons = shown.select("#q-small-first .question-reason")
    assert [(r.has_attr("data-right"), " ".join(r.get_text(" ").split())) for r in reasons] == [
        (True, "Right."),
        (False, "Not so. It is not."),
    ]
    filters = shown.select(".question-filter label")
    assert [" ".join(label.get_text().split()) for label in filters] == [
        "all 2", "★ asked often 1", "screening 1", "core 1",
    ]  # fmt: skip
    assert [b["value"] for b in shown.select(".question-filter input[checked]")] == ["all"]


def test_nothing_needs_script_or_inline_style(shown: BeautifulSoup) -> None:
    section = shown.select_one("section.questions")
    assert section is not None
    assert not section.select("script, style")
    for element in section.find_all(True):
        assert not any(name.startswith("on") for name in element.attrs), element.name
        if not element.find_parent(class_="katex"):
            assert "style" not in element.attrs, element.name


def test_pages_may_link_to_a_question(site: Path) -> None:
    index = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    (link,) = index.select("article a[href*='q-small']")
    assert link["href"] == "shown.html#q-small-second"


def test_an_edit_of_the_bank_renders_the_page_anew(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    page = build(root).site / "shown.html"
    assert "Often said otherwise." in page.read_text()
    assert "0 added, 0 changed" in build(root).status
    path = write(root, GOOD.replace("Often said otherwise.", "Said differently."))
    later = path.stat().st_mtime + 10  # files' times are coarse
    os.utime(path, (later, later))
    assert "0 added, 1 changed" in build(root).status
    assert "Said differently." in page.read_text()
    assert "Often said otherwise." not in page.read_text()


def test_a_mistake_fails_the_build_with_its_line(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    write(root, GOOD.replace("level: core", "level: hard").replace("$z$", r"$\nosuch$"))
    with pytest.raises(ExtensionError) as caught:
        build(root)
    first, second, third = str(caught.value).split("\n")
    assert first == "the question bank has mistakes"
    assert second.startswith("book/questions/01_small.yml:4: level is 'hard'")
    assert third.startswith("book/questions/01_small.yml:19: answer: KaTeX parse error")


def test_a_deleted_test_fails_the_build(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    build(root)
    (root / "tests/questions/test_01_small.py").write_text("")
    with pytest.raises(ExtensionError, match=r"01_small\.yml:25: no test test_small"):
        build(root)


def test_a_bank_shown_twice_is_a_warning(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    write_notebook(root, QuestionSheet(read(root / "book/questions/01_small.yml")), times=2)
    assert 'Duplicate explicit target name: "q-small-first"' in build(root).warnings


def test_other_formats_show_the_text(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    text = (build(root, builder="text").site / "shown.txt").read_text()
    assert "Often said otherwise." in text


@pytest.fixture
def page(site: Path, new_page: NewPage, request: pytest.FixtureRequest) -> Any:
    with serve(site) as address:
        page = new_page()
        watch = Watch(address)
        watch.attach(page)
        page.goto(f"{address}shown.html")
        page.wait_for_load_state("networkidle")
        yield page
        watch.check()


def test_a_choice_shows_its_reason_by_keyboard(page: Page) -> None:
    reasons = page.locator("#q-small-first .question-reason")
    expect(reasons.nth(0)).to_be_hidden()
    expect(reasons.nth(1)).to_be_hidden()
    page.locator("#q-small-first input").first.focus()
    page.keyboard.press("Space")
    expect(reasons.nth(0)).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(reasons.nth(0)).to_be_hidden()
    expect(reasons.nth(1)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#q-small-first > details > summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#q-small-first .question-answer")).to_be_visible()


def test_the_filter_hides_what_is_not_asked_for(page: Page) -> None:
    first, second = page.locator("#q-small-first"), page.locator("#q-small-second")
    for label, visible in (
        ("core", (True, False)),
        ("screening", (False, True)),
        ("asked often", (True, False)),
        ("all", (True, True)),
    ):
        page.locator(".question-filter label", has_text=label).click()
        for article, expected in zip((first, second), visible, strict=True):
            expect(article).to_be_visible(visible=expected)


def test_a_question_with_an_address_is_never_hidden(page: Page) -> None:
    page.locator(".question-filter label", has_text="core").click()
    expect(page.locator("#q-small-second")).to_be_hidden()
    page.evaluate("location.hash = '#q-small-second'")
    expect(page.locator("#q-small-second")).to_be_visible()


def test_paper_shows_every_answer(page: Page) -> None:
    full = page.locator("#q-small-first .question-full .katex-display")
    reason = page.locator("#q-small-first .question-reason").nth(1)
    assert full.evaluate("node => node.checkVisibility({contentVisibilityAuto: true})") is False
    page.emulate_media(media="print")
    assert full.evaluate("node => node.checkVisibility({contentVisibilityAuto: true})") is True
    expect(reason).to_be_visible()
    expect(page.locator(".question-filter")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(page: Page, scheme: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((block) => { block.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    color = page.locator(".question-answer p").first.evaluate(
        "node => getComputedStyle(node).color"
    )
    assert (sum(map(int, re.findall(r"\d+", color)[:3])) > 3 * 128) == (scheme == "dark")
