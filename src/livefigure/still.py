"""``still``: show a matplotlib figure that does not move in the colors of the page it is on."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import matplotlib.pyplot as plt
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure

from livefigure import markup
from livefigure.errors import LiveFigureError
from livefigure.figure import BAKE
from livefigure.stage import Stage

MIME = "application/vnd.livefigure.still+json"

#: Dots per inch of the picture in a notebook: twice those of a page, for fine screens.
_DPI = 144


def still(fig: Figure, description: str) -> Still:
    """Return a figure to end a cell with; a built page draws it as it draws live figures.

    That is as SVG, with the palette of :mod:`livefigure.style`, light or dark. A notebook shows a
    PNG.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure, with all its artists.
    description : str
        What it shows, for those who do not see it.

    Raises
    ------
    LiveFigureError
        If an argument is unusable or an artist cannot be drawn; the message says what to do.

    Examples
    --------
    >>> fig, ax = plt.subplots()
    >>> (line,) = ax.plot([0, 1], [0, 1])
    >>> still(fig, "A line from the lower left to the upper right.")
    <Still A line from the lower left to the upper right.>
    """
    if not isinstance(fig, Figure):
        raise LiveFigureError(f"still(fig, …) takes a matplotlib Figure, got {fig!r}")
    if not isinstance(description, str) or not description.strip():
        raise LiveFigureError(f"still: describe the figure in words, got {description!r}")
    return Still(fig, description)


class Still:
    """A figure and its description; made by :func:`still`.

    Attributes
    ----------
    description : str
        What it shows.
    """

    def __init__(self, fig: Figure, description: str) -> None:
        self.description = description
        self._fig = fig
        # The inline backend would show the bare figure a second time.
        plt.close(fig)
        digest = hashlib.sha256(description.encode()).hexdigest()[:8]
        self._stage = Stage(fig, f"still-{digest}")
        self._stage.freeze()

    def __repr__(self) -> str:
        return f"<Still {self.description}>"

    def svg(self) -> str:
        """Return the figure as SVG text, with its description."""
        return markup.picture(self._stage, self._stage.draw(), dynamic=(), label=self.description)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        plain = {"text/plain": repr(self)}
        if os.environ.get(BAKE):
            svg = self.svg()
            return {MIME: {"svg": svg}, "image/svg+xml": svg, **plain}
        return {"image/png": print_figure(self._fig, "png", base64=True, dpi=_DPI), **plain}
