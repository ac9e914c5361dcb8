"""What a notebook displays: complete Markdown, plain text, and the name of the bank."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt
from support.banks import GOOD, write

from booksite.questions import MIME, questions
from booksite.questions.reading import BankError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in whose notebooks/ the kernel runs."""
    write(tmp_path, GOOD)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def test_the_bundle_has_three_forms(repository: Path) -> None:
    bundle = questions("01_small")._repr_mimebundle_()
    assert set(bundle) == {MIME, "text/markdown", "text/plain"}
    assert MIME == "application/vnd.questionbank+json"
    assert bundle[MIME] == {"bank": "01_small"}
    assert bundle["text/plain"] == repr(questions("01_small"))
    assert bundle["text/plain"].split("\n") == [
        "Section",
        "  1. What is $x$? [core, explain, ★ asked often]",
        "  2. A second? [screening, compute]",
    ]


def test_the_markdown_holds_everything_in_its_place(repository: Path) -> None:
    text = questions("01_small")._repr_mimebundle_()["text/markdown"]
    page = BeautifulSoup(MarkdownIt().render(text), "html.parser")
    assert [(h.name, h.get_text()) for h in page.select("h3, h4")] == [
        ("h3", "Section"),
        ("h4", "What is $x$?"),
        ("h4", "A second?"),
    ]
    assert [em.get_text() for em in page.select("p > em:only-child")][:2] == [
        "core, explain, ★ asked often",
        "Sources:",
    ]
    assert [item.get_text() for item in page.select("ol > li")] == ["This.", "That."]
    blocks = {path(block): words(block) for block in page.select("details")}
    assert blocks == {
        "Which one?": "1. Right. 2. Not so. It is not.",
        "Answer": "Yes. It costs $5.",  # of the second, which stands last
        "Answer > In full": "No more.",
        "Answer > Trap": "Often said otherwise.",
        "Answer > Answer": "Then $z$.",
    }
    answers = page.select("details")[1]
    assert words(answers) == "It is $y$. Yes. Follow-up. And then? Sources: A paper 2020"
    assert "$$\nx = \\frac{y}{1}\n$$" in text


def path(block: Tag) -> str:
    """Return the summaries of a block and of those around it."""
    around = [*reversed(block.find_parents("details")), block]
    return " > ".join(str(one.summary.get_text()) for one in around if one.summary)


def words(block: Tag) -> str:
    """Return what a block says itself, without its summary and the blocks in it."""
    parts = [child.get_text() for child in block.find_all(recursive=False)
             if child.name not in ("details", "summary")]  # fmt: skip
    return " ".join(" ".join(parts).split())


def test_a_missing_bank_names_those_there_are(repository: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no question bank '02_small' .*01_small"):
        questions("02_small")


def test_a_broken_bank_is_refused_with_its_line(repository: Path) -> None:
    write(repository, GOOD.replace("level: core", "level: hard"))
    with pytest.raises(BankError, match=r"book/questions/01_small\.yml:4: level is 'hard'"):
        questions("01_small")


def test_away_from_a_repository_the_one_of_the_package_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Adam" in repr(questions("01_optimizers"))


def test_a_kernel_needs_neither_sphinx_nor_katex() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['sphinx', 'docutils', 'quickjs', 'torch']))\n"
        "from booksite.questions import questions; questions('01_optimizers')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
