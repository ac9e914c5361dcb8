"""Ours: what differs between states, as integers that are predicted from their neighbors."""

from __future__ import annotations

import time
from pathlib import Path

from contenders.subject import Built, Size, Subject
from livefigure import assets, markup

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>livefigure</title>
<link rel="stylesheet" href="style.css"><script defer src="script.js"></script></head>
<body>{figure}</body></html>
"""

ADAPTER = """{
  ready: () => document.querySelector("figure.livefigure")?.dataset.state === "live",
  move(names, state, k) {
    const input = document.querySelector("form").elements[names[k]];
    if (input.type === "checkbox") input.checked = state[k] > 0;
    else input.value = state[k];
    const target = input instanceof RadioNodeList ? input[state[k]] : input;
    target.dispatchEvent(new Event("input", { bubbles: true }));
  },
}"""


def build(subject: Subject, folder: Path) -> Built:
    """Bake and encode all states, and write a page like one of the book without its theme."""
    began = time.process_time()
    baked = subject.figure.bake()
    seconds = time.process_time() - began
    names = [f"part{k}.js" for k in range(len(baked["parts"]))]
    shown = {key: baked[key] for key in ("form", "svg", "caption", "states")}
    figure = markup.figure(baked["id"], sources=" ".join(names), **shown)
    files: dict[str, str] = {
        "index.html": PAGE.replace("{figure}", figure),
        "script.js": assets.page_script(),
        "style.css": assets.style("font.woff2"),
    }
    for name, text in [*files.items(), *zip(names, baked["parts"], strict=True)]:
        (folder / name).write_text(text, encoding="utf-8")
    font = assets.font().read_bytes()
    (folder / "font.woff2").write_bytes(font)
    return Built(
        folder / "index.html", ADAPTER, subject.counts, subject.start, seconds,
        Size.of(*baked["parts"]), Size.of(*files.values(), font),
    )  # fmt: skip
