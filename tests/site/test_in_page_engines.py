"""Python in the page in Firefox and in WebKit: a cell, an error, a loop that ends, a drill."""

from __future__ import annotations

import time

import pytest
from support.book import Site
from support.engines import Engine
from support.in_page import PATIENCE

CHAPTER = "notebooks/08_detection.html"

#: Presses a button, after it has opened the editor and put code in if there is any.
_PRESS = """(selector, action, code) => {
  const owner = document.querySelector(selector);
  const act = () => owner.querySelector(`[data-action="${action}"]`).click();
  if (!code) return act();
  owner.querySelector('[data-action="edit"]').click();
  const write = () => {
    const field = owner.querySelector("textarea");
    if (!field) return setTimeout(write, 20);
    field.value = code;
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    setTimeout(act, 50);
  };
  write();
}"""

_STATE = """(selector) => {
  const owner = document.querySelector(selector);
  return [owner.dataset.state, owner.querySelector(".result").innerText];
}"""


def _press(engine: Engine, selector: str, action: str, code: str = "") -> None:
    engine.call(_PRESS, selector, action, code)


def _wait(engine: Engine, selector: str, *states: str) -> str:
    """Return what came of a cell or drill once it is in one of some states."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        state, result = engine.call(_STATE, selector)
        if state in states:
            return str(result)
        if time.monotonic() > deadline:
            pytest.fail(f"{selector} is still {state}: {result}")
        time.sleep(0.05)


def test_cells_and_drills_in_another_engine(site: Site, engine: Engine) -> None:
    engine.complaints(site.address)
    engine.goto(site.address + CHAPTER)
    first, second = '.runnable[data-cell="1"]', ".runnable:not([data-cell='1'])"
    _press(engine, first, "run", "import numpy as np\nprint(np.arange(3) + 1)")
    assert "[1 2 3]" in _wait(engine, first, "passed", "error")
    _press(engine, second, "run", "1 / 0")
    assert "ZeroDivisionError" in _wait(engine, second, "passed", "error")
    _press(engine, second, "run", "print('here')\nwhile True: pass")
    _wait(engine, second, "running")
    _press(engine, second, "stop")
    assert "Stopped" in _wait(engine, second, "stopped")
    drill = '.drill[data-drill="iou"]'
    known = "from dlbook.drills import registry\niou = registry.drill('iou').reference"
    _press(engine, drill, "grade", known)
    assert "cases pass" in _wait(engine, drill, "passed", "failed", "error")
    assert not engine.complaints(site.address)
