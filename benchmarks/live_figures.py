"""What a moving figure costs, in four ways: livefigure, savefig, Panel and Plotly, side by side.

``python benchmarks/live_figures.py`` after ``make book``. The figures are the three of
``figures.py``, the first of chapter 1, and then, in livefigure's way alone, all of the book.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import figures
import matplotlib.pyplot as plt
from contenders import livefigures, panel_embed, plotly_frames, savefig
from contenders.subject import Built, Subject
from playwright.sync_api import Browser
from timing import Timing, measure, median, p95

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import book, browser, chapters  # noqa: E402

from livefigure import LiveFigure  # noqa: E402

CONTENDERS: dict[str, Callable[[Subject, Path], Built]] = {
    "livefigure": livefigures.build,
    "savefig": savefig.build,
    "Panel embed": panel_embed.build,
    "Plotly frames": plotly_frames.build,
}

#: What livefigure promises: bytes gzipped and milliseconds to build a state, script of a move
#: and input to painted frame at the 95th percentile.
GOALS = {
    "bytes a state": {"momentum": 150},
    "ms to build a state": {"momentum": 6, "attention": 15},
    "script, p95": {"momentum": 10, "nms": 10, "attention": 10},
    "script, first move": {"momentum": 10, "nms": 10, "attention": 10},
    "input to frame, p95": {"momentum": 33, "nms": 33, "attention": 66},
}

HEADS = (
    "figure", "way", "states built", "build, CPU s", "ms a state",
    "states raw, KB", "gzipped, KB", "gzipped bytes a state", "rest gzipped, KB",
    "usable after, ms", "input to frame, ms: median", "p95",
)  # fmt: skip
SCRIPT_HEADS = ("figure", "median", "p95", "worst", "first move, median of loads")


@dataclass(frozen=True)
class Result:
    """One figure in one way, built and measured.

    Attributes
    ----------
    states : int
        How many states the figure has; ``built`` may hold fewer.
    """

    figure: str
    way: str
    states: int
    built: Built
    timing: Timing

    @property
    def sampled(self) -> int:
        """How many states were built."""
        return math.prod(self.built.counts)

    @property
    def build_ms(self) -> float:
        """Milliseconds to build a state."""
        return 1000 * self.built.seconds / self.sampled

    @property
    def bytes_a_state(self) -> float:
        """Gzipped bytes of a state."""
        return self.built.states.gzipped / self.sampled

    def row(self) -> tuple[str, ...]:
        """Return the cells of the table; sums of a sample are extrapolated and marked by ≈."""
        share = self.states / self.sampled
        about = "≈ " if share > 1 else ""
        sizes = (self.built.states.raw, self.built.states.gzipped)
        return (
            self.figure, self.way, f"{self.sampled} of {self.states}",
            f"{about}{self.built.seconds * share:.1f}", f"{self.build_ms:.1f}",
            *(f"{about}{size * share / 1000:,.1f}" for size in sizes),
            f"{self.bytes_a_state:,.1f}", f"{self.built.rest.gzipped / 1000:,.1f}",
            f"{median(self.timing.usable):,.0f}",
            f"{median(self.timing.frame):.1f}", f"{p95(self.timing.frame):.1f}",
        )  # fmt: skip

    def script_row(self) -> tuple[str, ...]:
        """Return the cells of the table of script times."""
        script = self.timing.script
        values = (median(script), p95(script), max(script), median(self.timing.first))
        return (self.figure, *(f"{value:.1f}" for value in values))

    def measured(self) -> dict[str, float]:
        """Return what goals are set for, under the names of ``GOALS``."""
        return {
            "bytes a state": self.bytes_a_state,
            "ms to build a state": self.build_ms,
            "script, p95": p95(self.timing.script),
            "script, first move": median(self.timing.first),
            "input to frame, p95": p95(self.timing.frame),
        }


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure: states of contenders, builds of ours, moves, loads, passes."""

    states: int | None = 24
    builds: int = 3
    moves: int = 200
    loads: int = 15
    passes: int = 3


