"""Read question banks, and say of every mistake where it is and what to do about it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from booksite.questions.bank import (
    FOLDER,
    KINDS,
    LEVELS,
    MOST_CHOICES,
    TESTS,
    Bank,
    Choice,
    FollowUp,
    Question,
    chapter_word,
    names_of_tests,
)
from booksite.questions.formulas import Formula, UnbalancedError, formulas
from booksite.questions.located import Fields, Items, LocatedError, Text, load

SCHEMA: Final = 1

_TOP: Final = ("schema", "questions")
_REQUIRED: Final = (
    "id", "level", "kind", "starred", "section", "question", "answer", "full",
)  # fmt: skip
_OPTIONAL: Final = ("trap", "follow_ups", "choices", "checks", "sources")
_ID: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Problem(NamedTuple):
    """One mistake in a bank."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{FOLDER}/{self.file}:{self.line}: {self.text}"


class BankError(ValueError):
    """All mistakes of one or more banks, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


def read(
    path: Path,
    *,
    tests: Collection[str] | None = None,
    check_formula: Callable[[Formula], object] | None = None,
) -> Bank:
    """Return one bank.

    Parameters
    ----------
    path : Path
        Its file.
    tests : collection of str, optional
        The names that ``checks`` may hold; any, if not given.
    check_formula : callable, optional
        Raises ValueError for a formula that cannot be rendered.

    Raises
    ------
    BankError
        If anything is wrong with the file.
    """
    reader = _Reader(path, tests, check_formula)
    questions = reader.questions()
    if reader.problems:
        raise BankError(reader.problems)
    return Bank(path.stem, tuple(questions))


def read_all(
    root: Path, *, check_formula: Callable[[Formula], object] | None = None
) -> dict[str, Bank]:
    """Return all banks of a repository by name, after checking them and their tests' names.

    Raises
    ------
    BankError
        If anything is wrong with any of them, or two questions have one id.
    """
    banks: dict[str, Bank] = {}
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for path in sorted((root / FOLDER).glob("*.yml")):
        reader = _Reader(path, names_of_tests(path.stem, root), check_formula)
        questions = reader.questions()
        for question in questions:
            if question.id in seen:
                other = seen[question.id]
                reader.note(question.line, f"{question.id} is the id of {other}: choose another")
            elif question.id:
                seen[question.id] = f"{path.name}, line {question.line}"
        problems += reader.problems
        banks[path.stem] = Bank(path.stem, tuple(questions))
    if problems:
        raise BankError(problems)
    return banks


class _Reader:
    """Turns one file into questions and notes what is wrong on the way."""

    def __init__(
        self,
        path: Path,
        tests: Collection[str] | None,
        check_formula: Callable[[Formula], object] | None,
    ) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._tests = tests
        self._check_formula = check_formula

    def note(self, line: int, text: str) -> None:
        """Note a mistake."""
        self.problems.append(Problem(self.path.name, line, text))

    def questions(self) -> list[Question]:
        """Return the entries of the file; what is wrong with them is in ``problems``."""
        try:
            data = load(self.path.read_text(encoding="utf-8"))
        except OSError:
            self.note(1, f"there is no such file in {FOLDER}/")
            return []
        except LocatedError as error:
            self.note(error.line, str(error))
            return []
        if not isinstance(data, Fields):
            self.note(1, "begin with `schema: 1`, then `questions:` and their list")
            return []
        self._keys(data, _TOP, ())
        if data.get("schema", SCHEMA) != SCHEMA:
            line = data.lines["schema"]
            self.note(line, f"schema is {data['schema']}: only {SCHEMA} can be read")
        return [self._question(entry) for entry in self._entries(data, "questions")]

    def _question(self, entry: Fields) -> Question:
        self._keys(entry, _REQUIRED, _OPTIONAL)
        starred = entry.get("starred", False)
        if not isinstance(starred, bool):
            self.note(entry.lines["starred"], f"starred is {starred!r}: write true or false")
        question = Question(
            id=self._id(entry),
            level=self._one_of(entry, "level", LEVELS),
            kind=self._one_of(entry, "kind", KINDS),
            starred=starred is True,
            section=self._line_of_text(entry, "section"),
            question=self._line_of_text(entry, "question"),
            answer=self._text(entry, "answer"),
            full=self._text(entry, "full"),
            trap=self._text(entry, "trap"),
            follow_ups=tuple(map(self._follow_up, self._entries(entry, "follow_ups"))),
            choices=self._choices(entry),
            checks=self._checks(entry),
            sources=self._sources(entry),
            line=entry.line,
        )
        if question.starred and not (question.trap and question.follow_ups):
            self.note(
                entry.lines["starred"],
                f"{question.id or 'a question'} is starred: give it a trap and at least one "
                "follow-up, or take the star away",
            )
        return question

    def _id(self, entry: Fields) -> str:
        found, word = self._line_of_text(entry, "id"), chapter_word(self.path.stem)
        if found and not (found.startswith(f"{word}-") and _ID.fullmatch(found)):
            self.note(
                entry.lines["id"],
                f"the id {found!r} must begin with {word}- and hold small letters, digits and "
                "single hyphens only",
            )
        return found

    def _follow_up(self, entry: Fields) -> FollowUp:
        self._keys(entry, ("question", "answer"), ())
        return FollowUp(self._line_of_text(entry, "question"), self._text(entry, "answer"))

    def _choices(self, entry: Fields) -> tuple[Choice, ...]:
        choices = tuple(map(self._choice, self._entries(entry, "choices")))
        if "choices" in entry and sum(choice.right for choice in choices) != 1:
            self.note(entry.lines["choices"], "exactly one of the choices must be `right: true`")
        if "choices" in entry and not 2 <= len(choices) <= MOST_CHOICES:
            found = f"there are {len(choices)} choices"
            self.note(entry.lines["choices"], f"{found}: give from 2 to {MOST_CHOICES}")
        return choices

    def _choice(self, entry: Fields) -> Choice:
        self._keys(entry, ("text",), ("right", "reason"))
        choice = Choice(
            self._line_of_text(entry, "text"),
            entry.get("right") is True,
            self._text(entry, "reason"),
        )
        if entry.get("right", True) is not True:
            self.note(entry.lines["right"], "write `right: true`, or leave the key out")
        if not choice.right and not choice.reason and "reason" not in entry:
            self.note(entry.line, "a wrong choice needs a reason: say why it is wrong")
        return choice

    def _checks(self, entry: Fields) -> tuple[str, ...]:
        checks = []
        for line, item in self._items(entry, "checks"):
            name = self._checked(item, line, "an item of checks")
            if name and self._tests is not None and name not in self._tests:
                where = f"{TESTS}/test_{self.path.stem}.py"
                near = _nearest(name, self._tests)
                self.note(line, f"no test {name} in {where}{near}: write it, or correct the name")
            checks.append(name)
        return tuple(checks)

    def _sources(self, entry: Fields) -> tuple[str, ...]:
        items = self._items(entry, "sources")
        return tuple(self._checked(item, line, "an item of sources") for line, item in items)

    def _keys(self, fields: Fields, required: Iterable[str], optional: Iterable[str]) -> None:
        known = (*required, *optional)
        for key in fields:
            if key not in known:
                allowed = ", ".join(known)
                self.note(
                    fields.lines[key],
                    f"unknown key {key}{_nearest(key, known)}: the keys here are {allowed}",
                )
        for key in required:
            if key not in fields:
                name = fields.get("id", "this entry")
                self.note(fields.line, f"{name} has no {key}: add `{key}:`")

    def _one_of(self, fields: Fields, key: str, allowed: tuple[str, ...]) -> str:
        found = self._line_of_text(fields, key)
        if found and found not in allowed:
            self.note(fields.lines[key], f"{key} is {found!r}: choose one of {', '.join(allowed)}")
        return found

    def _line_of_text(self, fields: Fields, key: str) -> str:
        """Return a text of one paragraph: it becomes a heading, a label or a summary."""
        found = self._text(fields, key)
        if "\n\n" in found:
            self.note(fields.lines[key], f"{key} has several paragraphs: it may be only one")
        return found

    def _text(self, fields: Fields, key: str) -> str:
        return self._checked(fields[key], fields.lines[key], key) if key in fields else ""

    def _items(self, fields: Fields, key: str) -> list[tuple[int, Any]]:
        """Return the items of a list, each with its line; none if the key is missing."""
        found = fields.get(key, Items())
        if isinstance(found, Items):
            return found.located()
        self.note(fields.lines[key], f"{key} is no list: put `- ` before each item")
        return []

    def _entries(self, fields: Fields, key: str) -> list[Fields]:
        items = self._items(fields, key)
        for line, item in items:
            if not isinstance(item, Fields):
                self.note(line, f"an item of {key} has no keys: see booksite.questions.bank")
        return [item for _, item in items if isinstance(item, Fields)]

    def _checked(self, value: Any, line: int, what: str) -> str:
        """Return a text without blanks around it, after checking that it is one, and its math."""
        if not isinstance(value, Text):
            self.note(line, f"{what} is {value!r}, no text: put it in quotes, or after `|`")
            return ""
        if not value.strip():
            self.note(line, f"{what} is empty: write it")
        where = line
        try:
            for formula in formulas(value):
                where = value.line + formula.line
                if self._check_formula:
                    self._check_formula(formula)
        except UnbalancedError as error:
            self.note(value.line + error.line, f"{what}: {error}")
        except ValueError as error:
            self.note(where, f"{what}: {error}")
        return str(value).strip()


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
