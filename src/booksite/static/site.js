/* What style sheets cannot do. */

// What is too wide for the screen scrolls. Who has no pointer reaches it with Tab: a formula, and
// what was inside a closed block when the theme looked for wide code and tables.
{
  const wide = "div.math, pre, .cell_output > .output, .pst-scrollable-table-container";
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const scrolls = target.scrollWidth > target.clientWidth;
      target.tabIndex = scrolls ? 0 : -1;
      if (!target.matches("div.math")) continue;
      for (const [name, value] of [["role", "group"], ["aria-label", "Formula"]])
        if (scrolls) target.setAttribute(name, value);
        else target.removeAttribute(name);
    }
  });
  for (const box of document.querySelectorAll(wide)) observer.observe(box);
}

// Paper is light, code and all, whatever the screen shows. Afterwards the theme is what its own
// rule says: some browsers change the preferred scheme for the time of printing, too.
{
  const { dataset } = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  for (const media of [paper, dark])
    media.addEventListener("change", () => {
      const auto = dark.matches ? "dark" : "light";
      dataset.theme = paper.matches ? "light" : dataset.mode === "auto" ? auto : dataset.mode;
    });
}
