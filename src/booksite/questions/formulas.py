"""Find the formulas in Markdown, and the one that never ends."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_CODE: Final = re.compile(r"^(`{3,}|~{3,}).*?^\1|(?<!`)(`+)(?!`).*?(?<!`)\2(?!`)", re.DOTALL | re.M)
_TOKEN: Final = re.compile(r"\\.|\$\$|\$|\n[ \t]*\n", re.DOTALL)


class Formula(NamedTuple):
    """One formula, without its dollar signs.

    Attributes
    ----------
    latex : str
        What it says.
    display : bool
        Whether it stands between ``$$``, on a line of its own.
    line : int
        On which line of the text it begins, from 0.
    """

    latex: str
    display: bool
    line: int


class UnbalancedError(ValueError):
    """A dollar sign without a partner, on ``line`` of the text, from 0."""

    def __init__(self, sign: str, line: int) -> None:
        super().__init__(f"math begins here with {sign} and does not end: close it, or write \\$")
        self.line = line


def formulas(text: str) -> list[Formula]:
    r"""Return the formulas of a Markdown text, in order.

    Code is left out, and ``\$`` is a dollar sign.

    Raises
    ------
    UnbalancedError
        If a formula is not closed by the sign that opened it, before the paragraph ends.
    """
    text = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    found = []
    sign, start = "", 0
    for token in _TOKEN.finditer(text):
        if token[0].startswith("\\"):
            continue
        if token[0].startswith("\n"):
            if sign:
                break
        elif not sign:
            sign, start = token[0], token.start()
        elif token[0] == sign:
            latex = text[start + len(sign) : token.start()]
            found.append(Formula(latex, sign == "$$", text.count("\n", 0, start)))
            sign = ""
        else:
            break
    if sign:
        raise UnbalancedError(sign, text.count("\n", 0, start))
    return found
