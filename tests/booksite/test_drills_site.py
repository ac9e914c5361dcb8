"""A small site with drills: their markup, the list of all, and what a browser makes of a drill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Page, expect
from sphinx.errors import ExtensionError
from support.browser import NewPage, Watch
from support.serve import serve
from support.small_site import build

from booksite.drills.sheet import MIME, DrillSheet, read


def content(name: str, level: str = "core", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "chapter": "small",
        "level": level,
        "signature": f"{name}(a, b) -> array (N, M)",
        "task": f"Write `{name}` of `a.b`. It may be *empty*.",
        "hints": ["First `hint`.", "Second hint.", "Third hint."],
        "solution": f"```python\ndef {name}(a, b):\n    return a + b\n```",
        "follow_up": {"question": "What of `a`?", "answer": "It is $x$."},
        **changes,
    }


def cells(sheet: dict[str, Any]) -> list[Any]:
    """Return the three cells of a drill, as they have run."""
    name = sheet["name"]
    shown = nbformat.v4.new_output(
        "execute_result",
        {MIME: sheet, "text/markdown": "in a notebook", "text/plain": "in a terminal"},
        execution_count=1,
    )
    graded = nbformat.v4.new_output("stream", text="nothing returned yet")
    made = []
    for tag, source, outputs in (
        ("task", f'from toy import grade, task\n\ntask("{name}")', [shown]),
        ("drill", f"def {name}(a, b):\n    ...", []),
        ("grade", f'grade("{name}", {name})', [graded]),
    ):
        cell = nbformat.v4.new_code_cell(
            source, outputs=outputs, metadata={"tags": [tag]}, id=f"{tag}-{name}"
        )
        made.append(cell)
    return made


def write_chapter(root: Path, name: str, *drills: list[Any]) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "p", "language": "python"}
    heading = nbformat.v4.new_markdown_cell(f"# Chapter {name}\n\n## Drills", id="heading")
    last = nbformat.v4.new_code_cell("print('after')", id="after")
    notebook.cells = [heading, *(cell for drill in drills for cell in drill), last]
    nbformat.write(notebook, root / f"{name}.ipynb")


def write_site(root: Path) -> None:
    """Write a list that is read before the two chapters whose drills it shows."""
    root.mkdir(exist_ok=True)
    write_chapter(root, "n1_first", cells(content("alpha", "senior")), cells(content("beta")))
    write_chapter(root, "n2_second", cells(content("gamma", "screening")))
    (root / "a_list.md").write_text("# All\n\n```{drills}\n```\n")
    toc = "```{toctree}\na_list\nn1_first\nn2_second\n```\n"
    (root / "index.md").write_text(f"# Small\n\n[the second](#drill-beta)\n\n{toc}")


def parsed(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def text(element: Tag | None) -> str:
    assert element is not None
    return " ".join(element.get_text().split())


def only(place: Tag, selector: str) -> Tag:
    (found,) = place.select(selector)
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    write_site(root)
    built = build(root)
    assert built.warnings == ""
    return built.site


@pytest.fixture(scope="module")
def chapter(site: Path) -> BeautifulSoup:
    return parsed(site / "n1_first.html")


# --- a drill at its place ---


def test_a_drill_is_an_element_that_scripts_can_rely_on(chapter: BeautifulSoup) -> None:
    drills = chapter.select("div.drill")
    assert [
        (
            drill["id"], drill["data-drill"], drill["data-chapter"], drill["data-level"],
            drill["data-state"],
        )
        for drill in drills
    ] == [
        ("drill-alpha", "alpha", "n1_first", "senior", "idle"),
        ("drill-beta", "beta", "n1_first", "core", "idle"),
    ]  # fmt: skip
    parts = [
        " ".join(child.get_attribute_list("class")) if child.has_attr("class") else child.name
        for child in drills[0].find_all(True, recursive=False)
    ]
    assert parts == [
        "h4", "drill-labels", "drill-task", "drill-hint", "drill-hint", "drill-hint",
        "drill-code", "drill-follow-up", "drill-solution",
    ]  # fmt: skip


def test_its_heading_is_its_name_as_code(chapter: BeautifulSoup) -> None:
    heading = only(chapter, "#drill-alpha > h4")
    assert text(only(heading, "code")) == "alpha"
    assert only(heading, "a.headerlink")["href"] == "#drill-alpha"
    assert text(chapter.select_one("#drill-alpha > .drill-labels")) == (
        "senior alpha(a, b) -> array (N, M)"
    )


def test_the_code_to_fill_in_has_moved_into_it(chapter: BeautifulSoup) -> None:
    code = only(chapter, "#drill-alpha > .drill-code > div[class*=highlight-] .highlight > pre")
    assert code.get_text().strip() == "def alpha(a, b):\n    ..."
    assert code.select("span"), "colored"


def test_the_cells_of_a_notebook_are_gone(chapter: BeautifulSoup) -> None:
    article = only(chapter, "article")
    (left,) = article.select("div.cell")
    assert text(left) == "print('after')"
    for words in ("task(", "grade(", "nothing returned yet", "in a notebook", "in a terminal"):
        assert words not in article.get_text()


def test_hints_solution_and_answer_are_folded(chapter: BeautifulSoup) -> None:
    drill = only(chapter, "#drill-beta")
    blocks = drill.select("details")
    assert not any(block.has_attr("open") for block in blocks)
    assert [text(block.summary) for block in blocks] == [
        "Hint 1", "Hint 2", "Hint 3", "Answer", "Solution",
    ]  # fmt: skip
    assert text(only(drill, ".drill-solution pre")) == "def beta(a, b): return a + b"
    assert text(only(drill, ".drill-task")) == "Write beta of a.b. It may be empty."
    assert [text(code) for code in drill.select(".drill-task code")] == ["beta", "a.b"]
    follow_up = only(drill, ".drill-follow-up")
    assert follow_up.has_attr("hidden")
    assert text(follow_up.p) == "Asked next: What of a?"
    assert text(only(follow_up, "annotation")) == "x"


def test_nothing_needs_inline_script_or_style(site: Path) -> None:
    for page in ("n1_first", "a_list"):
        for element in parsed(site / f"{page}.html").select(".drill *, .drills *"):
            assert element.name not in ("script", "style")
            assert not any(name.startswith("on") for name in element.attrs), element.name
            if not element.find_parent(class_="katex"):
                assert "style" not in element.attrs, element.name


def test_pages_may_link_to_a_drill(site: Path) -> None:
    assert only(parsed(site / "index.html"), "article a[href*=drill-]")["href"] == (
        "n1_first.html#drill-beta"
    )


@pytest.mark.parametrize(
    ("kept", "missing"), [((0,), "drill"), ((0, 2), "drill"), ((0, 1), "grade")]
)
def test_a_missing_cell_fails_the_build(
    tmp_path: Path, kept: tuple[int, ...], missing: str
) -> None:
    root = tmp_path / "book"
    write_site(root)
    three = cells(content("alpha"))
    write_chapter(root, "n1_first", [three[k] for k in kept])
    with pytest.raises(
        ExtensionError, match=rf"n1_first: .* the drill alpha .* tagged {missing} is missing"
    ):
        build(root)


def test_an_output_of_another_version_fails_the_build(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    old = content("alpha")
    del old["hints"]
    write_chapter(root, "n1_first", cells(old))
    with pytest.raises(ExtensionError, match="n1_first: a drill's output has no hints"):
        build(root)


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="the drill f has the level 'hard', not one of screening"):
        read(content("f", "hard"))


@pytest.mark.parametrize(
    ("task", "first"),
    [
        ("Do it. Then that.", "Do it."),
        ("Which `a.b` is it? That.", "Which `a.b` is it?"),
        ("Call `f(x). y` with 0.5 of it. Then that.", "Call `f(x). y` with 0.5 of it."),
        ("Do `that`", "Do `that`"),
        ("Do it.\nThen that.", "Do it."),
    ],
)
def test_the_first_sentence(task: str, first: str) -> None:
    assert read(content("f", task=task)).first_sentence == first
    assert isinstance(read(content("f")), DrillSheet)


# --- the list ---


def test_the_list_has_every_drill_though_it_was_read_first(site: Path) -> None:
    page = parsed(site / "a_list.html")
    assert [text(heading) for heading in page.select(".drills h2")] == [
        "Chapter n1_first", "Chapter n2_second",
    ]  # fmt: skip
    assert [
        (entry["data-drill"], entry["data-chapter"], entry["data-level"])
        for entry in page.select(".drills li.drill-entry")
    ] == [
        ("alpha", "n1_first", "senior"),
        ("beta", "n1_first", "core"),
        ("gamma", "n2_second", "screening"),
    ]
    assert [link["href"] for link in page.select(".drill-head > a")] == [
        "n1_first.html#drill-alpha", "n1_first.html#drill-beta", "n2_second.html#drill-gamma",
    ]  # fmt: skip
    entry = only(page, "[data-drill=beta]")
    assert [text(part) for part in entry.select(".drill-level, .drill-head + p")] == [
        "core", "Write beta of a.b.",
    ]  # fmt: skip


def test_its_tools_wait_for_the_script(site: Path) -> None:
    page = parsed(site / "a_list.html")
    tools = only(page, ".drills > .drills-tools")
    assert tools.has_attr("hidden")
    assert {
        text(label.span): [option["value"] for option in label.select("option")]
        for label in tools.select("label")
    } == {
        "Chapter": ["", "n1_first", "n2_second"],
        "Level": ["", "screening", "core", "senior"],
        "State": ["", "untouched", "tried", "solved"],
    }


def test_its_script_is_on_its_page_alone(site: Path) -> None:
    having = [
        path.name for path in site.glob("*.html") if parsed(path).select("script[src*='drills.js']")
    ]
    assert having == ["a_list.html"]


def test_the_list_follows_an_edit_of_a_chapter(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    listed = build(root).site / "a_list.html"
    write_chapter(root, "n2_second", cells(content("delta")), cells(content("epsilon")))
    built = build(root)
    assert "0 added, 1 changed" in built.status
    names = [entry["data-drill"] for entry in parsed(listed).select(".drill-entry")]
    assert names == ["alpha", "beta", "delta", "epsilon"]

    (root / "n1_first.ipynb").unlink()
    (root / "index.md").write_text("# Small\n\n```{toctree}\na_list\nn2_second\n```\n")
    build(root)
    names = [entry["data-drill"] for entry in parsed(listed).select(".drill-entry")]
    assert names == ["delta", "epsilon"]


def test_readers_side_by_side_make_the_same_list(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    for number in range(8):  # Sphinx reads few pages one after another
        (root / f"x{number}.md").write_text(f"---\norphan: true\n---\n\n# Page {number}\n")
    built = build(root, parallel=2)
    one, other = (only(parsed(folder / "a_list.html"), ".drills") for folder in (site, built.site))
    assert str(one) == str(other)


def test_two_drills_of_one_name_fail_the_build(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    write_chapter(root, "n2_second", cells(content("beta")))
    with pytest.raises(
        ExtensionError, match="the drill beta is shown in n1_first and again in n2_second"
    ):
        build(root)


def test_other_formats_show_the_text(tmp_path: Path) -> None:
    root = tmp_path / "book"
    write_site(root)
    folder = build(root, builder="text").site
    shown = (folder / "n1_first.txt").read_text(encoding="utf-8")
    for words in ("def alpha(a, b):", "First ", "return a + b", "What of "):
        assert words in shown
    assert "grade(" not in shown
    assert "gamma" in (folder / "a_list.txt").read_text(encoding="utf-8")


# --- in a browser ---


@pytest.fixture
def page(site: Path, new_page: NewPage) -> Iterator[Page]:
    with serve(site) as address:
        page = new_page()
        watch = Watch(address)
        watch.attach(page)
        page.goto(f"{address}n1_first.html")
        page.wait_for_load_state("networkidle")
        yield page
        watch.check()


def test_a_hint_shows_when_the_one_before_was_opened(page: Page) -> None:
    first, second, third = page.locator("#drill-alpha .drill-hint").all()
    expect(first).to_be_visible()
    expect(second).to_be_hidden()
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(second).to_be_visible()
    expect(third).to_be_hidden()
    page.keyboard.press("Tab")
    expect(second.locator("summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(third).to_be_visible()
    first.locator("summary").click()
    expect(second).to_be_visible()


def test_the_follow_up_waits_for_a_pass(page: Page) -> None:
    follow_up = page.locator("#drill-alpha .drill-follow-up")
    expect(follow_up).to_be_hidden()
    follow_up.evaluate("(node) => { node.hidden = false; }")
    expect(follow_up).to_be_visible()


def test_paper_shows_all_of_a_drill(page: Page) -> None:
    page.emulate_media(media="print")
    for part in page.locator("#drill-alpha details > :not(summary)").all():
        assert part.evaluate("node => node.checkVisibility({contentVisibilityAuto: true})")


def test_without_scripts_a_drill_and_the_list_read_well(site: Path, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    with serve(site) as address:
        page.goto(f"{address}n1_first.html")
        drill = page.locator("#drill-alpha")
        for part in (".drill-task", ".drill-code", ".drill-follow-up", ".drill-solution > summary"):
            expect(drill.locator(part)).to_be_visible()
        expect(drill.locator(".drill-solution pre")).to_be_hidden()
        page.goto(f"{address}a_list.html")
        expect(page.locator(".drill-entry")).to_have_count(3)
        expect(page.locator("[data-drill=gamma] p").nth(1)).to_be_visible()
        expect(page.locator(".drills-tools")).to_be_hidden()
