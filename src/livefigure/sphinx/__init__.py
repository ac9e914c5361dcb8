"""Sphinx extension ``livefigure.sphinx``: live figures on static pages.

Asks kernels to bake, renders what they return, offers the directive ``{livefigure}`` that
shows a figure of another page, and writes the data files with the site.
"""

from __future__ import annotations

import os
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from livefigure.figure import BAKE
from livefigure.sphinx import store, write
from livefigure.sphinx.render import (
    LiveFigureDirective,
    LiveFigureNode,
    StillNode,
    leave,
    visit,
    visit_still,
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", _ask_for_baking)
    app.add_node(LiveFigureNode, html=(visit, leave), latex=(_skip, None), text=(_skip, None))
    app.add_node(StillNode, html=(visit_still, leave), latex=(_skip, None), text=(_skip, None))
    app.add_directive("livefigure", LiveFigureDirective)
    app.connect("env-purge-doc", store.purge)
    app.connect("env-merge-info", store.merge)
    app.connect("env-updated", store.pages_to_rewrite)
    app.connect("builder-inited", write.add_style)
    app.connect("html-page-context", write.add_script)
    app.connect("build-finished", write.write_files)
    return {
        "version": "1",
        # Of what store keeps in the environment: raise it when that changes.
        "env_version": 1,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }


def _ask_for_baking(app: Sphinx, config: Config) -> None:
    os.environ[BAKE] = "1"


def _skip(translator: Any, node: nodes.Element) -> None:
    raise nodes.SkipNode
