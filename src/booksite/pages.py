"""The last touch to written pages: a content policy, and nothing inline that it forbids.

One step after the site is written, over all its HTML. It changes a page once: run again, it
finds nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

#: Where the inline scripts and styles of the theme go.
FOLDER: Final = "_static/inline"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'"
)
#: KaTeX places the parts of a formula by style attributes.
MATH_POLICY: Final = f"{POLICY}; style-src-attr 'unsafe-inline'"

_SCRIPT: Final = re.compile(r"<script\b([^>]*)>(.*?)</script>\s*", re.DOTALL)
_STYLE: Final = re.compile(r"<style\b[^>]*>(.*?)</style>", re.DOTALL)
_HANDLER: Final = re.compile(r"<[^>]*\s(on[a-z]+)=[\"'][^>]*>")
_STYLED: Final = re.compile(r"<[a-zA-Z][^<>]*\sstyle=[\"'][^>]*>")
_ICON: Final = re.compile(r"<script\b[^>]*scripts/fontawesome\.js[^>]*></script>\s*")
_SEARCH: Final = re.compile(
    r"<script src=\"[^\"]*(?:searchtools|language_data|searchindex)\.js[^\"]*\"></script>\s*"
)
_NEXT: Final = re.compile(r"<link rel=\"next\"[^>]*>\s*")
_LOG: Final = re.compile(r"console\.log\((?:`[^`]*`|\"[^\"]*\"|'[^']*')\)")
_HEAD: Final = re.compile(r"<meta charset=[^>]*>")
_EMPTY_HEADING: Final = re.compile(r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>")
_SIDEBAR: Final = '<div id="pst-primary-sidebar" class'
_LANDMARK: Final = ' role="navigation" aria-label="Sidebar"'
_RUNS: Final = re.compile(r"tag_runnable|class=\"drill\"")
_REDIRECT: Final = re.compile(
    r"\s*<meta http-equiv=\"Refresh\" content=\"0; url=([^\"]+)\" ?/?>\s*"
)


def finish(page: str, prefix: str, *, is_search: bool = False) -> tuple[str, dict[str, str]]:
    """Return a page that keeps to the policy, and the files that it now needs.

    Parameters
    ----------
    page : str
        HTML as the theme wrote it.
    prefix : str
        The way from the page to the root of the site, such as ``../``.
    is_search : bool, default: False
        Whether the page searches, and so needs the index.

    Returns
    -------
    page : str
        The page; the same again for a finished page.
    files : dict of str to str
        Text by path below the root.

    Raises
    ------
    ValueError
        If the page has an inline event handler, a style attribute without being allowed any, or
        no head to put the policy in.
    """
    handler = _HANDLER.search(_without_scripts(page))
    if handler:
        raise ValueError(f"an inline {handler[1]}, which the content policy forbids")
    has_math = 'class="katex"' in page
    styled = None if has_math else _STYLED.search(_without_scripts(page))
    if styled:
        raise ValueError(f"a style attribute, which the content policy drops: {styled[0]}")
    files: dict[str, str] = {}
    redirect = _REDIRECT.fullmatch(page)
    if redirect:
        page = _redirect_page(redirect[1])
    page = _ICON.sub("", page)  # 540 kB; the icons come from the theme's web font
    page = _NEXT.sub("", page)  # Firefox fetches it in advance, which the policy forbids
    if not is_search:
        page = _SEARCH.sub("", page)
    page = _EMPTY_HEADING.sub("<td></td>", page)  # a screen reader would announce it
    # Logo and search field stand outside the theme's own <nav>: a landmark around all of it.
    page = page.replace(_SIDEBAR, _SIDEBAR.replace(" class", f"{_LANDMARK} class"))
    page = _SCRIPT.sub(lambda match: _script(match, prefix, files), page)
    page = _STYLE.sub(lambda match: _style(match, prefix, files), page)
    if "Content-Security-Policy" not in page:
        policy = _policy(page, has_math=has_math)
        meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}" />'
        page, count = _HEAD.subn(lambda match: f"{match[0]}\n    {meta}", page, count=1)
        if not count:
            raise ValueError("no <meta charset> to put the content policy after")
    return page, files


def _policy(page: str, *, has_math: bool) -> str:
    policy = MATH_POLICY if has_math else POLICY
    if not _RUNS.search(page):
        return policy
    # Cells and drills run in WebAssembly, in a worker that is made of a blob.
    runs = POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    return policy.replace(POLICY, f"{runs}; worker-src blob:")


def _redirect_page(target: str) -> str:
    """Return a whole page in place of the bare tag that the root of the book consists of."""
    return f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta http-equiv="refresh" content="0; url={target}" />
    <link rel="icon" href="_static/favicon.svg" />
    <title>Moving Parts</title>
  </head>
  <body><a href="{target}">Moving Parts</a></body>
</html>
"""


