"""What the page decodes is what Python drew, for every state."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from support.javascript import Decoder

from livefigure import encode as encoding
from livefigure.bake import Bake, Track
from livefigure.encode import ALPHABET, encode, to_text
from livefigure.errors import LiveFigureError
from livefigure.fragments import BREAK, EMPTY, Fragment, Tables, bitmap, holes, render

TEMPLATES = [
    '[["path",{"d":"{p}","stroke":"{c}","stroke-width":"{h}"}]]',
    '[["path",{"d":"{p}C{x} {x} {x} {x} {x} {x}Z{p}","fill":"{c}"}]]',
    '[["text",{"x":"{x}","y":"{x}","fill":"{c}"},"{s}"],["text",{"x":"{x}"},"{s}"]]',
    '[["grid",{"rows":"2","columns":"3","x":"{x}","y":"{x}","width":"{x}","height":"{x}",'
    '"cells":"{g6}"}],["path",{"d":"{p}"}]]',
]
STRINGS = ["", "naïve “quote” \\ & <", 'a"b', "0.1", "x"]
COLORS = ["none", "var(--ink)", "#1f78b8", "#000000", "#ffffff"]


def tables() -> Tables:
    made = Tables()
    for text in STRINGS:
        made.string(text)
    for color in COLORS:
        made.color(color)
    return made


@st.composite
def fragments(draw: st.DrawFn) -> Fragment:
    template = draw(st.sampled_from([*TEMPLATES, "[]"]))
    if template == "[]":
        return EMPTY
    coordinate = st.integers(-50_000, 50_000) | st.integers(-60, 60)
    ints: list[int] = []
    for kind in holes(template):
        if kind == "p":
            points = draw(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=6))
            if len(points) > 2 and draw(st.booleans()):
                points[1] = (BREAK, BREAK)
            ints += [len(points), *(value for point in points for value in point)]
        elif kind == "c":
            ints.append(draw(st.integers(0, len(COLORS) - 1)))
        elif kind == "s":
            ints.append(draw(st.integers(0, len(STRINGS) - 1)))
        elif kind[0] == "g":
            ints += [draw(st.integers(0, len(COLORS) - 1)) for _ in range(int(kind[1:]))]
        else:
            ints.append(draw(coordinate))
    return Fragment(template, tuple(ints))


@st.composite
def bakes(draw: st.DrawFn) -> Bake:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    tracks = []
    for _ in range(draw(st.integers(1, 3))):
        known = draw(st.lists(fragments(), min_size=1, max_size=5, unique=True))
        which = draw(hnp.arrays(np.int32, shape, elements=st.integers(0, len(known) - 1)))
        tracks.append(Track(known, which))
    captions = draw(st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True))
    which = draw(hnp.arrays(np.int32, shape, elements=st.integers(0, len(captions) - 1)))
    return Bake(shape, tracks, captions, which)


def spelled(fragment: Fragment) -> list[Any]:
    """Return a fragment as the decoder reports it: table entries in full."""
    out: list[Any] = []
    ints = iter(fragment.ints)
    for kind in holes(fragment.template):
        if kind == "p":
            count = next(ints)
            out += [count, *(next(ints) for _ in range(2 * count))]
        elif kind == "s":
            out.append(STRINGS[next(ints)])
        elif kind == "c":
            out.append(COLORS[next(ints)])
        elif kind[0] == "g":
            out += [COLORS[next(ints)] for _ in range(int(kind[1:]))]
        else:
            out.append(next(ints))
    return out


def check_every_state(baked: Bake, files: list[str]) -> None:
    decoder = Decoder(files)
    for state in np.ndindex(*baked.shape):
        shown = decoder.state(state)
        assert shown["caption"] == baked.captions[baked.caption_which[state]]
        found = {slot: (json.dumps(t, separators=(",", ":"), ensure_ascii=False), values)
                 for slot, t, values in shown["slots"]}  # fmt: skip
        for slot, track in enumerate(baked.tracks):
            fragment = track.fragments[track.which[state]]
            if slot in found:
                assert found[slot] == (fragment.template, spelled(fragment))
            else:
                assert track.is_static


@settings(max_examples=120, deadline=None)
@given(bakes())
def test_the_page_decodes_what_was_drawn(baked: Bake) -> None:
    check_every_state(baked, [part.text for part in encode("fig", baked, tables())])


@settings(max_examples=30, deadline=None)
@given(bakes())
def test_chunks_hold_every_state_once(baked: Bake) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "CHUNK_BYTES", 1)
        parts = encode("fig", baked, tables())
    assert sum(int(np.prod([count for _, count in part.box])) for part in parts) == baked.states
    assert len(parts) == baked.states
    check_every_state(baked, [part.text for part in parts])


def test_noise_is_split_below_the_limit() -> None:
    noise = np.random.default_rng(0).integers(-3000, 3000, size=(600, 400))
    known = [Fragment(TEMPLATES[0], (200, *row, 0, 100)) for row in noise.tolist()]
    which = np.arange(600, dtype=np.int32).reshape(20, 30)
    baked = Bake((20, 30), [Track(known, which)], ["a"], np.zeros((20, 30), dtype=np.int32))
    parts = encode("fig", baked, tables())
    assert len(parts) > 1
    assert all(len(gzip.compress(part.text.encode())) < 152_000 for part in parts)


@given(st.lists(st.integers(-376_000, 376_000), max_size=20))
def test_numbers_survive(values: list[int]) -> None:
    text = to_text(np.array(values, dtype=np.int64))
    assert set(text) <= set(ALPHABET)
    assert not set('"\\&<') & set(text)


def test_a_number_too_large_is_refused() -> None:
    with pytest.raises(LiveFigureError, match="too far outside"):
        to_text(np.array([400_000]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-50_000, 50_000), min_size=8, max_size=8), st.booleans())
def test_page_and_python_write_the_same_text(numbers: list[int], gap: bool) -> None:
    """Numbers, polylines, strings and colors look the same in the first frame and later."""
    js = Decoder()
    made = Tables({"s0": 0, "s1": 1}, {"c0": 0, "c1": 1})
    points = [*numbers[:2], *((BREAK, BREAK) if gap else ()), *numbers[2:6]]
    for value, ints in (
        ("{x} {h}", numbers[:2]),
        ("{p}", [len(points) // 2, *points]),
        ("{p}Z{p}", [1, *numbers[:2], 2, *numbers[2:6]]),
        ("rotate({h} {x} {x})", numbers[:3]),
        ("{s}{c}", [1, 0]),
    ):
        template = json.dumps([["path", {"d": value}]], separators=(",", ":"))
        written = render(Fragment(template, tuple(ints)), made)
        assert written == f'<path d="{js.format(value, ints)}"/>'


def test_prediction_pays() -> None:
    """A line that moves smoothly with two controls costs a small part of its plain size."""
    t = np.arange(60)
    known = []
    for a in range(20):
        for b in range(20):
            y = np.rint(500 + 30 * a + 10 * b * np.sin(t / 9)).astype(int)
            points = np.stack([10 * t, y], axis=1).ravel().tolist()
            known.append(Fragment(TEMPLATES[0], (60, *points, 0, 100)))
    which = np.arange(400, dtype=np.int32).reshape(20, 20)
    baked = Bake((20, 20), [Track(known, which)], [""], np.zeros((20, 20), dtype=np.int32))
    (part,) = encode("fig", baked, tables())
    plain = json.dumps([fragment.ints for fragment in known])
    assert len(gzip.compress(part.text.encode())) < 0.1 * len(gzip.compress(plain.encode()))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_page_and_python_write_the_same_bitmap(
    rows: int, columns: int, data: st.DataObject
) -> None:
    color = st.sampled_from(["none", "#1f78b8", "#ffffff", "#00000080", "#fe01ff01"])
    cells = data.draw(st.lists(color, min_size=rows * columns, max_size=rows * columns))
    written = bitmap(rows, columns, cells)
    assert Decoder([]).bitmap(rows, columns, cells) == list(written)


def test_a_bitmap_is_what_pillow_reads() -> None:
    cells = ["#ff0000", "#00ff0080", "none", "#0000ff", "#123456", "#ffffff"]
    image = Image.open(io.BytesIO(bitmap(2, 3, cells)))
    assert image.size == (3, 2)
    found = ["none" if p[3] == 0 else "#" + bytes(p).hex().removesuffix("ff")
             for p in image.convert("RGBA").get_flattened_data()]  # fmt: skip
    assert found == [cell.removesuffix("ff") if len(cell) > 7 else cell for cell in cells]
