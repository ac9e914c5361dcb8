/* The list of all drills: what is solved, what comes next, what is shown; and the reader's file. */

// All scripts of the page have run by then, whatever their order: one of them keeps the drills.
document.addEventListener("DOMContentLoaded", () => {
  const store = window.pagepython?.store;
  const keeps = () => Boolean(store?.works);
  const root = document.querySelector(".drills");
  const find = (selector) => root.querySelector(selector);
  const [tools, next, count, said, picker] = [
    ".drills-tools", ".drills-next", ".drills-count", ".drills-said", "input[type=file]",
  ].map(find);
  const entries = [...root.querySelectorAll(".drill-entry")];
  const filters = [...root.querySelectorAll("select")];
  const LEVELS = ["screening", "core", "senior"];
  const SIGNS = { untouched: "○", tried: "◐", solved: "●" };
  const NOTHING_KEPT =
    "This browser keeps nothing for this site: what you solve is not marked here, and your code is gone with its page.";

  // Chapter by chapter, in each from screening to senior.
  const chapters = [...new Set(entries.map((entry) => entry.dataset.chapter))];
  const rank = ({ dataset: { chapter, level } }) =>
    chapters.indexOf(chapter) * LEVELS.length + LEVELS.indexOf(level);
  const inTurn = [...entries].sort((a, b) => rank(a) - rank(b));
  const inState = (state) => inTurn.filter((entry) => entry.dataset.state === state);
  const drills = (n) => (n === 1 ? "1 drill" : `${n} drills`);

  const markStates = () => {
    const kept = store?.all() ?? {};
    for (const entry of entries) {
      const { drill } = entry.dataset;
      const state = (Object.hasOwn(kept, drill) && kept[drill].state) || "untouched";
      const sign = document.createElement("span");
      sign.ariaHidden = "true";
      sign.textContent = `${SIGNS[state]} `;
      entry.dataset.state = state;
      entry.querySelector(".drill-state").replaceChildren(sign, state);
    }
  };

  const showNext = () => {
    const solved = inState("solved").length;
    const tried = inState("tried").length;
    count.textContent = `${solved} of ${entries.length} solved${tried ? `, ${tried} tried` : ""}.`;
    const [entry] = [...inState("tried"), ...inState("untouched")];
    if (!entry) {
      next.textContent = "Every drill is solved.";
      return;
    }
    const chapter = entry.closest(".drills-chapter").querySelector("h2").textContent;
    const { level, state } = entry.dataset;
    const link = entry.querySelector("a").cloneNode(true);
    next.replaceChildren("Next: ", link, ` (${chapter}, ${level}${state === "tried" ? ", tried" : ""})`);
  };

  const filter = () => {
    const chosen = filters.filter(({ value }) => value);
    let shown = 0;
    for (const entry of entries) {
      entry.hidden = chosen.some(({ name, value }) => entry.dataset[name] !== value);
      shown += !entry.hidden;
    }
    for (const chapter of root.querySelectorAll(".drills-chapter"))
      chapter.hidden = !chapter.querySelector(".drill-entry:not([hidden])");
    return shown;
  };

  const show = () => {
    markStates();
    showNext();
    filter();
    find(".drills-keep").hidden = !keeps();
  };

  // A file from elsewhere: nothing is taken of it unless all of it is as Export writes it.
  const isDrill = (entry) => typeof entry?.code === "string" && ["tried", "solved"].includes(entry.state);
  const taken = (text) => {
    let found;
    try {
      found = Object.entries(JSON.parse(text).drills);
    } catch {
      throw new Error("This file holds no drills: choose one that Export has written.");
    }
    if (!found.every(([, entry]) => isDrill(entry)))
      throw new Error("This file is damaged: a drill in it lacks its code or its state.");
    store.merge(Object.fromEntries(found.map(([name, { code, state }]) => [name, { code, state }])));
    return found.length;
  };

  const take = async (file) => {
    try {
      said.textContent = `${drills(taken(await file.text()))} taken over from ${file.name}.`;
    } catch (error) {
      said.textContent = error.message;
    }
    picker.value = ""; // so that the same file can be chosen again
  };

  const give = () => {
    const link = document.createElement("a");
    const text = JSON.stringify({ drills: store.all() }, null, 1);
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "drills.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };

  for (const select of filters)
    select.addEventListener("change", () => {
      const shown = filter();
      said.textContent = shown ? `${drills(shown)} shown.` : "No drill is like that.";
    });
  find("[data-action=export]").addEventListener("click", give);
  find("[data-action=import]").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => picker.files.length && take(picker.files[0]));
  // A change on this page, in another tab, or before the way back to this page.
  for (const event of ["pagepython:stored", "storage", "pageshow"]) window.addEventListener(event, show);

  show();
  if (!keeps()) said.textContent = NOTHING_KEPT;
  tools.hidden = false;
});