def _script(match: re.Match[str], prefix: str, files: dict[str, str]) -> str:
    attributes, code = match[1], match[2].strip()
    if "widget-state+json" in attributes:  # no page has a live widget
        return ""
    if "src=" in attributes or 'type="application/' in attributes:
        return match[0]
    # What the theme says of a page: of use only to its version switcher, which we have not.
    if code.startswith("DOCUMENTATION_OPTIONS."):
        return ""
    code = re.sub(r"console\.log\([^)]*\);", "", code)
    return f'<script src="{prefix}{_keep(code, "js", files)}"></script>\n    '


def _style(match: re.Match[str], prefix: str, files: dict[str, str]) -> str:
    path = _keep(match[1].strip(), "css", files)
    return f'<link rel="stylesheet" href="{prefix}{path}" />'


def _keep(text: str, kind: str, files: dict[str, str]) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = f"{FOLDER}/{digest}.{kind}"
    files[path] = text + "\n"
    return path


def _without_scripts(page: str) -> str:
    return _SCRIPT.sub("", page)


def html_files(root: Path) -> Iterator[Path]:
    """Yield the pages of a site; the fragments that themes leave in ``_static`` are none."""
    for path in sorted(root.rglob("*.html")):
        if "_static" not in path.relative_to(root).parts:
            yield path


def finish_site(root: Path) -> None:
    """Finish every page below *root*, and remove what no page needs.

    Raises
    ------
    ExtensionError
        If a page cannot keep to the policy; the message names it.
    """
    for path in html_files(root):
        page = path.read_text(encoding="utf-8")
        name = path.relative_to(root)
        # The page of a missing address has none of its own, so its links are absolute.
        prefix = "../" * (len(name.parts) - 1)
        if name.as_posix() == "404.html":
            prefix = base_path()
        try:
            finished, files = finish(page, prefix, is_search=name.as_posix() == "search.html")
        except ValueError as error:
            raise ExtensionError(f"{name}: {error}") from None
        for place, text in files.items():
            target = root / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        if finished != page:
            path.write_text(finished, encoding="utf-8")
    for waste in (root / "_static").rglob("*.map"):
        waste.unlink()
    for script in (root / "_static" / "scripts").glob("*.js"):
        _hush(script)


def _hush(script: Path) -> None:
    """Take what a script of the theme tells the console: it is for those who build themes."""
    text = script.read_text(encoding="utf-8")
    quiet = _LOG.sub("void 0", text)
    if quiet != text:
        script.write_text(quiet, encoding="utf-8")


def base_path() -> str:
    """Return the path at which the site is served, from the address in ``BOOK_BASE_URL``."""
    address = os.environ.get("BOOK_BASE_URL", "")
    path = re.sub(r"^https?://[^/]+", "", address).strip("/")
    return f"/{path}/" if path else "/"


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        finish_site(Path(app.outdir))


def _set_options(app: Sphinx, config: Config) -> None:
    config.notfound_urls_prefix = base_path()
    config.notfound_context = {
        "title": "Page not found",
        "body": "<h1>Page not found</h1>\n<p>There is no page at this address. The menu lists "
        f'every page, or you can <a href="{base_path()}">start at the beginning</a>.</p>',
    }
    config.html_theme_options.update(
        use_fullscreen_button=False,  # its button has an inline handler
        use_download_button=False,
        navbar_persistent=[],  # a second bar with a second search field
        show_toc_level=2,
        logo={
            "image_light": "_static/wordmark.svg",
            "image_dark": "_static/wordmark-dark.svg",
            "alt_text": "Moving Parts",
        },
    )


def _add_style(app: Sphinx) -> None:
    app.add_css_file("site.css", priority=900)
    app.add_js_file("site.js", loading_method="defer")


def setup(app: Sphinx) -> None:
    """Finish pages after all other extensions have written theirs."""
    app.connect("config-inited", _set_options)
    app.connect("builder-inited", _add_style)
    app.connect("build-finished", _finish, priority=900)
