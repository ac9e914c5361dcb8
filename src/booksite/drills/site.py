"""The site's part: render a drill where a notebook shows it, and list all of them on a page."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from booksite.drills import store
from booksite.drills.markup import Chapter, drill, listing
from booksite.drills.sheet import MIME, read
from booksite.questions.markup import HtmlTag
from booksite.questions.site import markdown_parser


class DrillRenderer:
    """Renders the output of a cell that shows a drill, as myst-nb's plugins do."""

    mime_priority_overrides: ClassVar[list[tuple[str, str, int]]] = [("*", MIME, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Keep the drill for the list and return its node; ``None`` for other outputs."""
        if inline or data.mime_type != MIME:
            return None
        parser = renderer.renderer
        env = parser.sphinx_env
        try:
            sheet = read(data.content)
        except ValueError as error:
            raise ExtensionError(f"{env.docname}: {error}") from None
        parse = markdown_parser(parser)
        sentence = parse(sheet.first_sentence, True)
        store.drills(env).setdefault(env.docname, []).append(store.Stored(sheet, sentence))
        made = drill(sheet, PurePosixPath(env.docname).name, parse)
        # So that other pages can link to a drill, and showing one twice is a warning.
        parser.document.note_explicit_target(made, made)
        return [made]


class OneElement(SphinxTransform):
    """Makes one element of the three cells of a drill: its task, its code, its grade.

    In a notebook the task is shown by a call, and the grade is asked for by another. On a page
    there is only the drill, with the code to fill in inside it.
    """

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Put the code into each drill, and the drill in place of its cells."""
        for made in list(self.document.findall(_is_drill)):
            cell = made
            while cell.get("nb_element") != "cell_code":
                cell = cell.parent
            code, grade = (self._after(cell, made, k, tag) for k, tag in _FOLLOWING)
            (place,) = (node for node in made.findall(HtmlTag) if "drill-code" in node["classes"])
            place.extend(list(code.findall(nodes.literal_block)))
            cell.parent.remove(code)
            cell.parent.remove(grade)
            cell.parent.replace(cell, made)

    def _after(self, cell: nodes.Element, made: HtmlTag, distance: int, tag: str) -> nodes.Element:
        place = cell.parent.index(cell) + distance
        found = cell.parent[place] if place < len(cell.parent) else None
        if isinstance(found, nodes.container) and f"tag_{tag}" in found["classes"]:
            return found
        name = made["attributes"]["data-drill"]
        raise ExtensionError(
            f"{self.env.docname}: after the cell that shows the drill {name} come one with the "
            f"tag drill, for its code, and one with the tag grade; the one tagged {tag} is missing"
        )


_FOLLOWING = ((1, "drill"), (2, "grade"))


def _is_drill(node: nodes.Node) -> bool:
    return isinstance(node, HtmlTag) and "drill" in node["classes"]


class DrillList(nodes.General, nodes.Element):
    """Stands for the list of all drills until all pages are read."""


class DrillsDirective(SphinxDirective):
    """``{drills}``: list all drills of the book."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return what stands for the list."""
        store.lists(self.env).add(self.env.docname)
        return [DrillList()]


def _fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for node in list(doctree.findall(DrillList)):
        node.replace_self(listing(_chapters(app, docname)))


def _chapters(app: Sphinx, here: str) -> list[Chapter]:
    return [
        Chapter(
            name=PurePosixPath(page).name,
            title=app.env.titles[page].astext(),
            address=app.builder.get_relative_uri(here, page),
            drills=kept,
        )
        for page, kept in sorted(store.drills(app.env).items())
    ]


def _add_script(app: Sphinx, pagename: str, template: str, context: Any, doctree: Any) -> None:
    if pagename in store.lists(app.env):
        app.add_js_file("drills.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    """Know drills, the directive that lists them, and the pages that do."""
    app.add_node(DrillList)
    app.add_transform(OneElement)
    app.add_directive("drills", DrillsDirective)
    app.connect("env-purge-doc", store.purge)
    app.connect("env-merge-info", store.merge)
    app.connect("env-updated", store.pages_to_rewrite)
    app.connect("doctree-resolved", _fill)
    app.connect("html-page-context", _add_script)
