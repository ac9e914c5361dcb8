"""Drills kept in Sphinx's environment, which survives from build to build."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

from booksite.drills.sheet import DrillSheet


class Stored(NamedTuple):
    """One drill of a page, and the first sentence of its task as nodes."""

    sheet: DrillSheet
    sentence: list[nodes.Node]


def drills(env: BuildEnvironment) -> dict[str, list[Stored]]:
    """Return the drills of each page, in its order."""
    found: dict[str, list[Stored]] = _kept(env, "booksite_drills", {})
    return found


def lists(env: BuildEnvironment) -> set[str]:
    """Return the pages that list all drills."""
    found: set[str] = _kept(env, "booksite_drill_lists", set())
    return found


def _kept(env: BuildEnvironment, name: str, empty: Any) -> Any:
    if not hasattr(env, name):
        setattr(env, name, empty)
    return getattr(env, name)


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again or is gone."""
    drills(env).pop(docname, None)
    lists(env).discard(docname)


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over what a parallel reader found."""
    wanted = set(docnames)
    drills(env).update({page: kept for page, kept in drills(other).items() if page in wanted})
    lists(env).update(lists(other) & wanted)


def pages_to_rewrite(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages that list drills: any chapter may have changed.

    Raises
    ------
    ExtensionError
        If two drills have one name.
    """
    seen: dict[str, str] = {}
    for page in sorted(drills(env)):
        for stored in drills(env)[page]:
            name = stored.sheet.name
            if name in seen:
                raise ExtensionError(
                    f"the drill {name} is shown in {seen[name]} and again in {page}: leave one out"
                )
            seen[name] = page
    return sorted(lists(env))
