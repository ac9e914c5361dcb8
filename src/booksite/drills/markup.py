"""A drill as HTML, and the list of all drills: native controls, no script, no inline style.

Other tools rely on the shape of a drill: ``<div class="drill" id data-drill data-chapter
data-level data-state="idle">`` holds the task, each hint as ``<details class="drill-hint">``,
``<div class="drill-code">`` with what the reader fills in, ``<div class="drill-follow-up"
hidden>``, which a page script shows after a pass, and ``<details class="drill-solution">``. In the
list, ``<li class="drill-entry" data-drill data-chapter data-level>`` is a drill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from docutils import nodes

from booksite.drills.sheet import LEVELS, DrillSheet
from booksite.drills.store import Stored
from booksite.questions.markup import Parse, Tag, element


def drill(sheet: DrillSheet, chapter: str, parse: Parse) -> Tag:
    """Return a drill, with no code in it yet.

    Parameters
    ----------
    sheet : DrillSheet
        What it shows.
    chapter : str
        The chapter's file without ending, such as ``"08_detection"``.
    parse : callable
        Makes nodes of Markdown.
    """
    hints = [
        _details("drill-hint", f"Hint {number}", parse(hint, False))
        for number, hint in enumerate(sheet.hints, start=1)
    ]
    made = element(
        "div",
        *_head(sheet),
        element("div", *parse(sheet.task, False), class_="drill-task"),
        *hints,
        element("div", class_="drill-code"),
        element(
            "div",
            element("p", element("strong", "Asked next: "), *parse(sheet.question, True)),
            _details("drill-answer", "Answer", parse(sheet.answer, False)),
            class_="drill-follow-up",
            hidden=True,
        ),
        _details("drill-solution", "Solution", parse(sheet.solution, False)),
        id=sheet.anchor,
        class_="drill",
        data_drill=sheet.name,
        data_chapter=chapter,
        data_level=sheet.level,
        data_state="idle",
    )
    made["names"] = [sheet.anchor]
    return made


def _head(sheet: DrillSheet) -> Iterator[Tag]:
    link = element(
        "a", "#", class_="headerlink", href=f"#{sheet.anchor}",
        title="Link to this drill", aria_label="Link to this drill",
    )  # fmt: skip
    yield element("h4", _code(sheet.name), link)
    level = element("span", sheet.level, class_="drill-level")
    yield element("p", level, " ", _code(sheet.signature), class_="drill-labels")


def _details(kind: str, summary: str, inside: Sequence[nodes.Node]) -> Tag:
    return element("details", element("summary", summary), *inside, class_=kind)


def _code(text: str) -> nodes.literal:
    return nodes.literal(text, text)


class Chapter(NamedTuple):
    """The drills of a page.

    Attributes
    ----------
    name : str
        The page's file without ending.
    title : str
        Its title.
    address : str
        Where it is, seen from the list.
    drills : sequence of Stored
        In the order of the page.
    """

    name: str
    title: str
    address: str
    drills: Sequence[Stored]


def listing(chapters: Sequence[Chapter]) -> Tag:
    """Return all drills, chapter by chapter, behind controls that the page's script shows."""
    return element("section", _tools(chapters), *map(_chapter, chapters), class_="drills")


def _chapter(chapter: Chapter) -> Tag:
    entries = [_entry(chapter, stored) for stored in chapter.drills]
    return element(
        "div",
        element("h2", _link(chapter.address, nodes.Text(chapter.title))),
        element("ul", *entries, class_="drill-entries"),
        class_="drills-chapter",
    )


def _entry(chapter: Chapter, stored: Stored) -> Tag:
    head = element(
        "p",
        _link(f"{chapter.address}#{stored.sheet.anchor}", _code(stored.sheet.name)),
        element("span", stored.sheet.level, class_="drill-level"),
        element("span", class_="drill-state"),
        class_="drill-head",
    )
    return element(
        "li",
        head,
        element("p", *(node.deepcopy() for node in stored.sentence)),
        class_="drill-entry",
        data_drill=stored.sheet.name,
        data_chapter=chapter.name,
        data_level=stored.sheet.level,
    )


def _link(address: str, *inside: nodes.Node) -> nodes.reference:
    return nodes.reference("", "", *inside, refuri=address, internal=True)


def _tools(chapters: Sequence[Chapter]) -> Tag:
    titles = {chapter.name: chapter.title for chapter in chapters}
    states = {word: word for word in ("untouched", "tried", "solved")}
    return element(
        "div",
        element("p", class_="drills-next"),
        element("p", class_="drills-count"),
        element(
            "div",
            _select("Chapter", "chapter", titles),
            _select("Level", "level", {level: level for level in LEVELS}),
            _select("State", "state", states),
            class_="drills-filter",
        ),
        element(
            "div",
            element("button", "Export", type="button", data_action="export"),
            element("button", "Import", type="button", data_action="import"),
            element(
                "input",
                type="file",
                accept=".json,application/json",
                hidden=True,
                aria_label="File of drills to import",
            ),
            element("span", "Your code and what is solved, as a file", class_="drills-note"),
            class_="drills-keep",
        ),
        element("p", class_="drills-said", role="status"),
        class_="drills-tools",
        hidden=True,
    )


def _select(label: str, name: str, choices: dict[str, str]) -> Tag:
    options = [
        element("option", words, value=value) for value, words in {"": "all", **choices}.items()
    ]
    return element("label", element("span", label), element("select", *options, name=name))
