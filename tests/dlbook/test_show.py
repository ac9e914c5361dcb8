"""``source`` shows code, not a wall of text, and never a copy."""

from __future__ import annotations

import ast
import inspect

import pytest

from dlbook import optimizers, show
from dlbook.optimizers import AdamState, sgd_step
from dlbook.show import Source, source


def undocumented(x: int) -> int:
    return x + 1


def one_line(x: int) -> int:
    """Add one."""
    return x + 1


def fenced(x: int) -> str:
    """Show ```` a fence.

    More.
    """
    return "```" * x


def outer() -> object:
    def inner(x: int) -> int:
        """Add one.

        A second paragraph.
        """
        return x + 1

    return inner


def test_the_default_keeps_signature_summary_and_body() -> None:
    text = source(sgd_step).text
    whole = inspect.getsource(sgd_step).rstrip()
    head, _, body = whole.partition('"""\n    lr, dampening')
    assert text.startswith(head[: head.index('r"""')])
    assert text.endswith("lr, dampening" + body)
    assert "Parameters" not in text
    assert '"""Take one step of gradient descent with momentum' in text
    tree = ast.parse(text).body[0]
    assert isinstance(tree, ast.FunctionDef)
    assert ast.get_docstring(tree) == inspect.getdoc(sgd_step).splitlines()[0]  # type: ignore[union-attr]


def test_the_whole_docstring_on_request() -> None:
    assert source(sgd_step, docstring=True).text == inspect.getsource(sgd_step).rstrip()


@pytest.mark.parametrize(
    "function",
    [
        f
        for _, f in inspect.getmembers(optimizers, inspect.isfunction)
        if f.__module__ == optimizers.__name__
    ],
    ids=lambda f: f.__name__,
)
def test_what_is_cut_is_the_docstring_alone(function: object) -> None:
    shown = ast.parse(source(function).text)  # type: ignore[arg-type]
    whole = ast.parse(inspect.getsource(function))  # type: ignore[arg-type]
    for tree in (shown, whole):
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        if ast.get_docstring(definition):
            del definition.body[0]
    assert ast.dump(shown) == ast.dump(whole)


def test_markdown_is_a_python_fence() -> None:
    markdown = source(one_line)._repr_markdown_()
    assert markdown == (
        '```python\ndef one_line(x: int) -> int:\n    """Add one."""\n    return x + 1\n```'
    )
    assert repr(source(one_line)) == source(one_line).text


def test_a_fence_is_longer_than_any_inside() -> None:
    lines = source(fenced, docstring=True)._repr_markdown_().splitlines()
    assert lines[0] == "`````python"
    assert lines[-1] == "`````"
    assert source(fenced)._repr_markdown_().splitlines()[0] == "`````python"


def test_other_definitions() -> None:
    assert source(undocumented).text == "def undocumented(x: int) -> int:\n    return x + 1"
    inner = source(outer()).text  # type: ignore[arg-type]
    assert inner == 'def inner(x: int) -> int:\n    """Add one."""\n    return x + 1'
    assert source(AdamState).text.splitlines()[0] == "class AdamState(NamedTuple):"
    assert isinstance(source(Source), Source)
    summary = '    """Python source that a notebook displays as a fenced Markdown block."""'
    assert source(show.Source).text.splitlines()[1] == summary


def test_what_has_no_source_is_refused() -> None:
    with pytest.raises(TypeError, match="no Python source of <built-in function len>"):
        source(len)
    namespace: dict[str, object] = {}
    exec("def made(): pass", namespace)
    with pytest.raises(TypeError, match="no Python source of <function made"):
        source(namespace["made"])  # type: ignore[arg-type]
