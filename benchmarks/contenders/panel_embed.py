"""Panel's ``save(embed=True)``: its sliders, and matplotlib's SVG of every state in the page."""

from __future__ import annotations

import time
from pathlib import Path

import panel as pn
from bokeh.resources import INLINE

from contenders.subject import Built, Size, Subject

#: A DiscreteSlider is a Bokeh slider over the indices of its options. The picture is an image
#: in a shadow tree, replaced when Panel has applied the patch of the new state.
ADAPTER = """{
  image() {
    const find = (root) => {
      for (const node of root.querySelectorAll("*")) {
        if (node.tagName === "IMG") return node;
        const found = node.shadowRoot && find(node.shadowRoot);
        if (found) return found;
      }
    };
    return find(document);
  },
  sliders() {
    const found = [];
    window.Bokeh?.documents[0]?.roots().forEach((root) => root.references()
      .forEach((model) => model.type === "Slider" && !found.includes(model) && found.push(model)));
    return found;
  },
  ready() {
    if (!this.image()?.complete) return false;
    this.models = this.sliders();
    return this.models.length > 0;
  },
  move(names, state, k) {
    const before = this.image();
    const shown = new Promise((done) => {
      const observer = new MutationObserver(() => {
        const after = this.image();
        if (!after || (after === before && after.src === this.source)) return;
        observer.disconnect();
        this.source = after.src;
        if (after.complete) done();
        else after.addEventListener("load", done, { once: true });
      });
      observer.observe(before.getRootNode(),
        { childList: true, subtree: true, attributeFilter: ["src"] });
    });
    this.source ??= before.src;
    this.models[k].value = state[k];
    return shown;
  },
}"""


def build(subject: Subject, folder: Path) -> Built:
    """Save a page with all states inside, and one with the first alone."""
    began = time.process_time()
    sliders = [
        pn.widgets.DiscreteSlider(name=name, options=list(range(count)), value=at)
        for name, count, at in zip(subject.names, subject.counts, subject.start, strict=True)
    ]

    def picture(*state: int) -> str:
        # Two states may look the same, and the page is to show which one it has.
        return f"{subject.svg(state).rstrip()}<!-- {state} -->"

    column = pn.Column(*sliders, pn.pane.SVG(pn.bind(picture, *sliders)))
    page = folder / "index.html"
    limit = max(subject.states, 10)
    column.save(
        page, embed=True, resources=INLINE, progress=False, max_states=limit, max_opts=limit
    )
    seconds = time.process_time() - began
    column.save(folder / "first.html", resources=INLINE)
    whole, first = (Size.of(path.read_bytes()) for path in (page, folder / "first.html"))
    return Built(page, ADAPTER, subject.counts, subject.start, seconds, whole - first, first)
