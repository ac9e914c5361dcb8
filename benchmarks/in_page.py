"""Python in the page: bytes on the wire, seconds from a click to a result, grading, memory.

``python benchmarks/in_page.py`` after ``make book``. A server on this machine sends a chapter
with gzip and without any limit of the line. *Cold* is a browser with nothing kept, *warm* a new
process of the browser with what it kept on disk.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import book, browser, serve  # noqa: E402
from support.in_page import Runner  # noqa: E402

from dlbook import drills  # noqa: E402

PAGE = "notebooks/08_detection.html"
DRILL = "nms"
GOALS = {
    "cold: click to result, s": 2.5,
    "warm: click to result, s": 1.5,
    "a small cell afterwards, s": 0.1,
    "a grade, s": 0.3,
    "stop to ready, s": 1.5,
    "on the wire, MB": 9.3,
    "memory above the idle page, MB": 200,
}
#: Milliseconds from a press to the frame that shows a result.
WAIT = """async (root, [actions, last, isAnother]) => {
  const press = (owner, action) => owner.querySelector(`[data-action="${action}"]`).click();
  const ended = new Promise((done) => new MutationObserver(() => {
    if (["passed", "failed", "error"].includes(last.dataset.state)) done(last.dataset.state);
  }).observe(last, { attributes: true, attributeFilter: ["data-state"] }));
  const began = performance.now();
  for (const action of actions) press(root, action);
  if (isAnother) press(last, "run");
  const state = await ended;
  if (state !== "passed") throw new Error(`ended as ${state}: ${last.innerText}`);
  await new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }));
  return performance.now() - began;
}"""
LOOP = "print('here')\nwhile True:\n    pass"


@contextmanager
def opened(profile: str, address: str) -> Iterator[Page]:
    """Open the page in a new process of the browser, with what it kept in a folder."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=browser.executable(playwright),
            args=list(browser.FLAGS),
            viewport={"width": 1280, "height": 900},
        )
        page = context.new_page()
        page.goto(address + PAGE, wait_until="load")
        page.wait_for_timeout(1500)  # figures come to rest
        yield page
        context.close()


def seconds(runner: Runner, *actions: str, after: Runner | None = None) -> float:
    """Return how long it takes from pressing buttons to a painted result.

    The page itself takes the time, as a test asks only now and then whether something has ended.

    Parameters
    ----------
    runner : Runner
        The cell or drill whose buttons are pressed, one after another.
    after : Runner, optional
        The cell that is run then, and whose result is awaited instead.
    """
    last = after or runner
    handle = last.root.element_handle()
    return float(runner.root.evaluate(WAIT, [list(actions), handle, bool(after)])) / 1000


def memory(page: Page) -> float:
    """Return the megabytes of the largest of the browser's processes, which is the page's.

    Pages shared with other processes are counted in proportion.
    """
    del page  # its process cannot be asked for
    ours = [
        process
        for process in psutil.Process().children(recursive=True)
        if "--type=renderer" in process.cmdline()
    ]
    return float(max(process.memory_full_info().pss for process in ours)) / 1e6


def visit(profile: str, address: str) -> dict[str, float]:
    """Do once all that is timed, and return the figures by name."""
    found = {}
    with opened(profile, address) as page:
        idle = memory(page)
        cell = Runner.cell(page, 0)
        found["click to result, s"] = seconds(cell, "run")
        found["memory above the idle page, MB"] = memory(page) - idle
        again = [seconds(cell, "run") for _ in range(5)]
        found["a small cell afterwards, s"] = statistics.median(again)
        drill = Runner.drill(page, DRILL)
        drill.write(_solution())
        drill.run()  # which fetches PyTorch's answers
        graded = [seconds(drill, "grade") for _ in range(5)]
        found["a grade, s"] = statistics.median(graded)
        cell.write(LOOP)
        cell.press("run")
        cell.root.locator(".run-stdout").wait_for()
        other = Runner.cell(page, 1)
        found["stop to ready, s"] = seconds(cell, "stop", "reset", after=other)
    return found


def _solution() -> str:
    """Return the reference as a reader would write it: a call of the book's own function."""
    return f"from dlbook.drills import registry\n{DRILL} = registry.drill({DRILL!r}).reference\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5, help="of each kind (%(default)s)")
    visits = parser.parse_args().visits
    if visits < 1:
        parser.error("--visits takes a number from 1 on")
    if reason := book.why_unusable():
        sys.exit(reason)
    assert DRILL in {drill.name for drill in drills.all_drills()}
    sent: dict[str, int] = {}

    def log(path: Path, size: int) -> None:
        if "pagepython" in path.parts:
            sent[path.name] = size

    results: dict[str, list[float]] = {}
    with serve.serve(book.SITE, log) as address:
        for _ in range(visits):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
                for kind in ("cold", "warm"):
                    for name, figure in visit(profile, address).items():
                        key = f"{kind}: {name}" if "click" in name else name
                        results.setdefault(key, []).append(figure)
    results["on the wire, MB"] = [sum(sent.values()) / 1e6]
    print("| what | median | from | to | goal |\n|---|---|---|---|---|")
    for name, goal in GOALS.items():
        found = results[name]
        print(
            f"| {name} | {statistics.median(found):.3g} | {min(found):.3g} | {max(found):.3g} "
            f"| ≤ {goal:g} {'met' if statistics.median(found) <= goal else 'missed'} |"
        )
    print("\nKilobytes on the wire:")
    for name, size in sorted(sent.items(), key=lambda entry: -entry[1]):
        print(f"{name}: {size / 1000:.1f}")


if __name__ == "__main__":
    main()
