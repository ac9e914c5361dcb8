"""What a question bank may hold; and that every mistake is named with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.banks import GOOD, write

from booksite import katex
from booksite.questions.bank import chapter_word
from booksite.questions.formulas import Formula, UnbalancedError, formulas
from booksite.questions.reading import BankError, read, read_all

EXTRA = "        reason: No.\n      - text: Or.\n"


def problems(root: Path) -> list[str]:
    def check(formula: Formula) -> None:
        katex.render(formula.latex, display=formula.display)

    with pytest.raises(BankError) as caught:
        read_all(root, check_formula=check)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return str(caught.value).split("\n")


def test_a_good_bank(tmp_path: Path) -> None:
    bank = read(write(tmp_path, GOOD))
    first, second = bank.questions
    assert bank.name == "01_small"
    assert bank.sections() == {"Section": [first, second]}
    assert (first.id, first.anchor, first.line) == ("small-first", "q-small-first", 3)
    assert (first.level, first.kind, first.starred) == ("core", "explain", True)
    assert first.full.startswith("A derivation.\n\n$$\nx = \\frac{y}{1}\n$$")
    assert [(f.question, f.answer) for f in first.follow_ups] == [("And then?", "Then $z$.")]
    assert [(c.text, c.right, c.reason, c.verdict) for c in first.choices] == [
        ("This.", True, "", "Right."),
        ("That.", False, "It is not.", "Not so."),
    ]
    assert (first.checks, first.sources) == (("test_small",), ("A paper 2020",))
    assert (second.trap, second.follow_ups, second.choices, second.checks) == ("", (), (), ())
    assert read_all(tmp_path) == {"01_small": bank}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("schema: 1", "schema: 2", 1, "schema is 2: only 1 can be read"),
        ("schema: 1\n", "", 1, "this entry has no schema: add `schema:`"),
        ("    answer: It is", "    answerr: It is", 9, "unknown key answerr (did you mean answer"),
        ("    answer: It is $y$. Yes.\n", "", 3, "small-first has no answer: add `answer:`"),
        ("    full: No more.\n", "", 27, "small-second has no full: add `full:`"),
        ("answer: It is $y$. Yes.", "answer:", 9, "answer is None, no text: put it in quotes"),
        ("answer: It is $y$. Yes.", "answer: 3", 9, "answer is 3, no text: put it in quotes"),
        ("answer: It is $y$. Yes.", "answer: ''", 9, "answer is empty: write it"),
        ("id: small-first", "id: large-first", 3, "'large-first' must begin with small-"),
        ("id: small-first", "id: small-First", 3, "'small-First' must begin with small-"),
        ("id: small-first", "id: smallfirst", 3, "'smallfirst' must begin with small-"),
        ("level: core", "level: hard", 4, "level is 'hard': choose one of screening, core, senior"),
        ("kind: explain", "kind: tell", 5, "kind is 'tell': choose one of explain, compute"),
        ("starred: true", "starred: often", 6, "starred is 'often': write true or false"),
        ("    trap: Often said otherwise.\n", "", 6, "small-first is starred: give it a trap and"),
        (
            "    follow_ups:\n      - question: And then?\n        answer: Then $z$.\n",
            "",
            6,
            "small-first is starred: give it a trap and at least one follow-up",
        ),
        ("        answer: Then $z$.\n", "", 18, "this entry has no answer"),
        ("What is $x$?", '"One.\\n\\nTwo."', 8, "question has several paragraphs"),
        ("It is $y$. Yes.", "It is $y. Yes.", 9, "answer: math begins here with $ and does not"),
        ("$$\n    trap", "end\n    trap", 13, "full: math begins here with $$ and does not end"),
        (r"\$5", "$5", 33, "answer: math begins here with $ and does not end: close it, or write"),
        (r"\frac{y}{1}", r"\frac{y}", 13, "full: KaTeX parse error"),
        (r"$z$", r"$\nosuch$", 19, r"Undefined control sequence: \nosuch"),
        ("[test_small]", "[test_smal]", 25, "no test test_smal in tests/questions/test_01"),
        ("[test_small]", "[helper]", 25, "no test helper in"),
        ("[test_small]", "test_small", 25, "checks is no list: put `- ` before each item"),
        ("        reason: It is not.\n", "", 23, "a wrong choice needs a reason"),
        ("        right: true\n", "        reason: So.\n", 20, "exactly one of the choices"),
        ("right: true", "right: yess", 22, "write `right: true`, or leave the key out"),
        ("- text: That.\n        reason: It is not.", "- That.", 23, "item of choices has no keys"),
        ("      - text: That.\n        reason: It is not.\n", "", 20, "there are 1 choices: give"),
        ("      - text: That.\n", "      - text: That.\n" + 4 * EXTRA, 20, "there are 6 choices"),
        ("small-second", "small-first", 27, "is the id of 01_small.yml, line 3: choose"),
        ("    kind: explain", "    level: core", 5, "level stands here twice: keep one of them"),
        ("kind: explain", "kind: [explain", 6, "this is no YAML"),
        ("    kind: explain", "    3: explain", 5, "the key 3 is no word"),
        (GOOD, "- one\n- two\n", 1, "begin with `schema: 1`, then `questions:`"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert GOOD.count(old) >= 1
    write(tmp_path, GOOD.replace(old, new, 1))
    found = problems(tmp_path)
    where = f"book/questions/01_small.yml:{line}: "
    assert any(text.startswith(where) and message in text for text in found), found


def test_all_mistakes_are_named_at_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("level: core", "level: hard").replace("full: No", "ful: No"))
    write(tmp_path, GOOD.replace("small", "other").replace("kind: explain", "kind: x"), "02_other")
    lines = [text.partition(": ")[0] for text in problems(tmp_path)]
    assert lines == [
        "book/questions/01_small.yml:4",
        "book/questions/01_small.yml:27",
        "book/questions/01_small.yml:34",
        "book/questions/02_other.yml:5",
        "book/questions/02_other.yml:25",
    ]


def test_an_id_is_unique_over_all_files(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, GOOD, "02_small")
    first, second = problems(tmp_path)
    assert first == (
        "book/questions/02_small.yml:3: small-first is the id of 01_small.yml, line 3: "
        "choose another"
    )
    assert second.startswith("book/questions/02_small.yml:27: ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"01_none\.yml:1: there is no such file"):
        read(tmp_path / "01_none.yml")


def test_the_word_of_a_chapter() -> None:
    assert chapter_word("05_receptive_field") == "receptive-field"
    assert chapter_word("01_optimizers") == "optimizers"


def test_formulas_are_found() -> None:
    text = "a $x$ b\n\n$$\ny\n$$\n\n`$no` and ``$`no`` \\$4\n\n```\n$no\n```\n\n$z_1$, $w$"
    assert formulas(text) == [
        Formula("x", False, 0),
        Formula("\ny\n", True, 2),
        Formula("z_1", False, 12),
        Formula("w", False, 12),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\n$a", 1),
        ("$a\n\nb$", 0),
        ("$$a$", 0),
        ("$a$$", 0),
        ("$a$\n$b$ $", 1),
        ("$$\n\na$$", 0),
    ],
)
def test_unbalanced_math(text: str, line: int) -> None:
    with pytest.raises(UnbalancedError) as caught:
        formulas(text)
    assert caught.value.line == line
