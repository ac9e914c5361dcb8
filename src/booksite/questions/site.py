"""The site's part: check all banks before the build, and render one where a notebook shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from booksite import katex
from booksite.questions.bank import FOLDER, Bank
from booksite.questions.formulas import Formula
from booksite.questions.markup import HtmlTag, Parse, Sheet, Tag, TextTag, leave, visit
from booksite.questions.notebook import MIME
from booksite.questions.reading import BankError, read, read_all


class QuestionsRenderer:
    """Renders the output of :func:`booksite.questions.questions`, as myst-nb's plugins do."""

    mime_priority_overrides: ClassVar[list[tuple[str, str, int]]] = [("*", MIME, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Return the questions as nodes; ``None`` for other outputs."""
        if inline or data.mime_type != MIME:
            return None
        parser = renderer.renderer
        path = Path(parser.sphinx_env.srcdir) / FOLDER / f"{data.content['bank']}.yml"
        # The file, not the output, is what is shown: an edit there renders the page anew.
        parser.sphinx_env.note_dependency(str(path))
        return [sheet(read(path), parser)]


def sheet(bank: Bank, parser: Any) -> Tag:
    """Return a bank as nodes.

    Parameters
    ----------
    bank : Bank
        The questions.
    parser : myst_parser.mdit_to_docutils.base.DocutilsRenderer
        Makes nodes of Markdown, with the page's own settings.
    """
    made = Sheet(markdown_parser(parser)).bank(bank)
    for node in made.findall(HtmlTag):
        if node["names"]:
            # So that other pages can link to a question, and showing one twice is a warning.
            parser.document.note_explicit_target(node, node)
    return made


def markdown_parser(parser: Any) -> Parse:
    """Return a function that makes nodes of Markdown as the page's parser does."""

    def parse(text: str, inline: bool) -> list[nodes.Node]:
        holder = nodes.Element()
        with parser.current_node_context(holder):
            parser.nested_render_text(text, 0, inline=inline)
        return list(holder.children)

    return parse


def check(app: Sphinx) -> None:
    """Fail on any mistake in any bank, before a notebook runs.

    Raises
    ------
    ExtensionError
        With file and line of each.
    """
    try:
        read_all(Path(app.srcdir), check_formula=_check_formula)
    except BankError as error:
        raise ExtensionError(f"the question bank has mistakes\n{error}") from None


def _check_formula(formula: Formula) -> None:
    katex.render(formula.latex, display=formula.display)


def _pass(translator: Any, node: Tag) -> None:
    """Show what is inside, in a format without tags."""


def setup(app: Sphinx) -> None:
    """Check the banks and know how to write their nodes."""
    plain = (_pass, _pass)
    for kind in (HtmlTag, TextTag):
        app.add_node(kind, html=(visit, leave), latex=plain, text=plain, man=plain, texinfo=plain)
    app.connect("builder-inited", check)
