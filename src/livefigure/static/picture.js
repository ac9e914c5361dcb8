/*
 * Draws states of a live figure into its inline SVG. Shared by the page and the notebook.
 *
 * A template is a list of elements [tag, {attribute: value}, content]; values and text hold
 * typed holes, filled from a flat list of integers in reading order:
 * {x} tenths of a pixel, {h} hundredths, {s} string, {c} color, {p} polyline, {gN} N cells.
 */
const SVG = "http://www.w3.org/2000/svg";
const BREAK = -60000;
const MAX_RECTS = 256;
const HOLE = /\{([xhscp]|g\d+)\}/;

/** Build the nodes of a template once; its fields know how to take new integers. */
function build(template) {
  const fields = [];
  const field = (value, put) => {
    const pieces = value.split(HOLE);
    if (pieces.length > 1) fields.push({ pieces, put, last: [] });
    else put(value);
  };
  const make = ([tag, attributes, content]) => {
    if (tag === "grid") return makeGrid(attributes, fields);
    const node = document.createElementNS(SVG, tag);
    for (const key in attributes) field(attributes[key], (text) => node.setAttribute(key, text));
    if (typeof content === "string") {
      const text = node.appendChild(document.createTextNode(""));
      field(content, (value) => (text.data = value));
    } else if (content) node.append(...content.map(make));
    return node;
  };
  return { nodes: template.map(make), fields };
}

/** The cells of an image: a rect each, edges shared so that no gap shows; many are a bitmap. */
function makeGrid(attributes, fields) {
  const [rows, columns] = [+attributes.rows, +attributes.columns];
  const count = rows * columns;
  const many = count > MAX_RECTS;
  const node = document.createElementNS(SVG, many ? "image" : "g");
  const set = (to, values) => { for (const key in values) to.setAttribute(key, values[key]); };
  const clip = attributes["clip-path"];
  set(node, { ...(clip && { "clip-path": clip }), ...(many
    ? { preserveAspectRatio: "none", "image-rendering": "pixelated" }
    : { "shape-rendering": "crispEdges" }) });
  const box = ["", "x", "", "x", "", "x", "", "x", ""];
  if (many) {
    fields.push({ pieces: box, last: [], raw: ([x, y, width, height]) =>
      set(node, { x: x / 10, y: y / 10, width: width / 10, height: height / 10 }) });
    fields.push({ pieces: Array.from({ length: 2 * count + 1 }, (_, k) => (k % 2 ? "c" : "")), last: [],
      raw: (cells, { colors }) => set(node, { href: bitmap(rows, columns, cells.map((cell) => colors[cell])) }) });
    return node;
  }
  const cells = Array.from({ length: count }, () =>
    node.appendChild(document.createElementNS(SVG, "rect")));
  const edge = (start, size, count, k) => start + Math.floor((2 * size * k + count) / (2 * count));
  const place = ([x, y, width, height]) => cells.forEach((cell, k) => {
    const [i, j] = [Math.floor(k / columns), k % columns];
    const [left, top] = [edge(x, width, columns, j), edge(y, height, rows, i)];
    const [right, bottom] = [edge(x, width, columns, j + 1), edge(y, height, rows, i + 1)];
    set(cell, { x: left / 10, y: top / 10, width: (right - left) / 10, height: (bottom - top) / 10 });
  });
  fields.push({ pieces: box, last: [], raw: place });
  cells.forEach((cell) =>
    fields.push({ pieces: ["", "c", ""], last: [], put: (color) => cell.setAttribute("fill", color) }));
  return node;
}

/** The address of a bitmap with one pixel a cell; fragments.py explains the bytes. */
function bitmap(rows, columns, colors) {
  const [offset, size] = [122, 4 * rows * columns];
  const view = new DataView(new ArrayBuffer(offset + size));
  const put = (at, words) => words.forEach((word, k) => view.setUint32(at + 4 * k, word, true));
  view.setUint16(0, 0x4d42, true);
  put(2, [offset + size, 0, offset, offset - 14, columns, -rows, 0x200001, 3, size, 0, 0, 0, 0,
    0xff0000, 0xff00, 0xff, 0xff000000, 0x73524742]);
  put(offset, colors.map((color) =>
    color === "none" ? 0 : (parseInt(color.slice(7) || "ff", 16) << 24) | parseInt(color.slice(1, 7), 16)));
  return `data:image/bmp;base64,${btoa(String.fromCharCode(...new Uint8Array(view.buffer)))}`;
}

/** Give one field its integers, from position `at`; returns where the next field begins. */
function fill(field, ints, at, tables) {
  const { pieces, last } = field;
  let end = at;
  for (let k = 1; k < pieces.length; k += 2) end += pieces[k] === "p" ? 1 + 2 * ints[end] : 1;
  let same = last.length === end - at;
  for (let k = at; same && k < end; k++) same = last[k - at] === ints[k];
  if (same) return end;
  field.last = ints.slice(at, end);
  if (field.raw) field.raw(field.last, tables);
  else field.put(format(pieces, ints, at, tables));
  return end;
}

