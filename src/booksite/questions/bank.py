"""What a question bank holds, and where its files and the tests of its numbers are.

A bank is ``book/questions/NN_chapter.yml``; :mod:`booksite.questions.reading` checks it::

    schema: 1
    questions:
      - id: optimizers-adam-bias  # begins with the chapter's word; never renamed
        level: core               # screening, core, senior
        kind: explain             # explain, compute, program, diagnose
        starred: true             # asked often; needs trap and follow_ups
        section: Adam
        question: One paragraph.
        answer: Two to four sentences, as one says them.
        full: The derivation or the number.
        trap: What is often said, and what is right.
        follow_ups:
          - question: ...
            answer: ...
        choices:                  # a self-test: one is right, each wrong one has its reason
          - text: ...
            reason: ...
          - text: ...
            right: true
        checks: [test_of_its_numbers]  # in tests/questions/test_NN_chapter.py
        sources: ["Kingma & Ba 2015"]

Texts are Markdown with ``$…$`` and ``$$…$$``. Optional are ``trap`` and ``follow_ups`` without a
star, ``choices``, ``checks`` and ``sources``.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = "book/questions"
TESTS: Final = "tests/questions"
LEVELS: Final = ("screening", "core", "senior")
KINDS: Final = ("explain", "compute", "program", "diagnose")
#: The style sheet has a rule for each of so many.
MOST_CHOICES: Final = 5


@dataclass(frozen=True)
class FollowUp:
    """What an interviewer asks next, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Choice:
    """One answer of a self-test, whether it is right, and why (never empty for a wrong one)."""

    text: str
    right: bool
    reason: str

    @property
    def verdict(self) -> str:
        """The word before the reason."""
        return "Right." if self.right else "Not so."


@dataclass(frozen=True)
class Question:
    """One entry of a bank; ``line`` is where it begins in the file. All texts are Markdown."""

    id: str
    level: str
    kind: str
    starred: bool
    section: str
    question: str
    answer: str
    full: str
    trap: str
    follow_ups: tuple[FollowUp, ...]
    choices: tuple[Choice, ...]
    checks: tuple[str, ...]
    sources: tuple[str, ...]
    line: int

    @property
    def anchor(self) -> str:
        """The ``id`` of the question on its page."""
        return f"q-{self.id}"


@dataclass(frozen=True)
class Bank:
    """The questions of one chapter, by the name of its file without ending."""

    name: str
    questions: tuple[Question, ...]

    def sections(self) -> dict[str, list[Question]]:
        """Return the questions of each section, in the order in which the file has them."""
        found: dict[str, list[Question]] = {}
        for question in self.questions:
            found.setdefault(question.section, []).append(question)
        return found


def chapter_word(name: str) -> str:
    """Return how the ids of a bank begin: ``receptive-field`` for ``05_receptive_field``."""
    return re.sub(r"^\d+_", "", name).replace("_", "-")


def names_of_tests(name: str, root: Path) -> frozenset[str]:
    """Return the names of the tests that check the numbers of a bank.

    Parameters
    ----------
    name : str
        The bank, such as ``01_optimizers``.
    root : Path
        The folder of the repository.
    """
    path = root / TESTS / f"test_{name}.py"
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(function for function in functions if function.startswith("test_"))
