"""The banks of this book: they are whole, and their numbers are tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from booksite import katex
from booksite.questions.bank import FOLDER, TESTS, names_of_tests
from booksite.questions.reading import read_all

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / FOLDER).glob("*.yml"))


def test_banks_and_their_tests_agree() -> None:
    """Each check is a test, which reading demands, and each test is some entry's check."""
    banks = read_all(ROOT, check_formula=lambda f: katex.render(f.latex, display=f.display))
    assert list(banks) == NAMES
    for name, bank in banks.items():
        named = {check for question in bank.questions for check in question.checks}
        assert names_of_tests(name, ROOT) - named == set(), name


def test_every_file_of_tests_has_a_bank() -> None:
    files = (ROOT / TESTS).glob("test_*.py")
    assert sorted(path.stem.removeprefix("test_") for path in files) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_answers_can_be_said(name: str) -> None:
    """From two to four sentences, and no more than one says in about half a minute."""
    for question in read_all(ROOT)[name].questions:
        sentences = re.findall(r"[.?!](?=\s|$)", question.answer)
        assert 2 <= len(sentences) <= 4, question.id
        assert len(question.answer.split()) <= 90, question.id


@pytest.mark.parametrize("name", NAMES)
def test_links_of_sources_are_whole(name: str) -> None:
    for question in read_all(ROOT)[name].questions:
        for source in question.sources:
            (inline,) = MarkdownIt().parseInline(source)
            for token in inline.children or ():
                if token.type == "link_open":
                    assert str(token.attrs["href"]).startswith("https://"), question.id
                assert "](" not in token.content, question.id
