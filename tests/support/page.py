"""The page's Python, the runner in it, and what its cells print, against what a kernel printed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache

from support import node
from support.book import ROOT
from support.cells import code_cells, kinds

RUNNER = ROOT / "src" / "pagepython" / "runner.py"
CACHE = ROOT / "_build" / ".jupyter_cache"

#: Numbers agree to this, relatively; two below the second number are rounding errors.
RTOL = 1e-9
NOISE = 1e-12

#: The page stops a cell after so many seconds.
LONGEST = 10.0

#: Whether a cell that takes longer than this has the tag is left to its author, as a reader waits
#: for all earlier cells. One without the tag is stopped then, at its next call.
SLOW = 1.5

_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_INTEGERS = ((r",\s*dtype=u?int(?:32|64)\b", ""), (r"\bnp\.(u?)int32\(", r"np.\1int64("))

_DRIVER = """\
const pyodide = await boot();
pyodide.globals.set("given", JSON.stringify({given}));
say(JSON.parse(pyodide.runPython({code})));
"""
_BEGIN = """\
import json, sys, types
given = json.loads(given)
runner = sys.modules["runner"] = types.ModuleType("runner")
exec(compile(given["runner"], "runner.py", "exec"), runner.__dict__)
given = given["given"]
"""
# Seconds are those of the processor: other tests that share it do not make a cell slow.
_CELLS = """\
from js import process


def clock():
    used = process.cpuUsage()
    return (used.user + used.system) / 1e6


sent = {"stdout": [], "stderr": []}
elsewhere = {int(number): source for number, source in given["elsewhere"].items()}
session = runner.Session(lambda stream, text: sent[stream].append(text), elsewhere)
done = []


def watch(*event):
    if clock() - begin > given["patience"]:
        sys.setprofile(None)
        raise TimeoutError


for number, code in given["cells"]:
    begin = clock()
    if number not in given["tagged"]:
        sys.setprofile(watch)
    result = json.loads(session.run(number, code))
    sys.setprofile(None)
    seconds = clock() - begin
    texts = {stream: "".join(texts) for stream, texts in sent.items()}
    sent["stdout"].clear(), sent["stderr"].clear()
    done.append([number, result | texts | {"seconds": seconds}])
json.dumps(done)
"""


@dataclass(frozen=True)
class Shown:
    """What a cell shows: text of both streams, the value's text, and the types of pictures."""

    stdout: str
    stderr: str
    value: str
    pictures: tuple[str, ...] = ()


def in_page(code: str, given: Any, *, timeout: float = 120) -> Any:
    """Run code in the page's Python.

    Parameters
    ----------
    code : str
        Finds ``given`` and the module ``runner``; its last expression is JSON.
    given : any
        Handed over as JSON.
    timeout : float, default: 120
        Seconds after which it is given up.

    Returns
    -------
    any
        What the JSON says.
    """
    job = json.dumps({"runner": RUNNER.read_text(encoding="utf-8"), "given": given})
    driver = _DRIVER.format(given=job, code=json.dumps(_BEGIN + code))
    return node.run(driver, packages=("dlbook",), timeout=timeout)


def run_cells(notebook: Path, numbers: list[int]) -> dict[int, dict[str, Any]]:
    """Run cells of a notebook in the page's Python, in order, without any other.

    Returns
    -------
    dict of int to dict
        By number: ``stdout``, ``stderr``, ``value``, ``error`` and ``seconds``.
    """
    cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    sources = {n: cell.source for n, cell in enumerate(cells, 1) if cell.cell_type == "code"}
    given = {
        "cells": [[number, sources[number]] for number in numbers],
        "elsewhere": {n: source for n, source in sources.items() if n not in numbers},
        "tagged": sorted(tagged(notebook, "runnable")),
        "patience": SLOW,
    }
    return dict(in_page(_CELLS, given))