def in_chapter(notebook: str, name: str) -> LiveFigure:
    """Return a figure of a chapter, made by the cells of its notebook, whose prints are dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            names = chapters.namespace_with(notebook, name, kind=LiveFigure)
        except AssertionError:  # a figure of what torch has computed
            names = chapters.namespace_with(notebook, name, kind=LiveFigure, torch=True)
        figure = chapters.figure_in(names, name)
    plt.close("all")  # the other figures of the chapter
    return figure


def run(
    chromium: Browser, name: str, way: str, make: Callable[[], LiveFigure], effort: Effort
) -> Result:
    """Build a figure in one way, livefigure's as often as asked, and measure its page."""
    ours = way == "livefigure"
    best: tuple[Subject, Built] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(effort.builds if ours else 1):
            subject = Subject.of(make(), None if ours else effort.states)
            place = Path(folder) / str(turn)
            place.mkdir()
            built = CONTENDERS[way](subject, place)
            if best is None or built.seconds < best[1].seconds:
                best = subject, built
        assert best is not None
        subject, built = best
        times = measure(
            chromium, built, subject.names,
            moves=effort.moves, loads=effort.loads, passes=effort.passes,
        )  # fmt: skip
    result = Result(name, way, subject.figure.states, built, times)
    # A later figure may fail: what was measured is there nevertheless.
    print(" ".join((*result.row(), *result.script_row()[1:])), file=sys.stderr, flush=True)
    return result


def in_book(only: list[str] | None) -> Iterator[tuple[str, Callable[[], LiveFigure]]]:
    """Yield the name of each figure of the built book, or of some, and what makes it."""
    notebooks = {notebook.stem: notebook.name for notebook in book.notebooks()}
    for figure in book.figures():
        stem = Path(figure.page).stem
        # A page that is no notebook shows the figure of one.
        if stem in notebooks and (only is None or figure.name in only):
            yield figure.name, partial(in_chapter, notebooks[stem], figure.name)


def show(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table."""
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def goal_rows(results: list[Result]) -> list[tuple[str, ...]]:
    """Return each goal beside what was measured."""
    found = {result.figure: result.measured() for result in results}
    return [
        (what, name, f"{limit:g}", f"{found[name][what]:.1f}",
         "met" if found[name][what] <= limit else "missed")
        for what, limits in GOALS.items()
        for name, limit in limits.items()
        if name in found
    ]  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    say = parser.add_argument
    say(
        "--states", type=int, default=24, help="most states of a contender, 0 for all (%(default)s)"
    )
    say(
        "--passes",
        type=int,
        default=3,
        choices=range(1, 6),
        help="passes of all moves over the four figures (%(default)s)",
    )
    say("--figures", nargs="*", help="only these of the four figures, or none")
    say("--ways", nargs="*", choices=CONTENDERS, default=list(CONTENDERS), help="only these ways")
    say("--book", nargs="*", metavar="FIGURE", help="only these of the book's figures")
    say("--no-book", action="store_true", help="leave out the figures of the book")
    options = parser.parse_args()
    if options.states < 0:
        parser.error("--states takes a number from 0 on")
    return options


def main() -> None:
    """Print the tables."""
    options = parse_arguments()
    reason = None if options.no_book else book.why_unusable()
    if reason:
        sys.exit(reason)
    subjects = {**figures.FIGURES, "ravine": lambda: in_chapter("01_optimizers.ipynb", "ravine")}
    chosen = list(subjects) if options.figures is None else options.figures
    if unknown := set(chosen) - set(subjects):
        sys.exit(f"no figure is named {', '.join(sorted(unknown))}; known: {', '.join(subjects)}")
    effort = Effort(states=options.states or None, passes=options.passes)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the beginning.")
    with browser.launch() as chromium:
        results = [
            run(chromium, name, way, subjects[name], effort)
            for name in chosen
            for way in options.ways
        ]
        show(HEADS, [result.row() for result in results])
        ours = [result for result in results if result.way == "livefigure"]
        print("\nScript of a move, ms, of livefigure:")
        show(SCRIPT_HEADS, [result.script_row() for result in ours])
        show(("goal", "figure", "at most", "measured", ""), goal_rows(ours))
        if not options.no_book:
            print("\nThe figures of the book:")
            # There are many, and no goal is set for one: built once, moved in one pass.
            once = replace(effort, builds=1, loads=5, passes=1)
            found = [
                run(chromium, name, "livefigure", make, once)
                for name, make in in_book(options.book)
            ]
            show(HEADS, [result.row() for result in found])
            show(SCRIPT_HEADS, [result.script_row() for result in found])


if __name__ == "__main__":
    main()
