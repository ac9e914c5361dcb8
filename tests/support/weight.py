"""What a browser fetches for a page, by kind, raw and gzipped."""

from __future__ import annotations

import gzip
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, Response, Route

KINDS = ("HTML", "CSS", "JS", "fonts", "images", "figure data")
_SUFFIXES = {
    ".css": "CSS", ".js": "JS", ".woff2": "fonts", ".woff": "fonts", ".ttf": "fonts",
    ".svg": "images", ".png": "images", ".html": "HTML",
}  # fmt: skip
_PACKED = {".png", ".woff2", ".woff"}


@dataclass(frozen=True)
class Weight:
    """What one page made the browser fetch.

    Attributes
    ----------
    raw, gzipped : dict of str to int
        Bytes by kind. What is packed already counts as it is.
    elsewhere : int
        How often the page asked another host; it got no answer.
    """

    raw: dict[str, int]
    gzipped: dict[str, int]
    elsewhere: int

    @property
    def before_figures(self) -> int:
        """The gzipped bytes of all but the data of figures."""
        return sum(size for kind, size in self.gzipped.items() if kind != "figure data")


def kind_of(url: str) -> str:
    """Return the kind of what an address names."""
    if "/livefigures/" in url:
        return "figure data"
    return _SUFFIXES.get(Path(urlsplit(url).path).suffix, "HTML")


def weigh(page: Page, origin: str, name: str) -> Weight:
    """Open a page, go to its end, and weigh what the browser fetched.

    Parameters
    ----------
    page : Page
        A page in a browser that remembers nothing.
    origin : str
        Address of the site, with a slash at its end.
    name : str
        The page, relative to the site; one that leads on to another cannot be weighed.
    """
    responses: list[Response] = []
    elsewhere: list[str] = []

    def take(response: Response) -> None:
        if response.url.startswith(origin):
            responses.append(response)

    def block(route: Route) -> None:
        if route.request.url.startswith((origin, "data:", "blob:")):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

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
    raw: dict[str, int] = defaultdict(int)
    gzipped: dict[str, int] = defaultdict(int)
    for response in responses:
        body, kind = response.body(), kind_of(response.url)
        is_packed = Path(urlsplit(response.url).path).suffix in _PACKED
        raw[kind] += len(body)
        gzipped[kind] += len(body) if is_packed else len(gzip.compress(body, mtime=0))
    return Weight(dict(raw), dict(gzipped), len(elsewhere))
