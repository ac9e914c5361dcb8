"""A small question bank, and a repository that holds it."""

from __future__ import annotations

from pathlib import Path

from booksite.questions.bank import FOLDER, TESTS

#: Its lines are counted by the tests of mistakes.
GOOD = r"""schema: 1
questions:
  - id: small-first
    level: core
    kind: explain
    starred: true
    section: Section
    question: What is $x$?
    answer: It is $y$. Yes.
    full: |
      A derivation.

      $$
      x = \frac{y}{1}
      $$
    trap: Often said otherwise.
    follow_ups:
      - question: And then?
        answer: Then $z$.
    choices:
      - text: This.
        right: true
      - text: That.
        reason: It is not.
    checks: [test_small]
    sources: [A paper 2020]
  - id: small-second
    level: screening
    kind: compute
    starred: false
    section: Section
    question: A second?
    answer: Yes. It costs \$5.
    full: No more.
"""


def write(root: Path, text: str, name: str = "01_small") -> Path:
    """Write a bank and the test of its numbers; return the bank's file."""
    path = root / FOLDER / f"{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    tests = root / TESTS / f"test_{name}.py"
    tests.parent.mkdir(parents=True, exist_ok=True)
    tests.write_text("def test_small() -> None:\n    assert True\n\n\ndef helper() -> None: ...\n")
    return path
