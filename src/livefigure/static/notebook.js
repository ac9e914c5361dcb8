/* Live figures in a notebook: the kernel draws, this shows what changed (an anywidget view). */
function render({ model, el }) {
  const root = document.createElement("figure");
  root.className = "livefigure";
  root.innerHTML = model.get("svg");
  const svg = root.querySelector("svg");
  const caption = root.appendChild(document.createElement("figcaption"));
  caption.textContent = model.get("caption");
  el.append(root);
  const picture = new Picture(svg);
  const tables = { templates: [], strings: [], colors: [], clips: [] };

  /** Add what is new to the tables; false if something before it was missed. */
  const extend = (added) => {
    for (const key in added) {
      const [from, entries] = added[key];
      if (from > tables[key].length) return false;
      tables[key].splice(from, Infinity, ...entries);
      if (key === "clips") entries.forEach(addClip);
    }
    return true;
  };
  const addClip = ([id, template, ints]) => {
    if (svg.getElementById(id)) return;
    const clip = document.createElementNS(SVG, "clipPath");
    clip.id = id;
    const { nodes, fields } = build(template);
    let at = 0;
    for (const field of fields) at = fill(field, ints, at, tables);
    clip.append(...nodes);
    svg.querySelector("defs").append(clip);
  };
  const take = (message) => {
    if (message.kind !== "draw") return;
    if (!extend(message.tables)) return model.send({ kind: "ready" });
    for (const [slot, template, ints] of message.slots) picture.show(slot, tables, template, ints);
    caption.textContent = message.caption;
  };

  model.on("msg:custom", take);
  drag(svg, (positions) => model.send({ kind: "move", positions }));
  const observer = new ResizeObserver(() => reflow(svg));
  observer.observe(root);
  model.send({ kind: "ready" });
  return () => {
    observer.disconnect();
    model.off("msg:custom", take);
  };
}

export default { render };
