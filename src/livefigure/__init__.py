"""Explorable matplotlib figures: ipywidgets in a notebook, no kernel needed on a page."""

from livefigure.errors import LiveFigureError, UnsupportedArtist
from livefigure.figure import LiveFigure, live

__all__ = ["LiveFigure", "LiveFigureError", "UnsupportedArtist", "live"]
