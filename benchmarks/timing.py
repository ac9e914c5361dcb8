"""How fast a page answers: moves of its controls in a browser on a slowed processor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contenders.subject import Built
from playwright.sync_api import Browser

MOVES = (Path(__file__).parent / "moves.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Timing:
    """Milliseconds that a page took.

    Attributes
    ----------
    usable : list of float
        For each load, from navigation to the painted answer to the first move, which is made
        as soon as the controls work.
    first : list of float
        For each load, the script of that move, up to what the page does later.
    script, frame : list of float
        For each move, the script, and the time from input to painted frame; the fastest of all
        passes, as they make the same moves and only other work on the machine differs.
    """

    usable: list[float]
    first: list[float]
    script: list[float]
    frame: list[float]


def measure(
    browser: Browser,
    built: Built,
    names: Sequence[str],
    *,
    moves: int = 200,
    loads: int = 5,
    passes: int = 1,
    slowdown: float = 4,
) -> Timing:
    """Load a page several times, each in a browser that remembers nothing, and move it.

    The page comes from its file, so bytes cost no time on the way. Each move puts one control
    to another position; control, position and the wait before it are drawn with a fixed seed.

    Parameters
    ----------
    browser : Browser
        A running browser.
    built : Built
        The page.
    names : sequence of str
        The names of its controls.
    moves : int
        Moves of each pass; loads that are no passes get one move.
    loads : int
        How often the page is loaded.
    passes : int
        How many of the loads, the last ones, make all moves.
    slowdown : float
        How many times slower than this machine the processor is to seem.

    Raises
    ------
    ValueError
        If there is nothing to move, no move or no load.
    RuntimeError
        If the page has an error or its controls never work.
    """
    if moves < 1 or loads < 1:
        raise ValueError(f"at least one move and one load are needed, got {moves} and {loads}")
    if not 1 <= passes <= loads:
        raise ValueError(f"passes are some of the {loads} loads, not {passes}")
    if max(built.counts) < 2:
        raise ValueError("no control has a second position")
    runs = [
        _run(browser, built, names, moves if load >= loads - passes else 1, slowdown)
        for load in range(loads)
    ]
    script, frame = (np.min([run[key] for run in runs[-passes:]], axis=0).tolist()
                     for key in ("script", "frame"))  # fmt: skip
    usable, first = [run["first"] for run in runs], [run["script"][0] for run in runs]
    return Timing(usable, first, script, frame)


def _run(
    browser: Browser, built: Built, names: Sequence[str], moves: int, slowdown: float
) -> dict[str, Any]:
    options = json.dumps(
        {"names": list(names), "counts": built.counts, "start": built.start, "moves": moves,
         "seed": 1}
    )  # fmt: skip
    script = f"window.measured = ({MOVES})({{ ...{options}, adapter: {built.adapter} }});"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        session = context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
        page.add_init_script(script)
        page.goto(built.page.as_uri(), wait_until="commit")
        result: dict[str, Any] = page.evaluate("() => window.measured")
    finally:
        context.close()
    if errors:
        raise RuntimeError(f"{built.page}: {errors[0]}")
    return result


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(np.median(values))


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return float(np.percentile(values, 95))
