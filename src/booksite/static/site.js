/* What style sheets cannot do. */

// What is too wide for the screen scrolls. Who has no pointer reaches it with Tab: a formula, and
// what was inside a closed block when the theme looked for wide code and tables.
{
  const wide = "div.math, pre, .cell_output > .output, .pst-scrollable-table-container";
  const boxes = document.querySelectorAll(wide);
  const look = (box) => {
    const scrolls = box.scrollWidth > box.clientWidth;
    box.tabIndex = scrolls ? 0 : -1;
    if (!box.matches("div.math")) return;
    for (const [name, value] of [["role", "group"], ["aria-label", "Formula"]])
      if (scrolls) box.setAttribute(name, value);
      else box.removeAttribute(name);
  };
  const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => look(target)));
  for (const box of boxes) observer.observe(box);
  // A font that comes late widens what is in a box, not the box.
  document.fonts.addEventListener("loadingdone", () => boxes.forEach(look));
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
