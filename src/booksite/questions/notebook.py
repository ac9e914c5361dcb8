"""What a notebook displays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from booksite.questions.bank import FOLDER, Bank
from booksite.questions.portable import markdown, plain
from booksite.questions.reading import read

#: Names the bank, and nothing else: the site renders from its file.
MIME: Final = "application/vnd.questionbank+json"


class QuestionSheet:
    """The questions of a chapter, as a cell displays them.

    Parameters
    ----------
    bank : Bank
        The questions.
    """

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def __repr__(self) -> str:
        return plain(self.bank)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            MIME: {"bank": self.bank.name},
            "text/markdown": markdown(self.bank),
            "text/plain": plain(self.bank),
        }


def questions(name: str) -> QuestionSheet:
    """Return the questions of a chapter, ready to display.

    Parameters
    ----------
    name : str
        Such as ``"01_optimizers"``, for ``book/questions/01_optimizers.yml``.

    Raises
    ------
    FileNotFoundError
        If there is no such bank; the message names those there are.
    BankError
        If something is wrong with its file; the message says on which line.
    """
    known: set[str] = set()
    for folder in _folders():
        path = folder / f"{name}.yml"
        if path.is_file():
            return QuestionSheet(read(path))
        known.update(other.stem for other in folder.glob("*.yml"))
    there = ", ".join(sorted(known)) or "none"
    raise FileNotFoundError(f"there is no question bank {name!r} in {FOLDER}/ (there are: {there})")


def _folders() -> Iterator[Path]:
    """Yield where banks may be: in the repository around the notebook, then around this file."""
    here = Path.cwd()
    for root in (here, *here.parents, *Path(__file__).resolve().parents):
        if (root / FOLDER).is_dir():
            yield root / FOLDER
