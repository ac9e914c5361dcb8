"""Formulas on a phone: whatever is too long must be reachable from its beginning."""

from __future__ import annotations

from support.book import Site
from support.browser import NewPage

# Text left of a box that scrolls cannot be scrolled into view.
BEGINS_OUTSIDE = """() => [...document.querySelectorAll('div.math')].filter(box => {
  const formula = box.querySelector('.katex-html');
  return formula && formula.getBoundingClientRect().width > 0
    && formula.getBoundingClientRect().left < box.getBoundingClientRect().left - 1;
}).map(box => box.querySelector('annotation').textContent)"""


def test_long_formulas_begin_on_the_page(page_name: str, site: Site, new_page: NewPage) -> None:
    page = new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site.address + page_name, wait_until="load")
    page.wait_for_load_state("networkidle")  # the root leads on to the first page
    assert page.evaluate(BEGINS_OUTSIDE) == []
