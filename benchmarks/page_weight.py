"""What each page of the book weighs, by kind, beside a page of a stock Jupyter Book.

``python benchmarks/page_weight.py`` after ``make book``. A browser loads each page from a server
on this machine; whatever it asks of other hosts is blocked and counted, its size unknown.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, Response, Route

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import book, browser, serve  # noqa: E402

KINDS = ("HTML", "CSS", "JS", "fonts", "images", "figure data")
_SUFFIXES = {
    ".css": "CSS", ".js": "JS", ".woff2": "fonts", ".woff": "fonts", ".ttf": "fonts",
    ".svg": "images", ".png": "images", ".html": "HTML",
}  # fmt: skip
_PACKED = {".png", ".woff2", ".woff"}

Sizes = dict[str, tuple[int, int]]

STOCK_CONFIG = "title: Stock\nauthor: Nobody\nexecute:\n  execute_notebooks: 'off'\n"
STOCK_TOC = "format: jb-book\nroot: intro\nchapters:\n- file: chapter\n"
STOCK_PAGE = "# Stock\n\nA page with a formula, $x^2$.\n"


def kind_of(url: str) -> str:
    """Return the kind of what an address names."""
    if "/livefigures/" in url:
        return "figure data"
    return _SUFFIXES.get(Path(urlsplit(url).path).suffix, "HTML")


def weigh(chromium: Browser, origin: str, name: str) -> tuple[Sizes, int]:
    """Return the raw and gzipped bytes of a page by kind, and how often it asks other hosts.

    Parameters
    ----------
    chromium : Browser
    origin : str
        Address of the site, with a slash at its end.
    name : str
        The page, relative to the site.
    """
    raw: dict[str, int] = defaultdict(int)
    packed: dict[str, int] = defaultdict(int)
    responses: list[Response] = []
    elsewhere = 0

    def take(response: Response) -> None:
        if response.url.startswith(origin):
            responses.append(response)

    def block(route: Route) -> None:
        nonlocal elsewhere
        if route.request.url.startswith((origin, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere += 1
            route.abort()

    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.on("response", take)
    page.route("**/*", block)
    page.goto(origin + name, wait_until="networkidle")
    # Figures load their data when they come near: see the whole page.
    page.evaluate("""async () => {
      for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
        scrollTo(0, y);
        await new Promise((done) => setTimeout(done, 30));
      }
    }""")
    page.wait_for_load_state("networkidle")
    for response in responses:
        body, kind = response.body(), kind_of(response.url)
        suffix = Path(urlsplit(response.url).path).suffix
        raw[kind] += len(body)
        packed[kind] += len(body) if suffix in _PACKED else len(gzip.compress(body, mtime=0))
    page.context.close()
    return {kind: (raw[kind], packed[kind]) for kind in KINDS}, elsewhere


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


def row(name: str, sizes: Sizes, elsewhere: int) -> str:
    """Return a line of the table: gzipped kilobytes by kind, sums, and requests elsewhere."""
    cells = [f"{sizes[kind][1] / 1000:.1f}" for kind in KINDS]
    before = sum(packed for kind, (_, packed) in sizes.items() if kind != "figure data")
    everything = sum(plain for plain, _ in sizes.values())
    sums = [f"**{before / 1000:.1f}**", f"{everything / 1000:.0f}", str(elsewhere)]
    return f"| {name} | {' | '.join([*cells, *sums])} |"


def report(chromium: Browser, site: Path, title: str, names: list[str]) -> None:
    """Print a line for each page of a site, and the size of the site."""
    with serve.serve(site) as origin:
        for name in names:
            print(row(f"{title}: {name}", *weigh(chromium, origin, name)), flush=True)


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
