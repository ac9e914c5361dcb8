"""What axe-core, the accessibility checker, says of a page."""

from __future__ import annotations

from importlib import resources

from playwright.sync_api import Page

#: The rules that look at colors. They take most of the time, and a width changes no color.
CONTRAST = ("color-contrast",)

#: Kinds of rules. Those that axe-core itself calls experimental are left out.
_KINDS = (
    *("wcag2a", "wcag2aa", "wcag2aaa", "wcag21a", "wcag21aa", "wcag22aa"),
    "best-practice",
)

#: The book keeps to a contrast of 4.5 : 1 (level AA); this rule asks for 7 : 1 (level AAA).
_NOT_OURS = ("color-contrast-enhanced",)

_RUN = """async ([where, only, kinds, without]) => {
  const { violations } = await axe.run(where ?? document, {
    runOnly: only.length ? { type: "rule", values: only } : { type: "tag", values: kinds },
    rules: Object.fromEntries(without.map((rule) => [rule, { enabled: false }])),
    resultTypes: ["violations"],
  });
  return violations.flatMap(({ id, help, nodes }) => nodes.map(({ target, html, failureSummary }) =>
    `${id} (${help}): ${target.join(" ")}: ${html.slice(0, 160)}: ${
      failureSummary.replace(/\\s+/g, " ")}`));
}"""


def violations(
    page: Page, where: str | None = None, *, only: tuple[str, ...] = (), but: tuple[str, ...] = ()
) -> list[str]:
    """Return what axe-core objects to, one sentence an element.

    The script comes in through the debugger, so the content policy of the page stays as it is.

    Parameters
    ----------
    page : Page
        A loaded page.
    where : str, optional
        A CSS selector of the elements to look at; the whole page, if not given.
    only : tuple of str
        The rules to run; all that count for this book, if empty.
    but : tuple of str
        Rules not to run.
    """
    if not page.evaluate("'axe' in window"):
        source = resources.files("axe_playwright_python").joinpath("axe.min.js")
        page.evaluate(source.read_text(encoding="utf-8") + "; undefined")
    found: list[str] = page.evaluate(_RUN, [where, only, _KINDS, (*_NOT_OURS, *but)])
    return found
