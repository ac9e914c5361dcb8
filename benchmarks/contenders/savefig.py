"""A ``savefig`` for every state: one SVG file each, and an ``<img>`` whose address changes."""

from __future__ import annotations

import time
from pathlib import Path

from contenders.subject import Built, Size, State, Subject

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>savefig</title></head>
<body><form>{inputs}</form><img src="{first}" alt="">
<script>
const form = document.querySelector("form"), image = document.querySelector("img");
form.addEventListener("input", () => {
  image.src = [...form.elements].map((input) => input.value).join("-") + ".svg";
});
</script></body></html>
"""

ADAPTER = """{
  ready: () => document.readyState !== "loading" && document.querySelector("img").complete,
  move(names, state, k) {
    const input = document.querySelector("form").elements[k];
    const image = document.querySelector("img");
    const shown = new Promise((done) => image.addEventListener("load", done, { once: true }));
    input.value = state[k];
    input.dispatchEvent(new Event("input", { bubbles: true }));
    return shown;
  },
}"""


def build(subject: Subject, folder: Path) -> Built:
    """Save every state as an SVG file; the page fetches one when it is asked for."""
    began = time.process_time()
    pictures = {_file(state): subject.svg(state) for state in subject.all()}
    seconds = time.process_time() - began
    inputs = "".join(
        f'<label>{name}<input type="range" max="{count - 1}" value="{at}"></label>'
        for name, count, at in zip(subject.names, subject.counts, subject.start, strict=True)
    )
    page = PAGE.replace("{inputs}", inputs).replace("{first}", _file(subject.start))
    for name, text in [("index.html", page), *pictures.items()]:
        (folder / name).write_text(text, encoding="utf-8")
    return Built(
        folder / "index.html", ADAPTER, subject.counts, subject.start, seconds,
        Size.of(*pictures.values()), Size.of(page),
    )  # fmt: skip


def _file(state: State) -> str:
    return "-".join(map(str, state)) + ".svg"
