"""What a page loads to show figures: small, whole, and with its licence."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import matplotlib
import quickjs
from fontTools.ttLib import TTFont

from livefigure import assets, font


def test_the_script_is_small_and_still_a_script() -> None:
    code = assets.page_script()
    assert len(gzip.compress(code.encode())) < 6_000
    context = quickjs.Context()
    context.eval(f"(() => {{ const check = () => {{ {code} }}; }})()")  # parses


def test_the_style_names_the_font_and_every_color() -> None:
    style = assets.style("fonts/x.woff2")
    assert "url('fonts/x.woff2')" in style
    used = set(re.findall(r"var\(--([a-z]+)[,)]", style))
    known = set(re.findall(r"--([a-z]+):", style))
    assert used <= known


def test_the_font_is_a_subset_with_licence_and_version() -> None:
    shipped = TTFont(assets.font())
    assert shipped["name"].getDebugName(1) == "DejaVu Sans"
    whole = TTFont(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    assert set(shipped.getBestCmap()) == set(font.UNICODES) & set(whole.getBestCmap())
    assert assets.font().stat().st_size < 45_000
    folder = assets.font().parent
    assert "Bitstream" in (folder / "LICENSE").read_text()
    assert "2.3" in (folder / "VERSION").read_text()
