"""Every notebook in a real JupyterLab: it runs, and its figures answer to widgets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Locator, Page, expect
from support.book import ROOT
from support.browser import NewPage
from support.kernel import Drawings
from support.lab import jupyterlab, open_and_run

_XML = "(svg) => new XMLSerializer().serializeToString(svg)"


#: JupyterLab has words of its own for the console; these concern a figure.
_OURS = re.compile("livefigure|anywidget|widget", re.IGNORECASE)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks, as running them writes outputs into them."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    with jupyterlab(folder / "notebooks", folder / "private") as address:
        yield address


def test_notebook_works_in_jupyterlab(
    notebook: Path,
    lab: str,
    new_page: NewPage,
    drawn_by_kernel: Callable[[Path], Drawings],
) -> None:
    page = new_page()
    exceptions: list[str] = []
    ours: list[str] = []
    page.on("pageerror", lambda error: exceptions.append(str(error)))

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and _OURS.search(message.text):
            ours.append(message.text)

    page.on("console", listen)
    assert open_and_run(page, lab, notebook.name) == []
    figures = page.locator(".jp-OutputArea-output:has(figure.livefigure)")
    expect(figures).to_have_count(len(drawn_by_kernel(notebook)))
    for output in figures.all():
        _assert_answers(page, output)
    assert exceptions == []
    assert ours == []


def _assert_answers(page: Page, output: Locator) -> None:
    """Move the first control, with the keyboard if it is a slider; picture and caption follow."""
    output.scroll_into_view_if_needed()
    image = output.locator("figure.livefigure svg")
    expect(image).to_be_visible()
    before = image.evaluate(_XML)
    caption = output.locator("figcaption").inner_text()
    handle = output.locator(".noUi-handle").first
    if handle.count():
        first = handle.get_attribute("aria-valuenow")
        handle.focus()
        page.keyboard.press("End")
        if handle.get_attribute("aria-valuenow") == first:
            page.keyboard.press("Home")
    elif (field := output.locator("select").first).count():
        field.select_option(index=field.evaluate("(field) => field.selectedIndex === 0 ? 1 : 0"))
    else:
        output.locator("button:not(.mod-active), [type=checkbox]").first.click()
    expect(output.locator("figcaption")).not_to_have_text(caption)
    page.wait_for_function(
        "([svg, before]) => new XMLSerializer().serializeToString(svg) !== before",
        arg=[image.element_handle(), before],
    )
