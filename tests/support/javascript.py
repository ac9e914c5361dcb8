"""Run the page's own decoder, in an engine that has no page."""

from __future__ import annotations

import json
from typing import Any

import quickjs

from livefigure import assets

_READ = """
function parts(texts) {
  const found = [];
  globalThis.livefigure = (header, body) => found.push(decode(header, body));
  texts.forEach((text) => (0, eval)(text));
  return found;
}
let loaded = [];
function load(texts) { loaded = parts(JSON.parse(texts)); return loaded.length; }
/** Every dynamic slot of a state as [slot, template, values], table entries spelled out. */
function stateOf(text) {
  const state = JSON.parse(text);
  const part = loaded.find(({ box }) =>
    box.every(([first, count], k) => state[k] >= first && state[k] < first + count));
  const slots = part.slots.map(({ slot, templates, chosen, plans }) => {
    const choice = chosen.get(chosen.row(state), 0);
    const template = part.templates[templates[choice]];
    const holes = kinds(template);
    const ints = gather(plans[choice], state);
    return [slot, template, spell(holes, ints, part)];
  });
  const caption = part.strings[part.captions.get(part.captions.row(state), 0)];
  return JSON.stringify({ slots, caption });
}
function spell(holes, ints, part) {
  const out = [];
  let at = 0;
  for (const hole of holes) {
    if (hole === "s") out.push(part.strings[ints[at++]]);
    else if (hole === "c") out.push(part.colors[ints[at++]]);
    else if (hole === "p") {
      const n = 1 + 2 * ints[at];
      out.push(...ints.slice(at, at + n));
      at += n;
    } else if (hole[0] === "g") {
      for (let k = +hole.slice(1); k > 0; k--) out.push(part.colors[ints[at++]]);
    } else out.push(ints[at++]);
  }
  return out;
}
/** The bytes of a bitmap; the engine has no btoa, so ours hands them over as they are. */
globalThis.btoa = (text) => [...text].map((symbol) => symbol.charCodeAt(0)).join(",");
function bitmapOf(rows, columns, colors) {
  return `[${bitmap(rows, columns, JSON.parse(colors)).split("base64,")[1]}]`;
}
function formatted(value, ints) {
  const tables = { strings: ["s0", "s1"], colors: ["c0", "c1"] };
  return format(value.split(HOLE), JSON.parse(ints), 0, tables);
}
"""


class Decoder:
    """The page's decoder, holding the data files of one figure."""

    def __init__(self, files: list[str] | None = None) -> None:
        self._context = quickjs.Context()
        self._context.eval(assets.script("picture.js", "data.js") + _READ)
        if files is not None:
            self._context.get("load")(json.dumps(files))

    def state(self, state: tuple[int, ...]) -> dict[str, Any]:
        """Return what the page would show in a state."""
        found: dict[str, Any] = json.loads(self._context.get("stateOf")(json.dumps(list(state))))
        return found

    def format(self, value: str, ints: list[int]) -> str:
        """Return an attribute with its holes filled."""
        text: str = self._context.get("formatted")(value, json.dumps(ints))
        return text

    def bitmap(self, rows: int, columns: int, colors: list[str]) -> list[int]:
        """Return the bytes of a bitmap that the page makes."""
        found: list[int] = json.loads(
            self._context.get("bitmapOf")(rows, columns, json.dumps(colors))
        )
        return found
