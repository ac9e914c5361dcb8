"""Sphinx extension ``pagepython.sphinx``: cells and drills that run in the page.

A notebook's code cell with the tag ``runnable`` gets buttons, and on its first use an editor and
a Python of its own. So does a drill, an element of class ``drill`` with ``data-drill``. Pages
without either load nothing.

Settings, in ``conf.py`` or under ``sphinx.config`` of ``_config.yml``, all paths from the source
folder:

``pagepython_packages``
    Folders of packages that cells can import, their very files.
``pagepython_leave_out``
    Patterns of files of these packages that a page has no use for, such as ``mine/plots.py``.
``pagepython_grader``
    The module whose ``grade(name, function)`` judges a drill.
``pagepython_answers``
    A folder inside one of the packages with a file ``NAME.json`` for a drill, which is fetched
    when that drill is graded.
``pagepython_launch``
    A CSS selector of the link by which a page is launched where it has a kernel.
``pagepython_served``
    What a page says that was opened as a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx
from sphinx.errors import ConfigError

from pagepython.sphinx.files import Settings, Site, site_files

SCRIPT: Final = "pagepython/start.js"
STYLE: Final = "pagepython/pagepython.css"
#: What the HTML of a page has that needs the script.
_MARKS: Final = ("tag_runnable", "data-drill=")
_SERVED: Final = "The code of this page runs where a server delivers the page, not from a file."


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    for name, default, kind in (
        ("packages", [], list),
        ("leave_out", [], list),
        ("grader", "", str),
        ("answers", "", str),
        ("launch", "", str),
        ("served", _SERVED, str),
    ):
        app.add_config_value(f"pagepython_{name}", default, "", kind)
    app.connect("builder-inited", _write_first)
    app.connect("html-page-context", _add_script)
    app.connect("build-finished", _write_last)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _settings(app: Sphinx) -> Settings:
    """Return the settings.

    Raises
    ------
    ConfigError
        If a folder is not there, or the answers are in none of the packages.
    """
    config, root = app.config, Path(app.srcdir)
    packages = [root / folder for folder in config.pagepython_packages]
    answers = root / config.pagepython_answers if config.pagepython_answers else None
    for name, folder in [*(("packages", path) for path in packages), ("answers", answers)]:
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"pagepython_{name}: there is no folder {folder}")
    if answers is not None and not any(answers.is_relative_to(package) for package in packages):
        raise ConfigError(f"pagepython_answers: {answers} is in none of pagepython_packages")
    return Settings(
        packages=packages,
        leave_out=list(config.pagepython_leave_out),
        grader=config.pagepython_grader,
        answers=answers,
        launch=config.pagepython_launch,
        served=config.pagepython_served,
    )


def _write_first(app: Sphinx) -> None:
    # Before any page, as Sphinx puts a checksum of the script into its address.
    if app.builder.format == "html":
        app.pagepython = site_files(_settings(app))
        _write(app, app.pagepython)


def _write_last(app: Sphinx, exception: Exception | None) -> None:
    """Write again what somebody deleted, and remove what no page asks for any more."""
    if exception is None and app.builder.format == "html":
        _write(app, app.pagepython)
        home = Path(app.outdir) / "_static" / "pagepython"
        for path in sorted(home.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
            elif path.is_file() and path.relative_to(home).as_posix() not in app.pagepython:
                path.unlink()


def _write(app: Sphinx, files: Site) -> None:
    home = Path(app.outdir) / "_static" / "pagepython"
    for name, data in files.items():
        path = home / name
        # The name of a folder is a digest of what is in it.
        is_whole = path.is_file() and path.stat().st_size == len(data)
        if is_whole and ("/" in name or path.read_bytes() == data):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _add_script(app: Sphinx, pagename: str, template: str, context: Any, doctree: Any) -> None:
    body = context.get("body", "")
    if any(mark in body for mark in _MARKS):
        app.add_css_file(STYLE)
        app.add_js_file(SCRIPT, loading_method="defer")
