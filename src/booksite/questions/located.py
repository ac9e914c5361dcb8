"""YAML whose values know the line on which they stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import yaml

_BLOCK: Final = ("|", ">")


class Text(str):
    """A string, with the number of its first line in the file."""

    line: int


class Fields(dict[str, Any]):
    """A mapping, with its first line and the line of each key."""

    line: int
    lines: dict[str, int]


class Items(list[Any]):
    """A list, with the first line of each item in ``lines``."""

    def __init__(self, items: Iterable[Any] = (), lines: Iterable[int] = ()) -> None:
        super().__init__(items)
        self.lines = list(lines)

    def located(self) -> list[tuple[int, Any]]:
        """Return the items, each after its line."""
        return list(zip(self.lines, self, strict=True))


class LocatedError(ValueError):
    """What is wrong with a file, and on which line."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


#: libyaml's, ten times as fast, where PyYAML was built with it.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """Makes plain data, as the safe loader does, but with lines."""


def _text(loader: _Loader, node: yaml.ScalarNode) -> Text:
    text = Text(loader.construct_scalar(node))
    # The text of a block begins on the line after its sign.
    text.line = _line(node) + (node.style in _BLOCK)
    return text


def _fields(loader: _Loader, node: yaml.MappingNode) -> Fields:
    fields = Fields()
    fields.line, fields.lines = _line(node), {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise LocatedError(_line(key_node), f"the key {key!r} is no word: put it in quotes")
        if key in fields:
            raise LocatedError(_line(key_node), f"{key} stands here twice: keep one of them")
        fields[str(key)] = loader.construct_object(value_node, deep=True)
        fields.lines[str(key)] = _line(key_node)
    return fields


def _items(loader: _Loader, node: yaml.SequenceNode) -> Items:
    values = [loader.construct_object(item, deep=True) for item in node.value]
    return Items(values, map(_line, node.value))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:map", _fields)
_Loader.add_constructor("tag:yaml.org,2002:seq", _items)


def load(text: str) -> Any:
    """Return the data of a YAML document: :class:`Text`, :class:`Fields`, :class:`Items`.

    Other scalars (numbers, truth values, nothing) are plain Python.

    Raises
    ------
    LocatedError
        If the text is no YAML, or a mapping has a key twice or one that is no string.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise LocatedError(line, f"this is no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise LocatedError(1, f"this is no YAML: {error}") from None
