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
    _check_alone(env, name, docname)
    files = {}
    for text in data["parts"]:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        files[f"{name}-{digest}.js"] = text
    figures(env)[name] = Stored(
        docname, data["form"], data["svg"], data["caption"], data["states"], files
    )


def _check_alone(env: BuildEnvironment, name: str, docname: str) -> None:
    known = figures(env).get(name)
    if known is not None and known.docname != docname:
        raise ExtensionError(
            f"two live figures are named {name}, one in {known.docname} and one in {docname}: "
            "rename the function of one, its name is the figure's id"
        )


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget the figures of a page that is read again or is gone."""
    uses(env).pop(docname, None)
    for name in [name for name, kept in figures(env).items() if kept.docname == docname]:
        del figures(env)[name]


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over what a parallel reader found."""
    wanted = set(docnames)
    for name, kept in figures(other).items():
        if kept.docname in wanted:
            try:
                _check_alone(env, name, kept.docname)
            except ExtensionError as error:
                # Raised here it would be lost: Sphinx then fails on an index of its own.
                _table(env, "livefigure_clashes")[name] = str(error)
            figures(env)[name] = kept
    uses(env).update({k: v for k, v in uses(other).items() if k in wanted})


def pages_to_rewrite(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that show another page's figure: it may have changed.

    Raises
    ------
    ExtensionError
        If parallel readers found two figures of one name.
    """
    clashes = _table(env, "livefigure_clashes")
    if clashes:
        sentences = "; ".join(clashes.values())
        clashes.clear()
        raise ExtensionError(sentences)
    return [
        docname
        for docname, names in uses(env).items()
        if any(name in figures(env) and figures(env)[name].docname != docname for name in names)
    ]
