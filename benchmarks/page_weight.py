"""What each page of the book weighs, by kind, beside a page of a stock Jupyter Book.

``python benchmarks/page_weight.py`` after ``make book``. A browser loads each page from a server
on this machine; whatever it asks of other hosts is blocked and counted, its size unknown.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import book, browser, serve  # noqa: E402
from support.weight import KINDS, Weight, weigh  # noqa: E402

STOCK_CONFIG = "title: Stock\nauthor: Nobody\nexecute:\n  execute_notebooks: 'off'\n"
STOCK_TOC = "format: jb-book\nroot: intro\nchapters:\n- file: chapter\n"
STOCK_PAGE = "# Stock\n\nA page with a formula, $x^2$.\n"


def build_stock(folder: Path) -> Path:
    """Build a book of two pages with nothing but the defaults, and return its site."""
    (folder / "_config.yml").write_text(STOCK_CONFIG)
    (folder / "_toc.yml").write_text(STOCK_TOC)
    (folder / "intro.md").write_text(STOCK_PAGE)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell("# Chapter"), nbformat.v4.new_code_cell("1")]
    nbformat.write(notebook, folder / "chapter.ipynb")
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"the stock book was not built:\n{result.stdout}{result.stderr}")
    return folder / "_build" / "html"


def total(folder: Path) -> tuple[int, int]:
    """Return the number of files below a folder and their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def row(name: str, weight: Weight) -> str:
    """Return a line of the table: gzipped kilobytes by kind, sums, and requests elsewhere."""
    cells = [f"{weight.gzipped.get(kind, 0) / 1000:.1f}" for kind in KINDS]
    sums = [f"**{weight.before_figures / 1000:.1f}**", f"{sum(weight.raw.values()) / 1000:.0f}"]
    return f"| {' | '.join([name, *cells, *sums, str(weight.elsewhere)])} |"


def report(chromium: Browser, site: Path, title: str, names: list[str]) -> None:
    """Print a line for each page of a site, and the size of the site."""
    with serve.serve(site) as origin:
        for name in names:
            page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
            print(row(f"{title}: {name}", weigh(page, origin, name)), flush=True)
            page.context.close()


def main() -> None:
    """Print the table."""
    reason = book.why_unusable()
    if reason:
        sys.exit(reason)
    heads = ["page (KB, gzipped)", *KINDS, "all but figure data", "raw, all", "other hosts"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with browser.launch() as chromium, tempfile.TemporaryDirectory() as folder:
        # The root only leads on to another page.
        names = [name for name in book.pages() if name != "index.html"]
        report(chromium, book.SITE, "book", names)
        stock = build_stock(Path(folder))
        report(chromium, stock, "stock", ["intro.html", "chapter.html"])
        for title, site in (("book", book.SITE), ("stock", stock)):
            count, size = total(site)
            print(f"\nThe site of the {title} has {count} files, {size / 1e6:.1f} MB.")


if __name__ == "__main__":
    main()
