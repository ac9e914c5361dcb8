"""Cells and drills of a page, worked as a reader works them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from playwright.sync_api import Locator, Page, expect

#: Milliseconds until a first result, on a busy machine.
PATIENCE = 60_000
_ENDS = ("passed", "failed", "error", "stopped")


@dataclass(frozen=True)
class Runner:
    """One cell or drill: code with buttons, and what comes of it.

    Attributes
    ----------
    page : Page
        Where it is.
    root : Locator
        Its element.
    """

    page: Page
    root: Locator

    @classmethod
    def cell(cls, page: Page, place: int) -> Self:
        """Return the runnable cell at a place, from 0 on; the last one for -1."""
        return cls(page, page.locator(".runnable").nth(place))

    @classmethod
    def drill(cls, page: Page, name: str) -> Self:
        """Return a drill."""
        return cls(page, page.locator(f'.drill[data-drill="{name}"]'))

    def button(self, action: str) -> Locator:
        """Return a button."""
        return self.root.locator(f'[data-action="{action}"]').first

    def open(self) -> None:
        """Open what is folded around it."""
        self.root.evaluate(
            "node => node.querySelectorAll('details.hide').forEach((one) => { one.open = true; })"
        )

    def edit(self) -> Locator:
        """Open the editor and return its text field."""
        self.open()
        if self.button("edit").is_visible():
            self.button("edit").click()
        field = self.root.locator("textarea")
        field.focus()
        expect(field).to_be_focused()
        return field

    def write(self, code: str) -> None:
        """Replace the code, without what an editor adds to typed brackets."""
        self.edit()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(code)

    def press(self, action: str) -> None:
        """Press a button."""
        self.open()
        self.button(action).click()

    def ended(self, *states: str, within: int = PATIENCE) -> str:
        """Wait until it has run, and return its state."""
        wanted = states or _ENDS
        box = self.root.and_(self.page.locator(",".join(f"[data-state={s}]" for s in wanted)))
        expect(box).to_have_count(1, timeout=within)
        return self.root.get_attribute("data-state") or ""

    def run(self) -> str:
        """Run a cell, or grade a drill, and return the state in which that ends."""
        is_drill = self.root.get_attribute("data-drill") is not None
        self.press("grade" if is_drill else "run")
        return self.ended()

    @property
    def result(self) -> str:
        """What came of it."""
        return self.root.locator(".result").inner_text()

    @property
    def code(self) -> str:
        """The code as it stands."""
        field = self.root.locator("textarea")
        return field.input_value() if field.count() else self.root.locator("pre").first.inner_text()
