"""A bank as Markdown that any reader of Markdown shows, and as plain text."""

from __future__ import annotations

from collections.abc import Iterator

from booksite.questions.bank import Bank, Choice, Question


def markdown(bank: Bank) -> str:
    """Return the whole bank as Markdown with ``<details>``.

    Headings begin at the third level: the second is the notebook's own *Questions*.
    """
    parts: list[str] = []
    for section, questions in bank.sections().items():
        parts.append(f"### {section}")
        for question in questions:
            parts += _question(question)
    return "\n\n".join(parts) + "\n"


def plain(bank: Bank) -> str:
    """Return the questions alone, numbered."""
    lines: list[str] = []
    number = 0
    for section, questions in bank.sections().items():
        lines += ["", section] if lines else [section]
        for question in questions:
            number += 1
            text = " ".join(question.question.split())
            lines.append(f"{number:3}. {text} [{label(question)}]")
    return "\n".join(lines)


def label(question: Question) -> str:
    """Return level, kind and star in words."""
    words = [question.level, question.kind]
    return ", ".join([*words, "★ asked often"] if question.starred else words)


def _question(question: Question) -> Iterator[str]:
    yield f"#### {_one_line(question.question)}"
    yield f"*{label(question)}*"
    if question.choices:
        yield from _choices(question.choices)
    yield from _details("Answer", _answer(question))


def _choices(choices: tuple[Choice, ...]) -> Iterator[str]:
    yield "\n".join(
        f"{number}. {_one_line(choice.text)}" for number, choice in enumerate(choices, start=1)
    )
    reasons = []
    for number, choice in enumerate(choices, start=1):
        reasons.append(f"**{number}. {choice.verdict}** {choice.reason}".rstrip())
    yield from _details("Which one?", reasons)


def _answer(question: Question) -> Iterator[str]:
    yield question.answer
    yield from _details("In full", [question.full])
    if question.trap:
        yield from _details("Trap", [question.trap])
    for follow_up in question.follow_ups:
        yield f"**Follow-up.** {_one_line(follow_up.question)}"
        yield from _details("Answer", [follow_up.answer])
    if question.sources:
        yield f"*Sources:* {'; '.join(question.sources)}"


def _details(summary: str, parts: Iterator[str] | list[str]) -> Iterator[str]:
    # The blank lines that join the parts make Markdown of what stands inside.
    yield f"<details>\n<summary>{summary}</summary>"
    yield from parts
    yield "</details>"


def _one_line(text: str) -> str:
    return " ".join(text.split())
