"""Figures kept in Sphinx's environment, which survives from build to build."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

FOLDER = "livefigures"


@dataclass(frozen=True)
class Stored:
    """One baked figure.

    Attributes
    ----------
    docname : str
        The page whose notebook made it.
    form, svg, caption : str
        Its markup.
    states : int
        How many states it has.
    files : dict of str to str
        Text of the data files by name; the name holds a digest of the text.
    """

    docname: str
    form: str
    svg: str
    caption: str
    states: int
    files: dict[str, str]


def figures(env: BuildEnvironment) -> dict[str, Stored]:
    """Return all figures by id."""
    found: dict[str, Stored] = _table(env, "livefigures")
    return found


def uses(env: BuildEnvironment) -> dict[str, set[str]]:
    """Return the ids of the figures that each page shows."""
    found: dict[str, set[str]] = _table(env, "livefigure_uses")
    return found


def _table(env: BuildEnvironment, name: str) -> Any:
    if not hasattr(env, name):
        setattr(env, name, {})
    return getattr(env, name)


def add(env: BuildEnvironment, docname: str, data: dict[str, Any]) -> None:
    """Keep a figure that a notebook has baked.

    Raises
    ------
    ExtensionError
        If another page has a figure of that name.
    """
    name = data["id"]
    known = figures(env).get(name)
    if known is not None and known.docname != docname:
        raise ExtensionError(
            f"two live figures are named {name}: one in {known.docname}, one in {docname}"
        )
    files = {}
    for text in data["parts"]:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        files[f"{name}-{digest}.js"] = text
    figures(env)[name] = Stored(
        docname, data["form"], data["svg"], data["caption"], data["states"], files
    )


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget the figures of a page that is read again or is gone."""
    uses(env).pop(docname, None)
    for name in [name for name, kept in figures(env).items() if kept.docname == docname]:
        del figures(env)[name]


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over what a parallel reader found."""
    wanted = set(docnames)
    figures(env).update({k: v for k, v in figures(other).items() if v.docname in wanted})
    uses(env).update({k: v for k, v in uses(other).items() if k in wanted})


def pages_to_rewrite(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that show another page's figure: it may have changed."""
    return [
        docname
        for docname, names in uses(env).items()
        if any(name in figures(env) and figures(env)[name].docname != docname for name in names)
    ]
