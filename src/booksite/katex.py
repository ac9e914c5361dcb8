"""Render math with KaTeX while the site is built, in this process.

``sphinxcontrib.katex`` starts node for each build and talks to it through a socket. Its
script needs neither: QuickJS runs it, from a wheel of 2.5 MB instead of 61 MB. A formula that
KaTeX refuses fails the build with its page, instead of turning red on it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, Final

import quickjs
import sphinxcontrib.katex
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

SCRIPT: Final = Path(sphinxcontrib.katex.__file__).with_name("katex.min.js")
STATIC: Final = Path(__file__).parent / "static" / "katex"

#: An operator's name in KaTeX's MathML, and the sign for "applied to" that follows it.
_OPERATOR: Final = re.compile(r"<mi[^<>]*>[^<]*</mi><mo>\u2061</mo>")

#: Letters and digits of another alphabet, as in \mathbb E, \mathcal L and \mathbf x.
_ALPHABET: Final = re.compile(r'<(m[in]) mathvariant="(?!normal")([a-z-]+)">([^<]+)</\1>')
#: Each alphabet in the names of Unicode: its rows of signs, then what it had before the rows.
_ALPHABETS: Final = {
    "double-struck": ("DOUBLE-STRUCK", "DOUBLE-STRUCK"),
    "script": ("SCRIPT", "SCRIPT"),
    "fraktur": ("FRAKTUR", "BLACK-LETTER"),
    "bold": ("BOLD", ""),
    "bold-italic": ("BOLD ITALIC", ""),
    "sans-serif": ("SANS-SERIF", ""),
    "monospace": ("MONOSPACE", ""),
}

_PUNCTUATION: Final = (".", ",", ":", ";", "?", "!", ")")
#: Up to so many signs a formula fits on any screen in one piece.
_SHORT: Final = 12

_RENDER: Final = """
function render(latex, options) {
  try {
    // KaTeX builds ropes, which the engine cannot hand over: flatten them.
    return JSON.stringify({ html: JSON.parse(JSON.stringify(
      katex.renderToString(latex, JSON.parse(options)))) });
  } catch (error) {
    return JSON.stringify({ error: String(error.message) });
  }
}
"""


@cache
def _engine() -> Any:
    context = quickjs.Context()
    context.eval(SCRIPT.read_text(encoding="utf-8"))
    context.eval(_RENDER)
    return context.get("render")


@cache
def render(latex: str, *, display: bool = False) -> str:
    """Return a formula as HTML.

    Parameters
    ----------
    latex : str
        The formula, without dollar signs.
    display : bool, default: False
        Whether it stands on a line of its own.

    Raises
    ------
    ValueError
        If KaTeX refuses it; the message names what it stumbled on.
    """
    options = json.dumps({"displayMode": display, "throwOnError": True, "strict": "error"})
    answer = json.loads(_engine()(latex, options))
    if "error" in answer:
        raise ValueError(f"{answer['error']} in ${latex.strip()}$")
    html: str = answer["html"]
    # KaTeX gives the two no row of their own, so the MathML of \eta_{\max} has a part too many.
    html = _OPERATOR.sub(r"<mrow>\g<0></mrow>", html)
    # The attribute is deprecated, and Firefox says so on the console; the letters are not.
    return _ALPHABET.sub(_in_alphabet, html)


def _in_alphabet(found: re.Match[str]) -> str:
    """Return an element with the letters of its alphabet; as it was if Unicode lacks one."""
    tag, alphabet, text = found.groups()
    letters = [_letter(sign, *_ALPHABETS.get(alphabet, ("", ""))) for sign in text]
    return found[0] if None in letters else f"<{tag}>{''.join(map(str, letters))}</{tag}>"


def _letter(sign: str, row: str, before: str) -> str | None:
    name = unicodedata.name(sign).replace("LATIN ", "").replace("GREEK ", "")
    name = name.replace(" LETTER", "")
    for full in (f"MATHEMATICAL {row} {name}", f"{before} {name}"):
        try:
            return unicodedata.lookup(full)
        except KeyError:
            pass
    return None


class _PageOf:
    """Knows which page is being written, so that an error can name it."""

    docname = ""


def _render_latex(latex: str, options: dict[str, Any] | None = None) -> str:
    """Take the place of ``sphinxcontrib.katex.render_latex``."""
    try:
        return render(latex, display=bool(options and options.get("displayMode")))
    except ValueError as error:
        raise ExtensionError(f"{_PageOf.docname}: {error}") from None


def _remember_page(app: Sphinx, doctree: Any, docname: str) -> None:
    _PageOf.docname = docname


def _glue(app: Sphinx, doctree: Any, docname: str) -> None:
    """Keep a formula and the punctuation after it on one line.

    Browsers may break a line after any inline block, which is what KaTeX makes of a formula. A
    long one of several blocks may have to break on a phone, so that is not glued.
    """
    for math in list(doctree.findall(nodes.math)):
        after = math.next_node(descend=False, siblings=True)
        if not isinstance(after, nodes.Text) or not after.astext().startswith(_PUNCTUATION):
            continue
        try:
            html = render(math.astext())
        except ValueError:  # said with its page when the page is written
            continue
        visible = html.partition('class="katex-html" aria-hidden="true">')[2]
        signs = len(re.sub("<[^>]*>", "", visible))
        if visible.count('class="base"') == 1 or signs <= _SHORT:
            mark, rest = after.astext()[0], after.astext()[1:]
            glued = nodes.inline("", "", math.deepcopy(), nodes.Text(mark), classes=["glued"])
            # By place: texts are found by what they say, and others may say the same.
            place = math.parent.index(math)
            math.parent[place : place + 2] = [glued, nodes.Text(rest)]


def _ship_style(app: Sphinx, config: Config) -> None:
    """Serve our copy of KaTeX's style and fonts as ``_static/katex``."""
    # A new list: the old one may be Sphinx's default, which all builds of a process share.
    config.html_static_path = [*config.html_static_path, str(STATIC.parent)]


def setup(app: Sphinx) -> None:
    """Register the renderer; needs the extension ``sphinxcontrib.katex``."""
    sphinxcontrib.katex.render_latex = _render_latex
    app.connect("config-inited", _ship_style)
    app.connect("doctree-resolved", _remember_page)
    app.connect("doctree-resolved", _glue)
