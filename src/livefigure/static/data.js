/*
 * Decodes the data file of a live figure; livefigure/encode.py describes the format.
 */
const FORMAT = 1;
const ALPHABET = Array.from({ length: 95 }, (_, k) => String.fromCharCode(32 + k))
  .filter((symbol) => !'"\\&<'.includes(symbol)).join("");

/** Read the integers of a body: one symbol below 80, two below 990, else four. */
function reader(body) {
  const code = new Uint8Array(128);
  for (let k = 0; k < ALPHABET.length; k++) code[ALPHABET.charCodeAt(k)] = k;
  let at = 0;
  const next = () => code[body.charCodeAt(at++)];
  return (count) => {
    const ints = new Int32Array(count);
    for (let k = 0; k < count; k++) {
      let value = next();
      if (value === 90) value = 990 + (next() * 91 + next()) * 91 + next();
      else if (value >= 80) value = 80 + (value - 80) * 91 + next();
      ints[k] = value & 1 ? -(value + 1) / 2 : value / 2;
    }
    if (at > body.length) throw new Error("the data end too early");
    return ints;
  };
}

/** Undo the differences of a matrix, and tell where each state's row lies in it. */
function matrix([columns, axes, differences], box, read) {
  const sizes = [columns, ...box.map(([, count], k) => (axes[k] === "1" ? count : 1))];
  const strides = sizes.map((_, k) => sizes.slice(k + 1).reduce((a, b) => a * b, 1));
  const ints = read(strides[0] * columns);
  for (const [axis, step] of [...differences].reverse()) {
    const back = step * strides[axis];
    const [size, stride] = [sizes[axis], strides[axis]];
    for (let k = back; k < ints.length; k++)
      if (Math.floor(k / stride) % size >= step) ints[k] += ints[k - back];
  }
  const terms = box.map(([first], k) => [k, first, strides[k + 1]]).filter(([k]) => axes[k] === "1");
  const row = (state) => {
    let at = 0;
    for (const term of terms) at += (state[term[0]] - term[1]) * term[2];
    return at;
  };
  return { get: (at, column) => ints[column * strides[0] + at], row, columns, axes };
}

/** The kinds of a template's holes, in reading order. */
function kinds(template) {
  const all = (value) => value.split(HOLE).filter((_, k) => k % 2);
  return template.flatMap(([, attributes, content]) => [
    ...Object.values(attributes).flatMap(all),
    ...(typeof content === "string" ? all(content) : content ? kinds(content) : []),
  ]);
}

/** Tell for each hole of a template which matrix, and which column of it, fills it. */
function plan(holes, matrices) {
  const queue = [...matrices];
  const plain = {};
  for (const kind of "xhsc") if (holes.includes(kind)) plain[kind] = [queue.shift(), 0];
  return holes.map((hole) => {
    if (hole === "p") return { count: queue.shift(), from: queue.shift() };
    if (hole[0] === "g") return { from: queue.shift() };
    return { from: plain[hole][0], column: plain[hole][1]++ };
  });
}

/** Collect the integers of a state; a list that is given is used again, from its beginning. */
function gather(steps, state, ints = []) {
  let end = 0;
  for (const { count, from, column } of steps) {
    const at = from.row(state);
    if (column !== undefined) ints[end++] = from.get(at, column);
    else {
      const size = count ? 2 * count.get(count.row(state), 0) : from.columns;
      if (count) ints[end++] = size / 2;
      for (let k = 0; k < size; k++) ints[end++] = from.get(at, k);
    }
  }
  return ints;
}

/** Decode one data file. */
function decode(header, body) {
  if (header.format !== FORMAT)
    throw new Error(`its data have format ${header.format}, this page reads ${FORMAT}: reload the page`);
  const read = reader(body);
  const matrixOf = (entry) => matrix(entry, header.box, read);
  const slots = header.slots.map(([slot, templates, choice, matrices]) => {
    const chosen = matrixOf(choice);
    const decoded = matrices.map(matrixOf);
    let first = 0;
    const plans = templates.map((template) => {
      const holes = kinds(header.templates[template]);
      const count = new Set(holes.filter((hole) => "xhsc".includes(hole))).size
        + holes.reduce((sum, hole) => sum + (hole === "p" ? 2 : hole[0] === "g" ? 1 : 0), 0);
      return plan(holes, decoded.slice(first, (first += count)));
    });
    const controls = header.box.map((_, k) => k)
      .filter((k) => [chosen, ...decoded].some(({ axes }) => axes[k] === "1"));
    return { slot, templates, chosen, plans, controls };
  });
  return { ...header, slots, captions: matrixOf(header.caption) };
}
