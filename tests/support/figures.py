"""Live figures on a page, moved and read through the markup that every tool may rely on."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

#: One element of a drawing: its tag, its attributes in order, its text.
Element = tuple[str, tuple[tuple[str, str], ...], str]

#: Kinds of artists that only say in words what others show.
WORDS = ("Text", "Annotation", "XAxis", "YAxis", "Legend")

#: What the page adds to the root for itself: its size on this screen, its description.
_OF_THE_PAGE = ("width", "height", "aria-labelledby", "data-size")

_CONTROLS = """(form) => {
  const found = {};
  for (const input of form.elements) {
    if (!input.name || input.name in found) continue;
    const same = [...form.querySelectorAll(`[name="${input.name}"]`)];
    const [kind, count, value] =
      input.type === "range" ? ["range", +input.max - +input.min + 1, +input.value - +input.min]
      : input.type === "checkbox" ? ["checkbox", 2, +input.checked]
      : input.type === "radio" ? ["radio", same.length, same.findIndex((radio) => radio.checked)]
      : ["select", input.options.length, input.selectedIndex];
    found[input.name] = [kind, count, value];
  }
  return found;
}"""

_MOVE = """(form, positions) => {
  for (const [name, position] of Object.entries(positions)) {
    const inputs = [...form.querySelectorAll(`[name="${name}"]`)];
    const input = inputs[0].type === "radio" ? inputs[position] : inputs[0];
    if (input.type === "range") input.value = +input.min + position;
    else if (input.type === "select-one") input.selectedIndex = position;
    else input.checked = input.type === "radio" || position > 0;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""

_DATA = """(svg, words) => [...svg.querySelectorAll("[data-slot]")]
  .filter((slot) => !words.includes(slot.dataset.kind))
  .map((slot) => slot.innerHTML).join("\\n")"""

_SMALLEST_TEXT = """(svg) => Math.min(...[...svg.querySelectorAll("text")].map((text) => {
  const { a, b } = text.getScreenCTM();
  const sized = [text, ...text.querySelectorAll("tspan")]
    .filter((node) => node.matches("[font-size]"));
  const sizes = sized.map((node) => parseFloat(getComputedStyle(node).fontSize));
  return Math.max(...sizes) * Math.hypot(a, b);  // the largest of a line, as exponents are small
}))"""

_XML = "(svg) => new XMLSerializer().serializeToString(svg)"


@dataclass(frozen=True)
class Control:
    """One control of a figure: its kind, how many positions it has, where it stands."""

    kind: str
    count: int
    position: int


class Figure(ABC):
    """A live figure that a browser has open; a subclass says how that browser is spoken to.

    Attributes
    ----------
    name : str
        Its id.
    """

    name: str

    @abstractmethod
    def ask(self, part: str, script: str, argument: Any = None) -> Any:
        """Call a function of the page and return, as JSON would, what it returns or promises.

        Parameters
        ----------
        part : str
            The element that it gets first: ``svg``, ``form``, ``figcaption``, or ``:scope``
            for the figure itself.
        script : str
            The function, in JavaScript.
        argument : optional
            What it gets second.
        """

    @abstractmethod
    def press(self, key: str) -> None:
        """Press a key, named as ``KeyboardEvent.key`` names it."""

    def controls(self) -> dict[str, Control]:
        """Return the controls by name."""
        found: dict[str, list[Any]] = self.ask("form", _CONTROLS)
        return {name: Control(*entry) for name, entry in found.items()}

    def positions(self) -> dict[str, int]:
        """Return where the controls stand."""
        return {name: control.position for name, control in self.controls().items()}

    def move(self, positions: Mapping[str, int]) -> None:
        """Put native inputs to positions, as a reader's hand would, and wait for the frame."""
        self.ask("form", _MOVE, dict(positions))

    def tab_to(self, name: str) -> None:
        """Press Tab from the top of the figure until a control has the focus."""
        self.ask(":scope", "(root) => { root.tabIndex = -1; root.focus(); }")
        for _ in range(2 * len(self.controls())):
            self.press("Tab")
            if self.ask(":scope", "() => document.activeElement.name") == name:
                return
        raise AssertionError(f"Tab does not reach {name}")

    def step(self, name: str) -> None:
        """Move a control to the next position by keyboard alone, from the last one back."""
        self.tab_to(name)
        control = self.controls()[name]
        back = control.position == control.count - 1
        if control.kind == "checkbox":
            self.press(" ")
        elif control.kind == "range":
            self.press("ArrowLeft" if back else "ArrowRight")
        else:
            self.press("ArrowUp" if back else "ArrowDown")

    def caption(self) -> str:
        """Return the present caption."""
        return self.ask("figcaption", "(caption) => caption.textContent") or ""

    def data(self) -> str:
        """Return the present markup of all artists that show data."""
        text: str = self.ask("svg", _DATA, list(WORDS))
        return text

    def smallest_text(self) -> float:
        """Return the size of the smallest text of the picture, in pixels of the screen."""
        size: float = self.ask("svg", _SMALLEST_TEXT)
        return size

    def svg(self) -> str:
        """Return the present drawing as XML."""
        text: str = self.ask("svg", _XML)
        return text

    def seen(self) -> tuple[list[Element], str]:
        """Return drawing and caption, to be compared with other ones."""
        return flatten(self.svg()), self.caption()

    def elsewhere(self) -> dict[str, int]:
        """Return positions that all differ from the present ones."""
        return {
            name: (control.position + 1) % control.count
            for name, control in self.controls().items()
        }

    def against(self, state: Mapping[str, Any]) -> str | None:
        """Return how the figure differs from what the kernel drew, or ``None``.

        Parameters
        ----------
        state : mapping
            ``svg`` and ``caption``, as :mod:`support.probe` writes them.
        """
        svg, caption = self.seen()
        if found := difference(svg, flatten(state["svg"])):
            return found
        if caption != state["caption"]:
            return f"{caption!r} is not {state['caption']!r}"
        return None


class LiveFigurePage(Figure):
    """A live figure on a page that Playwright has open."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        self.root: Locator = page.locator(f"figure.livefigure#{name}")
        self.form = self.root.locator("form")
        self.image = self.root.locator("svg")

    @classmethod
    def open(cls, page: Page, address: str, name: str) -> LiveFigurePage:
        """Open a page, bring a figure near, and wait until it is alive."""
        page.goto(address)
        figure = cls(page, name)
        figure.wait_live()
        return figure

    def ask(self, part: str, script: str, argument: Any = None) -> Any:
        return self.root.locator(part).evaluate(script, argument)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def wait_live(self) -> None:
        """Wait until the figure has its data; fail with its own words if it cannot."""
        self.root.scroll_into_view_if_needed()
        self.page.wait_for_function(
            "(name) => ['live', 'failed'].includes(document.getElementById(name).dataset.state)",
            arg=self.name,
        )
        state = self.root.get_attribute("data-state")
        assert state == "live", f"{self.name} is {state}: {self.root.inner_text()}"


def flatten(svg: str) -> list[Element]:
    """Return the elements of a drawing in order, without the wrappers of single artists.

    The page wraps only the artists that move, the kernel all of them. Clip paths come last, by
    id: a kernel defines one when an artist first needs it.
    """
    root = ET.fromstring(svg)
    for attribute in _OF_THE_PAGE:
        root.attrib.pop(attribute, None)
    elements: list[Element] = []
    clips: list[list[Element]] = []

    def visit(node: ET.Element, into: list[Element]) -> None:
        tag = node.tag.rpartition("}")[2]
        if tag == "clipPath":
            into = []
            clips.append(into)
        if not (tag == "g" and "data-slot" in node.attrib):
            into.append((tag, tuple(sorted(node.attrib.items())), node.text or ""))
        for child in node:
            visit(child, into)

    visit(root, elements)
    used = {value for _, attributes, _ in elements for key, value in attributes
            if key == "clip-path"}  # fmt: skip
    kept = [clip for clip in clips if f"url(#{dict(clip[0][1]).get('id')})" in used]
    return elements + [element for clip in sorted(kept) for element in clip]


def difference(ours: Sequence[Element], theirs: Sequence[Element]) -> str | None:
    """Return where two drawings first differ, or ``None``."""
    for index, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return f"element {index}: {a!r:.300} is not {b!r:.300}"
    if len(ours) != len(theirs):
        return f"{len(ours)} elements are not {len(theirs)}"
    return None
