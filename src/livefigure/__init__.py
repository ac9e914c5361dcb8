"""Explorable matplotlib figures: ipywidgets in a notebook, no kernel needed on a page."""

from livefigure.errors import LiveFigureError, UnsupportedArtist
from livefigure.figure import LiveFigure, live
from livefigure.still import Still, still

__all__ = ["LiveFigure", "LiveFigureError", "Still", "UnsupportedArtist", "live", "still"]
