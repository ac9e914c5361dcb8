"""From a notebook's output, or a directive, to the markup of a figure."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

from livefigure import markup
from livefigure.figure import MIME
from livefigure.sphinx import store
from livefigure.still import MIME as STILL


class LiveFigureNode(nodes.General, nodes.Element):
    """Stands for a figure, by its ``name``, until the page is written."""


class StillNode(nodes.General, nodes.Element):
    """A figure without controls, its picture in ``svg``."""


class LiveFigureRenderer:
    """Renders the outputs of live figures and still ones, as myst-nb's plugins do."""

    mime_priority_overrides: ClassVar[list[tuple[str, str, int]]] = [
        ("*", MIME, 1),
        ("*", STILL, 1),
    ]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Keep the figure's data and return its node; ``None`` for other outputs."""
        if not inline and data.mime_type == STILL:
            return [StillNode(svg=data.content["svg"])]
        if inline or data.mime_type != MIME:
            return None
        env = renderer.renderer.sphinx_env
        name = data.content["id"]
        if name in store.uses(env).get(env.docname, ()):
            raise ExtensionError(
                f"{env.docname} shows the live figure {name} twice: rename the function of one, "
                "its name is the figure's id"
            )
        store.add(env, env.docname, data.content)
        return [_node(env, name)]


class LiveFigureDirective(SphinxDirective):
    """``{livefigure} name``: show a figure that some notebook of the book makes."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the figure's node."""
        name = self.arguments[0]
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self.error(f"{name!r} is no name of a live figure")
        node = _node(self.env, name)
        self.set_source_info(node)
        return [node]


def _node(env: Any, name: str) -> LiveFigureNode:
    store.uses(env).setdefault(env.docname, set()).add(name)
    return LiveFigureNode(name=name)


def visit(translator: Any, node: LiveFigureNode) -> None:
    """Write the figure's markup."""
    env, name = translator.builder.env, node["name"]
    kept = store.figures(env).get(name)
    if kept is None:
        known = ", ".join(sorted(store.figures(env))) or "none"
        raise ExtensionError(
            f"{translator.builder.current_docname}: no notebook makes a live figure {name!r} "
            f"(known: {known})"
        )
    if any(name in section["ids"] for section in translator.document.findall(nodes.section)):
        raise ExtensionError(
            f"{translator.builder.current_docname}: the live figure {name} has the id of a "
            "heading: rename its function, or reword the heading"
        )
    here = translator.builder.get_target_uri(translator.builder.current_docname)
    sources = " ".join(relative_uri(here, f"_static/{store.FOLDER}/{file}") for file in kept.files)
    translator.body.append(
        markup.figure(
            name,
            form=kept.form,
            svg=kept.svg,
            caption=kept.caption,
            states=kept.states,
            sources=sources,
        )
    )


def visit_still(translator: Any, node: StillNode) -> None:
    """Write a still figure's markup."""
    translator.body.append(markup.still(node["svg"]))


def leave(translator: Any, node: nodes.Element) -> None:
    """Nothing is left to write."""
