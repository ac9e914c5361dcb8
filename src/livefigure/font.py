"""Make the font that pages ship: ``python -m livefigure.font``.

It is a subset of the DejaVu Sans inside matplotlib, so that text on a page is exactly as
wide as matplotlib measured it. Its licence and version lie beside it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib
from fontTools import subset
from fontTools.ttLib import TTFont

from livefigure import assets

#: Latin, Greek, punctuation, super- and subscripts, arrows, mathematics, shapes, check marks.
UNICODES = [
    *range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x391, 0x3CA), 0x3D1, 0x3D5, 0x3F5,
    *range(0x2010, 0x2027), 0x202F, *range(0x2030, 0x2035), *range(0x2070, 0x209D), 0x2113,
    *range(0x2190, 0x219A), *range(0x21D0, 0x21D5), *range(0x2200, 0x2230),
    *range(0x2248, 0x224A), *range(0x2260, 0x226C), 0x2295, 0x2297, 0x2299, 0x22A4, 0x22A5,
    0x22C5, 0x22C6, *range(0x2308, 0x230C), *range(0x25A0, 0x25D0), 0x2605, 0x2713, 0x2717,
    0x27E8, 0x27E9, 0x302, 0x303, 0x304, 0x307,
]  # fmt: skip


def main() -> None:
    """Write the subset, its licence and its version into the package."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    target = assets.font()
    target.parent.mkdir(parents=True, exist_ok=True)
    font = TTFont(fonts / "DejaVuSans.ttf")
    options = subset.Options(flavor="woff2", layout_features=["kern", "mark", "mkmk"])
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=UNICODES)
    subsetter.subset(font)
    font["head"].modified = font["head"].created  # the same bytes whenever it is made
    subset.save_font(font, str(target), options)
    shutil.copyfile(fonts / "LICENSE_DEJAVU", target.parent / "LICENSE")
    version = font["name"].getDebugName(5)
    (target.parent / "VERSION").write_text(f"DejaVu Sans, {version}; subset\n", encoding="utf-8")


if __name__ == "__main__":
    main()