function format(pieces, ints, at, tables) {
  let text = pieces[0];
  for (let k = 1; k < pieces.length; k += 2) {
    const value = ints[at++];
    switch (pieces[k]) {
      case "x": text += value / 10; break;
      case "h": text += value / 100; break;
      case "s": text += tables.strings[value]; break;
      case "c": text += tables.colors[value]; break;
      default:
        text += polyline(ints, at, value);
        at += 2 * value;
    }
    text += pieces[k + 1];
  }
  return text;
}

/** Path text of `count` points; a pair of BREAK is a gap, a single point is closed. */
function polyline(ints, at, count) {
  let text = "";
  for (let n = 0, run = 0; n <= count; n++, at += 2) {
    if (n === count || ints[at] === BREAK) {
      if (run === 1) text += "Z";
      run = 0;
    } else {
      text += (["M", "L"][run] ?? " ") + ints[at] / 10 + " " + ints[at + 1] / 10;
      run++;
    }
  }
  return text;
}

/** The dynamic artists of one SVG. */
class Picture {
  constructor(svg) {
    this.svg = svg;
    this.groups = new Map();
    for (const group of svg.querySelectorAll("[data-slot]"))
      this.groups.set(+group.dataset.slot, { group, built: new Map(), shown: null });
  }

  /** Return the nodes of `template` of `tables` for a slot; they are built once. */
  prepare(slot, tables, template) {
    const { built } = this.groups.get(slot);
    const key = tables.templates[template];
    if (!built.has(key)) built.set(key, build(key));
    return built.get(key);
  }

  /** Show `template` of `tables` in a slot, filled with `ints`. */
  show(slot, tables, template, ints) {
    const entry = this.groups.get(slot);
    const built = this.prepare(slot, tables, template);
    let at = 0;
    for (const field of built.fields) at = fill(field, ints, at, tables);
    if (entry.shown !== built) {
      entry.group.replaceChildren(...built.nodes);
      entry.shown = built;
    }
  }
}

const layouts = new WeakMap();

/** On a narrow screen put the panels below each other, so that text stays legible. */
function reflow(svg) {
  if (!layouts.has(svg)) layouts.set(svg, { size: svg.getAttribute("viewBox").slice(4) });
  const layout = layouts.get(svg);
  const [width, height] = layout.size.split(" ").map(Number);
  const panels = svg.dataset.panels.split(" ").map((box) => box.split(",").map(Number));
  const room = svg.parentElement.clientWidth;
  if (layout.room === room) return;
  layout.room = room;
  const groups = [...svg.querySelectorAll("[data-panel]")];
  let [w, h] = [width, height];
  const places = panels.map(() => null);
  if (room && room < 0.85 * width && panels.length > 1) {
    const gap = 10;
    w = Math.max(room / 1.2, ...panels.map((box) => box[2]));
    h = 3; // letters may reach above their box
    for (let k = 0, end; k < panels.length; k = end) {
      let row = panels[k][2];
      for (end = k + 1; end < panels.length && row + gap + panels[end][2] <= w; end++)
        row += gap + panels[end][2];
      let x = (w - row) / 2;
      for (let n = k; n < end; n++) {
        places[n] = `translate(${(x - panels[n][0]).toFixed(1)} ${(h - panels[n][1]).toFixed(1)})`;
        x += panels[n][2] + gap;
      }
      h += Math.max(...panels.slice(k, end).map((box) => box[3])) + gap;
    }
  }
  groups.forEach((group) => {
    const place = places[+group.dataset.panel];
    if (place) group.setAttribute("transform", place);
    else group.removeAttribute("transform");
  });
  svg.setAttribute("viewBox", `0 0 ${+w.toFixed(1)} ${+h.toFixed(1)}`);
  svg.setAttribute("width", +(w * 1.25).toFixed(1));
  svg.setAttribute("height", +(h * 1.25).toFixed(1));
}

/** Let a drag or tap in the declared axes move controls: move({name: position}). */
function drag(svg, move) {
  for (const pad of svg.querySelectorAll("[data-pad]")) {
    const moves = JSON.parse(pad.dataset.moves);
    const go = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(pad.getScreenCTM().inverse());
      const to = {};
      for (const axis in moves) {
        const [name, places] = moves[axis];
        const far = places.map((place) => Math.abs(place - point[axis]));
        to[name] = far.indexOf(Math.min(...far));
      }
      move(to);
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      event.preventDefault();
      go(event);
    });
    pad.addEventListener("pointermove", (event) => {
      if (pad.hasPointerCapture(event.pointerId)) go(event);
    });
  }
}
