"""The errors of this package: each says what is wrong and what to do."""

from __future__ import annotations


class LiveFigureError(ValueError):
    """A live figure that cannot be made as it was asked for."""


class UnsupportedArtist(LiveFigureError):  # noqa: N818
    """An artist, or a way of drawing one, that has no rule yet."""
