"""The look of every figure, and the palette that a site may share with them.

Three *sentinel* colors stand for ink, paper and grid while matplotlib draws.
The recorder turns them into CSS variables, so one drawing serves light and dark
pages alike. The series colors are fixed: each has a contrast of at least 3 : 1
on both papers, and they stay apart for the common color-vision deficiencies
(they derive from Okabe & Ito's set, https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

from typing import Any, Final

import matplotlib as mpl

INK: Final = "#010204"
PAPER: Final = "#fdfefb"
GRID: Final = "#c5c8c3"

SENTINELS: Final[dict[str, str]] = {INK: "var(--ink)", PAPER: "var(--paper)", GRID: "var(--grid)"}

BLUE: Final = "#1f78b8"
VERMILION: Final = "#d55e00"
GREEN: Final = "#00946c"
PURPLE: Final = "#b5659a"
GRAY: Final = "#7d8288"

SERIES: Final[dict[str, str]] = {
    "blue": BLUE,
    "vermilion": VERMILION,
    "green": GREEN,
    "purple": PURPLE,
    "gray": GRAY,
}

LIGHT: Final[dict[str, str]] = {"ink": "#1c2126", "paper": "#fdfcf9", "grid": "#d8d6cf"}
DARK: Final[dict[str, str]] = {"ink": "#e6e7e9", "paper": "#15181d", "grid": "#3b414a"}


def rc() -> dict[str, Any]:
    """Return matplotlib settings for a live figure: quiet axes, sentinel colors, site font.

    Returns
    -------
    dict
        Settings for ``matplotlib.rc_context`` or ``rcParams.update``.
    """
    return {
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "axes.facecolor": "none",
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 10.0,
        "axes.titlelocation": "left",
        "axes.labelsize": 10.0,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.prop_cycle": mpl.cycler(color=list(SERIES.values())),
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": 9.0,
        "ytick.labelsize": 9.0,
        "xtick.major.size": 3.0,
        "ytick.major.size": 3.0,
        "xtick.minor.size": 0.0,
        "ytick.minor.size": 0.0,
        "text.color": INK,
        "font.family": "DejaVu Sans",
        "font.size": 10.0,
        "mathtext.fontset": "dejavusans",
        "legend.frameon": False,
        "legend.fontsize": 9.0,
        "lines.linewidth": 1.8,
        "patch.edgecolor": INK,
        "path.simplify": False,
        "figure.constrained_layout.use": True,
        "figure.dpi": 72.0,
        "svg.fonttype": "none",
    }


def use() -> None:
    """Apply :func:`rc` to the running session."""
    mpl.rcParams.update(rc())


def css() -> str:
    """Return the palette as CSS custom properties, for light and for dark pages.

    The dark values apply where the page says ``data-theme="dark"`` on its root
    element, and where it says nothing and the reader's system asks for dark.
    """
    series = "".join(f"--{name}:{value};" for name, value in SERIES.items())
    light = "".join(f"--{name}:{value};" for name, value in LIGHT.items())
    dark = "".join(f"--{name}:{value};" for name, value in DARK.items())
    light, dark = f"color-scheme:light;{series}{light}", f"color-scheme:dark;{dark}"
    return (
        f":root{{{light}}}\n"
        f'@media (prefers-color-scheme:dark){{:root:not([data-theme="light"]){{{dark}}}}}\n'
        f':root[data-theme="dark"]{{{dark}}}\n'
    )
