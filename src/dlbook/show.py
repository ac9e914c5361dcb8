"""Show the source of a function in a notebook, so that a page has no second copy of it."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any


class Source:
    """Python source that a notebook displays as a fenced Markdown block.

    Parameters
    ----------
    text : str
        The source.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        longest = max((len(run) for run in re.findall("`+", self.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}python\n{self.text}\n{fence}"


def source(function: Callable[..., Any], *, docstring: bool = False) -> Source:
    """Return the source of a function or class, ready to display.

    Parameters
    ----------
    function : callable
        A function or class that is defined in a file.
    docstring : bool, default: False
        Whether to keep its whole docstring; without, its first line stays.

    Returns
    -------
    Source
        Displays as Markdown in a notebook, and prints as plain text.

    Raises
    ------
    TypeError
        If there is no Python source, as for built-in functions.
    """
    try:
        text = textwrap.dedent(inspect.getsource(function)).rstrip()
    except (OSError, TypeError) as error:
        raise TypeError(f"there is no Python source of {function!r}") from error
    return Source(text if docstring else _summarized(text))


def _summarized(text: str) -> str:
    """Cut the docstring of the outermost definition down to its first line."""
    definition = ast.parse(text).body[0]
    if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return text  # a lambda, within the statement that holds it
    summary = (ast.get_docstring(definition) or "").partition("\n")[0]
    if not summary:
        return text
    written = definition.body[0]
    lines = text.splitlines()
    first, last = written.lineno - 1, (written.end_lineno or written.lineno) - 1
    indent = " " * written.col_offset
    lines[first : last + 1] = [f'{indent}"""{summary}"""']
    return "\n".join(lines)
