"""The script, style and font that show a live figure."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import rjsmin

from livefigure.style import css

STATIC: Final = Path(__file__).parent / "static"

#: A notebook's own theme decides about light and dark.
NOTEBOOK_COLORS: Final = """
.livefigure{--ink:var(--jp-content-font-color1,#1c2126);--paper:var(--jp-layout-color0,#fff);\
--grid:var(--jp-border-color2,#d8d6cf)}
"""


def font() -> Path:
    """Return the path of the font: a subset of matplotlib's own DejaVu Sans."""
    return STATIC / "dejavu" / "DejaVuSans.woff2"


def script(*names: str) -> str:
    """Return scripts of this package, one after another."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def page_script() -> str:
    """Return the script of a page: a function of its own, so that it adds no global names."""
    code = f"(() => {{\n{script('picture.js', 'data.js', 'page.js')}}})();\n"
    # Without comments and indentation it weighs a fifth less; the readable one is in static/.
    return f"/* livefigure; picture.js, data.js, page.js */\n{rjsmin.jsmin(code)}\n"


def style(font_url: str) -> str:
    """Return the style sheet, with the palette and the address of the font."""
    sheet = (STATIC / "livefigure.css").read_text(encoding="utf-8")
    face = (
        "@font-face{font-family:'DejaVu Sans';font-display:swap;"
        f"src:url('{font_url}') format('woff2')}}\n"
    )
    return css() + face + sheet
