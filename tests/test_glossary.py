"""One page defines the terms of art, and the chapters link to it."""

from __future__ import annotations

import re
from collections import Counter

from support.book import ROOT, notebooks

GLOSSARY = (ROOT / "book/glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^## (.+)$", GLOSSARY, re.MULTILINE)
LINKS = Counter(
    link
    for path in notebooks()
    for link in re.findall(r"glossary\.md#([\w-]+)\)", path.read_text(encoding="utf-8"))
)


def _anchor(term: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def test_terms_stand_in_order_and_once() -> None:
    assert [term.lower() for term in TERMS] == sorted({term.lower() for term in TERMS})


def test_every_term_names_its_chapter() -> None:
    for term, text in re.findall(
        r"^## (.*?)\n(.*?)(?=^## |\Z)", GLOSSARY, re.MULTILINE | re.DOTALL
    ):
        chapters = re.findall(r"\]\(\.\./(notebooks/\w+\.ipynb)\)", text)
        assert chapters, term
        assert all((ROOT / chapter).exists() for chapter in chapters), term


def test_chapters_link_to_every_term_and_to_no_other() -> None:
    assert set(LINKS) == {_anchor(term) for term in TERMS}


def test_each_chapter_links_to_several_terms() -> None:
    for path in notebooks():
        assert path.read_text(encoding="utf-8").count("glossary.md#") >= 4, path.name
