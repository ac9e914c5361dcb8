"""What every contender starts from, and what it hands back to be measured."""

from __future__ import annotations

import gzip
import io
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from livefigure import LiveFigure

State = tuple[int, ...]


@dataclass(frozen=True)
class Subject:
    """A live figure as anybody could see it: a drawing, and a function that moves it.

    Attributes
    ----------
    figure : LiveFigure
        The figure. Its layout is frozen already, which spares contenders 100 ms a state.
    positions : tuple of tuple of int
        For each control the positions to build, rising.
    """

    figure: LiveFigure
    positions: tuple[State, ...]

    @classmethod
    def of(cls, figure: LiveFigure, limit: int | None = None) -> Subject:
        """Take a figure with at most ``limit`` of its states, spread over its controls.

        Raises
        ------
        ValueError
            If ``limit`` is below 1.
        """
        counts = [len(control.values) for control in figure._controls.values()]
        return cls(figure, sample(counts, limit))

    @property
    def drawing(self) -> Figure:
        """The matplotlib figure."""
        return self.figure.stage.fig

    @property
    def names(self) -> list[str]:
        """The names of the controls."""
        return list(self.figure.controls)

    @property
    def counts(self) -> State:
        """How many positions of each control are built."""
        return tuple(len(places) for places in self.positions)

    @property
    def start(self) -> State:
        """For each control the built position that is nearest to its default."""
        defaults = self.figure._defaults
        return tuple(
            int(np.abs(np.subtract(places, default)).argmin())
            for places, default in zip(self.positions, defaults, strict=True)
        )

    @property
    def states(self) -> int:
        """How many states are built."""
        return math.prod(self.counts)

    def all(self) -> Iterator[State]:
        """Yield the states to build, each as indices into ``positions``, the last fastest."""
        return itertools.product(*(range(count) for count in self.counts))

    def show(self, state: State) -> str:
        """Move the artists to a state, draw nothing, and return the caption."""
        places = zip(self.positions, state, strict=True)
        # Setting the widgets would draw too, and that is livefigure's work.
        return self.figure._call(tuple(choice[index] for choice, index in places))

    def svg(self, state: State) -> str:
        """Return a state as matplotlib's own backend writes it, as an element."""
        self.show(state)
        text = io.StringIO()
        self.drawing.savefig(text, format="svg", metadata={"Date": None})
        whole = text.getvalue()
        return whole[whole.index("<svg") :]


def sample(counts: list[int], limit: int | None) -> tuple[State, ...]:
    """Choose positions of controls, both ends included, so that their product is within a limit.

    Parameters
    ----------
    counts : list of int
        How many positions each control has.
    limit : int or None
        The largest product; ``None`` takes all positions.

    Returns
    -------
    tuple of tuple of int
        For each control its positions, evenly spread.

    Raises
    ------
    ValueError
        If the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a sample has at least one state, not {limit}")
    kept = list(counts)
    while limit is not None and math.prod(kept) > limit:
        kept[int(np.argmax(kept))] -= 1
    return tuple(
        tuple(int(place) for place in np.linspace(0, count - 1, size).round())
        for count, size in zip(counts, kept, strict=True)
    )


@dataclass(frozen=True)
class Size:
    """Bytes, as they are and gzipped."""

    raw: int
    gzipped: int

    @classmethod
    def of(cls, *texts: str | bytes) -> Size:
        """Weigh texts that are files of their own."""
        files = [text.encode() if isinstance(text, str) else text for text in texts]
        return cls(sum(map(len, files)), sum(len(gzip.compress(file, mtime=0)) for file in files))

    def __sub__(self, other: Size) -> Size:
        return Size(self.raw - other.raw, self.gzipped - other.gzipped)


@dataclass(frozen=True)
class Built:
    """A page, and what it took.

    Attributes
    ----------
    page : Path
        The page.
    adapter : str
        JavaScript, see ``moves.js``: how to tell that its controls work, and how to move one.
    counts, start : tuple of int
        The positions of each control, and where it stands at first.
    seconds : float
        Time of the processor to make all states: other work on the machine does not count.
    states, rest : Size
        What the states weigh, and the page, script and font around them.
    """

    page: Path
    adapter: str
    counts: State
    start: State
    seconds: float
    states: Size
    rest: Size