def shown_by_kernel(notebook: Path) -> dict[int, Shown]:
    """Return what each code cell of a notebook showed when the book was built.

    Raises
    ------
    AssertionError
        If the build has not executed it as it is.
    """
    read: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    cache = get_cache(str(CACHE))
    try:
        record = cache.match_cache_notebook(read)
    except KeyError:
        raise AssertionError(f"{notebook.name} has changed since; run: make book") from None
    executed = cache.get_cache_bundle(record.pk).nb
    numbers = [number for number, cell in enumerate(read.cells, 1) if cell.cell_type == "code"]
    return {
        number: _shown(cell.outputs) for number, cell in zip(numbers, executed.cells, strict=True)
    }


def _shown(outputs: list[Any]) -> Shown:
    texts = {"stdout": "", "stderr": ""}
    value, pictures = "", []
    for output in outputs:
        if output.output_type == "stream":
            texts[output.name] += output.text
        else:
            value = output.data.get("text/plain", "")
            pictures += [kind for kind in output.data if not kind.startswith("text/")]
    return Shown(texts["stdout"], texts["stderr"], value, tuple(pictures))


def tagged(notebook: Path, tag: str) -> set[int]:
    """Return the numbers of the cells that have a tag."""
    cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    return {n for n, cell in enumerate(cells, 1) if tag in cell.metadata.get("tags", ())}


def qualified(notebook: Path) -> tuple[set[int], list[str]]:
    """Find out which cells of a notebook run in the page.

    Returns
    -------
    numbers : set of int
        NumPy cells that show there what they show in a kernel, are done in time, and use nothing
        of a cell of which this is not true.
    differences : list of str
        What the other NumPy cells show, or how they fail, one line each.
    """
    candidates = [number for number, kind in kinds(notebook).items() if kind == "NumPy"]
    kernel, page = shown_by_kernel(notebook), run_cells(notebook, candidates)
    cells = {cell.number: cell for cell in code_cells(notebook)}
    wanted = tagged(notebook, "runnable")
    found: set[int] = set()
    differences = []
    made: set[str] = set()  # a second import of the same in a slow cell takes nothing away
    spoiled: set[str] = set()
    for number in candidates:
        seconds = page[number]["seconds"]
        slow = seconds > LONGEST or (seconds > SLOW and number not in wanted)
        hopeless = slow or bool(cells[number].uses & spoiled)
        reason = None if hopeless else disagreement(kernel[number], page[number])
        if reason:
            differences.append(f"{notebook.name}, cell {number}: {reason}")
        if hopeless or reason:
            spoiled |= cells[number].binds - made
        else:
            spoiled -= cells[number].binds
            made |= cells[number].binds
            found.add(number)
    return found, differences


def disagreement(kernel: Shown, page: dict[str, Any]) -> str | None:
    """Say in what a cell in the page differs from the same cell in a kernel."""
    if page["error"]:
        return f"it fails: {page['error']['text']}"
    if kernel.pictures:
        return f"it shows {', '.join(kernel.pictures)}"
    for name in ("stdout", "stderr", "value"):
        reason = difference(getattr(kernel, name), page[name] or "")
        if reason:
            return f"{name}: {reason}"
    return None


def difference(kernel: str, page: str) -> str | None:
    """Say where two outputs differ, apart from white space, integer types and last digits."""
    ours, theirs = _pieces(page), _pieces(kernel)
    for place, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other and not (place % 2 and _close(float(one), float(other))):
            before = "".join(theirs[max(0, place - 4) : place])
            return f"after {before[-40:]!r} the page shows {one!r}, the kernel {other!r}"
    if len(ours) != len(theirs):
        return f"the page shows {page[-60:]!r} at its end, the kernel {kernel[-60:]!r}"
    return None


def _pieces(text: str) -> list[str]:
    """Cut a text into what is between numbers and, at odd places, numbers."""
    for pattern, instead in _INTEGERS:
        text = re.sub(pattern, instead, text)
    # Each line by itself, as the numbers of two may not run together.
    return [
        piece if k % 2 else "".join(piece.split()) for k, piece in enumerate(_NUMBER.split(text))
    ]


def _close(one: float, other: float) -> bool:
    largest = max(abs(one), abs(other))
    return largest < NOISE or abs(one - other) <= RTOL * largest
