"""A bank as HTML: native controls, no script, no inline style.

Other tools rely on its shape: ``<section class="questions">`` holds an
``<article class="question" id data-level data-kind>`` a question. Which questions are shown and
which reason appears is decided by radio buttons and the style sheet alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from docutils import nodes

from booksite.questions.bank import LEVELS, Bank, Question

#: Makes nodes of Markdown: of one line of it, or of whole paragraphs.
Parse = Callable[[str, bool], list[nodes.Node]]


class HtmlTag(nodes.General, nodes.Element):
    """An HTML element: its ``tag``, its ``attributes``, and what stands inside."""


class TextTag(nodes.General, nodes.TextElement):
    """An HTML element that holds words: docutils wants links and formulas in such a one."""


#: Either of them.
Tag = HtmlTag | TextTag

_WORDS: Final = ("a", "h2", "h3", "h4", "label", "legend", "li", "p", "span", "strong", "summary")


def element(tag: str, *inside: nodes.Node | str, **attributes: str | bool) -> Tag:
    """Return an HTML element.

    Parameters
    ----------
    tag : str
        Its name.
    *inside : docutils.nodes.Node or str
        What it holds.
    **attributes : str or bool
        A value that is true is an attribute without value, one that is false is none. ``id``
        and ``class_`` are those of HTML, ``_`` stands for a hyphen.
    """
    node: Tag = (TextTag if tag in _WORDS else HtmlTag)(tag=tag)
    node["classes"] = str(attributes.pop("class_", "")).split()
    if "id" in attributes:
        node["ids"] = [str(attributes.pop("id"))]
    node["attributes"] = {
        name.replace("_", "-"): "" if value is True else value
        for name, value in attributes.items()
        if value is not False
    }
    node.extend(nodes.Text(part) if isinstance(part, str) else part for part in inside)
    return node


def visit(translator: Any, node: Tag) -> None:
    """Write the opening tag."""
    translator.body.append(translator.starttag(node, node["tag"], "", **node["attributes"]))


def leave(translator: Any, node: Tag) -> None:
    """Write the closing tag, but for a control, which has none."""
    translator.body.append("" if node["tag"] == "input" else f"</{node['tag']}>\n")


class Sheet:
    """Builds the nodes of a bank.

    Parameters
    ----------
    parse : callable
        Makes nodes of Markdown.
    """

    def __init__(self, parse: Parse) -> None:
        self._parse = parse

    def bank(self, bank: Bank) -> Tag:
        """Return all questions, section by section, after the buttons that filter them."""
        groups = [
            element(
                "div",
                element("h3", *self._line(section)),
                *map(self._question, questions),
                class_="question-group",
            )
            for section, questions in bank.sections().items()
        ]
        return element("section", _filter(bank), *groups, class_="questions")

    def _question(self, question: Question) -> Tag:
        link = element(
            "a", "#", class_="headerlink", href=f"#{question.anchor}",
            title="Link to this question", aria_label="Link to this question",
        )  # fmt: skip
        article = element(
            "article",
            element("h4", *self._line(question.question), link),
            _labels(question),
            *self._choices(question),
            element("details", element("summary", "Answer"), *self._answer(question)),
            id=question.anchor,
            class_="question",
            data_level=question.level,
            data_kind=question.kind,
            data_starred=question.starred,
        )
        article["names"] = [question.anchor]
        return article

    def _answer(self, question: Question) -> Iterator[nodes.Node]:
        yield element("div", *self._text(question.answer), class_="question-answer")
        yield self._details("question-full", ["In full"], question.full)
        if question.trap:
            yield self._details("question-trap", ["Trap"], question.trap)
        for follow_up in question.follow_ups:
            asked = ["Follow-up: ", *self._line(follow_up.question)]
            yield self._details("question-follow-up", asked, follow_up.answer)
        if question.sources:
            items = [element("li", *self._line(source)) for source in question.sources]
            yield element(
                "div", element("p", "Sources"), element("ul", *items), class_="question-sources"
            )

    def _choices(self, question: Question) -> Iterator[nodes.Node]:
        """Yield the self-test: to choose an answer shows its reason."""
        if not question.choices:
            return
        buttons, reasons = [], []
        for number, choice in enumerate(question.choices, start=1):
            button = element("input", type="radio", name=f"choice-{question.id}", value=str(number))
            buttons.append(element("label", button, element("span", *self._line(choice.text))))
            reasons.append(
                element(
                    "div",
                    element("strong", choice.verdict),
                    *self._text(choice.reason),
                    class_="question-reason",
                    data_right=choice.right,
                )
            )
        yield element(
            "fieldset",
            element("legend", "Which one?"),
            *buttons,
            element("div", *reasons, class_="question-reasons", aria_live="polite"),
            class_="question-choices",
        )

    def _details(self, kind: str, summary: Iterable[nodes.Node | str], text: str) -> Tag:
        return element("details", element("summary", *summary), *self._text(text), class_=kind)

    def _line(self, text: str) -> list[nodes.Node]:
        return self._parse(" ".join(text.split()), True)

    def _text(self, text: str) -> list[nodes.Node]:
        return self._parse(text, False)


def _labels(question: Question) -> Tag:
    labels = [element("span", question.level), element("span", question.kind)]
    if question.starred:
        star = element("span", "★ ", aria_hidden="true")
        labels.insert(0, element("span", star, "asked often", class_="question-star"))
    return element("p", *labels, class_="question-labels")


def _filter(bank: Bank) -> Tag:
    """Return one radio button for each kind of question that the bank has."""
    counts = {"all": ("all", len(bank.questions))}
    counts["starred"] = ("★ asked often", sum(q.starred for q in bank.questions))
    for level in LEVELS:
        counts[level] = (level, sum(q.level == level for q in bank.questions))
    labels = [
        element(
            "label",
            element(
                "input", type="radio", name=f"show-{bank.name}", value=value, checked=value == "all"
            ),
            element("span", f"{words} "),
            element("span", str(count), class_="question-count"),
        )
        for value, (words, count) in counts.items()
        if count
    ]
    return element("fieldset", element("legend", "Show"), *labels, class_="question-filter")
