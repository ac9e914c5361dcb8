"""Python in the page, in a real browser: cells and drills of the built site."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect
from support import book, serve
from support.axe import violations
from support.book import Site
from support.browser import NewPage, Watch
from support.in_page import PATIENCE, Runner

from dlbook.drills import registry

CHAPTER = "notebooks/08_detection.html"
IOU = """def iou(a, b):
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = lambda x: (x[:, 2:] - x[:, :2]).prod(axis=1)
    whole = area(a)[:, None] + area(b) - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
"""
WRONG = IOU.replace(" - shared\n", "\n", 1)
LOOP = "while True:\n    pass"


@pytest.fixture
def page(new_page: NewPage, site: Site) -> Iterator[Page]:
    """A chapter, watched: no test may leave a complaint."""
    made = new_page()
    watch = Watch(site.address)
    watch.attach(made)
    made.goto(site.address + CHAPTER)
    yield made
    watch.check()


@pytest.fixture
def copied(tmp_path: Path, site: Site) -> Path:
    """A site of its own, to be damaged: links to the files of the built one."""
    target = tmp_path / "site"
    shutil.copytree(site.folder, target, copy_function=os.link)
    return target


def test_every_chapter_has_cells_and_drills(notebook: Path, site: Site, new_page: NewPage) -> None:
    """And nothing of Python is asked for before a reader touches them."""
    page = new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.address + book.page_of(notebook), wait_until="networkidle")
    assert page.locator(".runnable").count() >= 8
    assert page.locator('.drill [data-action="grade"]').count() >= 3
    ours = [url for url in asked if "/pagepython/" in url]
    assert {url.partition("?")[0].rpartition("/")[2] for url in ours} == {
        "start.js",
        "pagepython.css",
    }


def test_pages_without_cells_load_nothing(site: Site, new_page: NewPage) -> None:
    page = new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("book/intro.html", "book/glossary.html", "search.html"):
        page.goto(site.address + name, wait_until="networkidle")
    assert not [url for url in asked if "/pagepython/" in url]


def test_a_cell_runs_after_those_before_it(page: Page) -> None:
    """What it prints is what stood there; an edited cell runs anew, others do not."""
    cell = Runner.cell(page, 2)
    assert cell.run() == "passed"
    first = Runner.cell(page, 0)
    assert first.root.get_attribute("data-state") == "passed"
    first.write(first.code + "\nprint('edited')")
    last = Runner.cell(page, 3)
    assert last.run() == "passed"
    assert "edited" in first.result
    first.press("reset")
    assert "edited" not in first.code
    assert not first.root.locator(".result").is_visible()


def test_an_error_marks_its_line(page: Page) -> None:
    cell = Runner.cell(page, 0)
    cell.write("x = 1\ny = x / 0\n")
    page.keyboard.press("Control+Enter")
    assert cell.ended() == "error"
    assert "ZeroDivisionError" in cell.result and "line 2" in cell.result
    assert cell.root.locator("textarea").get_attribute("aria-invalid") == "true"
    page.keyboard.press("End")
    page.keyboard.insert_text("#")
    expect(cell.root.locator("textarea")).not_to_have_attribute("aria-invalid", "true")
    after = Runner.cell(page, 1)
    cell.write("raise ValueError('not today')")
    after.press("run")
    assert cell.ended("error") == "error"
    expect(after.root.locator(".run-note").first).to_contain_text("did not run")


def test_modules_of_the_book_are_the_very_files(page: Page) -> None:
    cell = Runner.cell(page, 0)
    cell.write(
        "import hashlib, inspect\nfrom dlbook import detection\n"
        "print(hashlib.sha256(inspect.getsource(detection).encode()).hexdigest())"
    )
    assert cell.run() == "passed"
    source = (book.ROOT / "src" / "dlbook" / "detection.py").read_bytes()
    assert cell.result.strip() == hashlib.sha256(source).hexdigest()


def test_absent_modules_are_named_in_a_sentence(page: Page) -> None:
    cell = Runner.cell(page, 0)
    cell.write("import torch")
    assert cell.run() == "error"
    assert "PyTorch does not run in a web page" in cell.result
    assert "Traceback" not in cell.result


def test_a_flood_of_output_is_cut(page: Page) -> None:
    cell = Runner.cell(page, 0)
    cell.write("for k in range(1_000_000): print('line', k)")
    assert cell.run() == "passed"
    assert "Output is cut after 200,000 characters" in cell.result
    assert len(cell.result) < 201_000


def test_memory_has_a_limit(page: Page) -> None:
    cell = Runner.cell(page, 0)
    cell.write("import numpy as np\nbig = np.ones((12_000, 12_000))")
    assert cell.run() == "error"
    assert "not enough memory" in cell.result
    cell.write("print('alive')")
    assert cell.run() == "passed"
    assert "alive" in cell.result


def test_an_endless_loop_is_stopped_by_the_button(page: Page) -> None:
    cell = Runner.cell(page, 0)
    cell.write(f"print('before')\n{LOOP}")
    cell.press("run")
    expect(cell.root.locator(".result")).to_contain_text("before", timeout=PATIENCE)
    cell.press("stop")
    assert cell.ended() == "stopped"
    assert "before" in cell.result and "variables are gone" in cell.result
    assert LOOP in cell.code
    cell.write("print('again')")
    assert cell.run() == "passed"


def test_an_endless_loop_is_stopped_by_the_limit(page: Page) -> None:
    cell = Runner.cell(page, 0)
    cell.write("x = 1")
    assert cell.run() == "passed"
    cell.write(LOOP)
    cell.press("run")
    assert cell.ended("stopped", within=30_000) == "stopped"
    assert "limit of 10 seconds" in cell.result


def test_a_restart_needs_no_server(new_page: NewPage, copied: Path) -> None:
    """Neither does what comes after it: all that a restart needs was kept."""
    page = new_page()
    with serve.serve(copied) as address:
        page.goto(address + CHAPTER)
        cell = Runner.cell(page, 0)
        cell.write(LOOP)
        cell.press("run")
        cell.ended("running")
    cell.press("stop")
    assert cell.ended() == "stopped"
    cell.write("import numpy as np\nprint(np.arange(3) + 1)")
    assert cell.run() == "passed"
    assert "[1 2 3]" in cell.result


def test_a_drill_is_graded(page: Page) -> None:
    drill = Runner.drill(page, "iou")
    assert drill.run() == "failed"
    assert "nothing returned yet" in drill.result
    drill.write(WRONG)
    assert drill.run() == "failed"
    assert "expected" in drill.result and "got" in drill.result
    assert re.search(r"\d+ of \d+ cases pass", drill.result)
    drill.write(IOU)
    assert drill.run() == "passed"
    assert "all" in drill.result and "Speed" in drill.result
    assert drill.root.locator(".drill-follow-up").is_visible()


def test_code_of_a_drill_is_kept(page: Page, site: Site) -> None:
    drill = Runner.drill(page, "iou")
    drill.write(IOU)
    assert drill.run() == "passed"
    page.reload()
    drill = Runner.drill(page, "iou")
    expect(drill.root.locator(".run-note")).to_contain_text("solved")
    assert drill.code.strip() == IOU.strip()
    assert drill.root.locator(".drill-follow-up").is_visible()
    assert drill.run() == "passed"
    drill.press("reset")
    page.reload()
    assert "..." in Runner.drill(page, "iou").code


@pytest.mark.parametrize("name", ["adam", "nms", "matmul_shape"])
def test_reference_passes_and_wrong_solutions_are_named(
    name: str, site: Site, new_page: NewPage
) -> None:
    """In the page itself for some drills; in its runtime for all, by tests of dlbook."""
    drill = registry.drill(name)
    (chapter,) = (path for path in book.notebooks() if path.stem.endswith(f"_{drill.chapter}"))
    page = new_page()
    page.goto(site.address + book.page_of(chapter))
    runner = Runner.drill(page, name)
    known = f"from dlbook.drills import registry\n{name} = registry.drill({name!r})"
    runner.write(f"{known}.reference")
    assert runner.run() == "passed", runner.result
    for words in drill.wrong:
        runner.write(f"{known}.wrong[{words!r}]")
        assert runner.run() == "failed"
        beginning = words.partition("{")[0][:40]  # what comes in braces is filled in
        assert f"Likely mistake: {beginning}" in runner.result


def test_two_pages_at_once(page: Page, site: Site) -> None:
    other = page.context.new_page()
    other.goto(site.address + "notebooks/01_optimizers.html")
    one, two = Runner.cell(page, 0), Runner.cell(other, 0)
    one.write("z = 1\nprint(z)")
    two.write("try:\n    z\nexcept NameError:\n    print('not here')")
    assert one.run() == "passed"
    assert two.run() == "passed"
    assert "not here" in two.result


@pytest.mark.parametrize(
    "pattern",
    ["runtime-*/python.js", "runtime-*/*.wasm", "runtime-*/*.zip", "runtime-*/*.whl",
     "runtime-*/*lock.json", "*/modules.zip"],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_bad_file_is_named(pattern: str, damage: str, copied: Path, new_page: NewPage) -> None:
    (file,) = (copied / "_static" / "pagepython").glob(pattern)
    data = file.read_bytes()
    file.unlink()  # first, as it is a link to the built site's
    if damage == "damaged":
        file.write_bytes(data[:-1000] + bytes(1000))
    page = new_page()
    with serve.serve(copied) as address:
        page.goto(address + CHAPTER)
        cell = Runner.cell(page, 0)
        cell.press("run")
        assert cell.ended("error", within=30_000) == "error"
    assert file.name in cell.result and damage in cell.result
    assert cell.root.get_by_role("button", name="Retry").is_visible()


def test_where_storage_is_forbidden(site: Site, new_page: NewPage) -> None:
    page = new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden'); }})"
    )
    page.goto(site.address + CHAPTER)
    drill = Runner.drill(page, "iou")
    drill.write(IOU)
    assert drill.run() == "passed"
    expect(drill.root.locator(".run-note").first).to_contain_text("keeps nothing")


def test_from_a_file_it_is_for_reading(site: Site, new_page: NewPage) -> None:
    page = new_page()
    page.goto((site.folder / CHAPTER).as_uri())
    expect(page.locator("p.run-note").first).to_contain_text("make serve")
    assert page.locator("[data-action]").count() == 0
    assert page.locator(".drill-code pre").first.is_visible()


def test_code_never_comes_from_an_address(site: Site, new_page: NewPage) -> None:
    page = new_page()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.goto(f"{site.address}{CHAPTER}?code=print(1)#drill-iou?code=print(1)")
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "runtime-" in url]
    assert page.locator("[data-state=running], [data-state=loading]").count() == 0


def test_policy_holds_inside_python(page: Page, site: Site) -> None:
    """Python can reach JavaScript; the policy is what it cannot pass."""
    cell = Runner.cell(page, 0)
    cell.write(
        "import js\n"
        "try:\n    js.eval('1 + 1')\n    print('evaluated')\n"
        "except Exception as error:\n    print('refused:', 'unsafe-eval' in str(error))"
    )
    assert cell.run() == "passed"
    assert "refused: True" in cell.result


def test_worked_by_keyboard_alone(page: Page) -> None:
    """Tab indents inside the editor; Escape, then Tab, leaves it."""
    cell = Runner.cell(page, 0)
    cell.button("edit").focus()
    page.keyboard.press("Enter")
    expect(cell.root.locator("textarea")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("for k in range(2):\n")
    page.keyboard.press("Tab")
    page.keyboard.insert_text("print(k)")
    assert "\n    print(k)" in cell.code
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.dataset.action")
    assert focused == "run"
    page.keyboard.press("Enter")
    assert cell.ended() == "passed"
    assert cell.result.split() == ["0", "1"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_after_running(scheme: str, site: Site, new_page: NewPage) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": 360, "height": 740})
    page.goto(site.address + CHAPTER)
    cell = Runner.cell(page, 0)
    cell.write("print('x' * 500)\n1 / 0")
    assert cell.run() == "error"
    drill = Runner.drill(page, "iou")
    drill.write(WRONG)
    assert drill.run() == "failed"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    size = cell.root.locator("textarea").evaluate("node => getComputedStyle(node).fontSize")
    assert float(size.removesuffix("px")) >= 16  # phones zoom in on smaller text
    assert violations(page) == []


def test_idle_cost(site: Site) -> None:
    """Script and style of a page before its reader touches any code; then the editor."""
    home = site.folder / "_static" / "pagepython"

    def weight(*patterns: str) -> int:
        files = [path for pattern in patterns for path in home.glob(pattern)]
        assert len(files) == len(patterns)
        return sum(len(gzip.compress(path.read_bytes(), 9)) for path in files)

    assert weight("start.js", "pagepython.css") <= 2000
    assert weight("*/editor.js", "*/editor.css") <= 12_000


def test_bytes_on_the_wire(new_page: NewPage, site: Site) -> None:
    """All that a first result takes."""
    sent: dict[str, int] = {}
    with serve.serve(site.folder, lambda path, size: sent.update({str(path): size})) as address:
        page = new_page()
        page.goto(address + CHAPTER)
        assert Runner.cell(page, 0).run() == "passed"
    ours = {path: size for path, size in sent.items() if "pagepython" in path}
    assert sum(ours.values()) <= 9.3e6, ours
