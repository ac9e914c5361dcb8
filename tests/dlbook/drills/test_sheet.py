"""A drill in a notebook: everything there, and nothing given away before a click."""

from __future__ import annotations

import ast
import inspect
import json
import re

import pytest
from markdown_it import MarkdownIt

from dlbook.drills import Drill, all_drills, task
from dlbook.drills.sheet import MIME

every_drill = pytest.mark.parametrize("entry", all_drills(), ids=lambda entry: entry.name)


@every_drill
def test_task_hints_and_solution_in_this_order(entry: Drill) -> None:
    markdown = task(entry.name)._repr_markdown_()
    assert markdown.startswith(f"**`{entry.signature}`** ({entry.level})\n\n{entry.task}\n\n")
    summaries = re.findall("<summary>(.*?)</summary>", markdown)
    hints = [f"Hint {n}" for n in range(1, len(entry.hints) + 1)]
    assert summaries == [*hints, "Solution"]
    assert all(hint in markdown for hint in entry.hints)
    assert markdown.count("<details>") == markdown.count("</details>") == len(summaries)


@every_drill
def test_markdown_inside_a_block_is_markdown(entry: Drill) -> None:
    """An empty line after the summary and before the end makes it so, everywhere."""
    markdown = task(entry.name)._repr_markdown_()
    assert markdown.count("</summary>\n\n") == markdown.count("</summary>")
    assert markdown.count("\n\n</details>") == markdown.count("</details>")
    html = MarkdownIt("commonmark").render(markdown)
    assert html.count("<details>") == len(entry.hints) + 1
    assert html.count('<pre><code class="language-python">') == 1
    assert "`" not in html.replace("``", "")
    assert ":::" not in markdown and "{" not in markdown.partition("<details>")[0]


@every_drill
def test_the_solution_is_the_source_of_the_reference(entry: Drill) -> None:
    markdown = task(entry.name)._repr_markdown_()
    block = re.search(r"```python\n(.*?)\n```\n\n</details>$", markdown, re.DOTALL)
    assert block is not None
    shown, whole = (
        ast.parse(text).body[0] for text in (block[1], inspect.getsource(entry.reference))
    )
    for tree in (shown, whole):
        assert isinstance(tree, ast.FunctionDef)
        del tree.body[0]
    assert ast.dump(shown) == ast.dump(whole)


@every_drill
def test_text_cannot_fold_and_gives_nothing_away(entry: Drill) -> None:
    shown = repr(task(entry.name))
    assert entry.task in shown
    assert entry.signature in shown
    assert not any(hint in shown for hint in entry.hints)
    assert "return np" not in shown


@every_drill
def test_a_site_gets_the_parts_one_by_one(entry: Drill) -> None:
    sheet = task(entry.name)
    bundle = sheet._repr_mimebundle_()
    assert set(bundle) == {MIME, "text/markdown", "text/plain"}
    assert bundle["text/markdown"] == sheet._repr_markdown_()
    assert bundle["text/plain"] == repr(sheet)
    parts = json.loads(json.dumps(bundle[MIME]))
    assert parts.pop("solution") in bundle["text/markdown"]
    assert parts == {
        "name": entry.name,
        "chapter": entry.chapter,
        "level": entry.level,
        "signature": entry.signature,
        "task": entry.task,
        "hints": list(entry.hints),
        "follow_up": {"question": entry.follow_up.question, "answer": entry.follow_up.answer},
    }


def test_an_unknown_drill_is_refused() -> None:
    with pytest.raises(ValueError, match="no drill is named 'nothing'"):
        task("nothing")
