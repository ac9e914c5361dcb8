"""A matplotlib renderer that writes fragments instead of pixels.

Everything is a presentation attribute, never a ``style``: a strict content policy
drops the latter. This is the one place that names colors, clips and ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import rgb2hex
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform

from livefigure.errors import LiveFigureError, UnsupportedArtist
from livefigure.fragments import EMPTY, Fragment, Tables
from livefigure.outlines import Ints, Outlines, tenths
from livefigure.style import SENTINELS

Attributes = list[tuple[str, str]]
_ANCHOR = {"left": "start", "center": "middle", "right": "end"}
#: The cells of an image that can be drawn.
MAX_CELLS = 4096
_MAX_SIDE = 2500


class Recorder(RendererBase):
    """Record what artists draw on a canvas of ``width`` × ``height`` pixels.

    Parameters
    ----------
    width, height : float
        Size of the canvas in pixels at 72 dots per inch.
    prefix : str
        Put before every id, so that figures on one page do not clash.
    tables : Tables
        Where strings and colors are collected.
    """

    def __init__(self, width: float, height: float, prefix: str, tables: Tables) -> None:
        super().__init__()
        if max(width, height) > _MAX_SIDE:
            raise LiveFigureError(
                f"the figure is {width / 72:g} × {height / 72:g} inches: at most "
                f"{_MAX_SIDE / 72:.0f} inches a side can be drawn"
            )
        self.width, self.height, self.prefix, self.tables = width, height, prefix, tables
        self.definitions: dict[str, Fragment] = {}
        self._clips: dict[Fragment, str] = {}
        self._outlines = Outlines(width, height)
        self._hex: dict[tuple[float, ...], str] = {}
        self._metrics: dict[Any, tuple[float, float, float]] = {}
        self._elements: list[str] = []
        self._ints: Ints = []
        self._line: tuple[Attributes, tuple[int, ...]] | None = None
        self._slot = 0
        self._marks = 0

    def start(self, slot: int) -> None:
        """Begin the fragment of one artist; *slot* makes its ids unique."""
        self._elements, self._ints, self._slot, self._marks = [], [], slot, 0
        self._line = None

    def finish(self, *, crisp: bool = False) -> Fragment:
        """Return what was drawn since :meth:`start`; *crisp* leaves no gap between cells."""
        if not self._elements:
            return EMPTY
        if crisp:
            edges: Attributes = [("shape-rendering", "crispEdges")]
            self._elements = [_element("g", edges, content=f"[{','.join(self._elements)}]")]
        return Fragment(f"[{','.join(self._elements)}]", tuple(self._ints))

    # --- matplotlib's interface ---

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.width, self.height

    def flipy(self) -> bool:
        return True

    def option_image_nocomposite(self) -> bool:
        return True

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        key = (s, hash(prop), ismath)
        found = self._metrics.get(key)
        if found is None:
            found = self._metrics[key] = super().get_text_width_height_descent(s, prop, ismath)
        return found

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,
    ) -> None:
        paint, paint_ints = self._paint(gc, rgbFace)
        if not paint:
            return
        d, ints = self._outlines.path(path, transform, stroke_only=rgbFace is None)
        if d:
            attributes = [("d", d), *paint, *self._clip(gc)]
            self._emit("path", attributes, [*ints, *paint_ints])
            if d == "{p}":
                self._line = (attributes, ints)

    def draw_markers(
        self,
        gc: GraphicsContextBase,
        marker_path: Path,
        marker_trans: Transform,
        path: Path,
        trans: Transform,
        rgbFace: Any = None,
    ) -> None:
        paint, paint_ints = self._paint(gc, rgbFace)
        points = self._outlines.vertices(path, trans)
        if not paint or not len(points):
            return
        name = self._mark()
        uses = _marker_uses(name, len(points))
        line_ints = [len(points), *points.ravel().tolist()]
        clip = self._clip(gc)
        shape, shape_ints = self._outlines.shape(marker_path, marker_trans)
        inner = _element("path", [("d", shape), *paint])
        marker = [("id", name), ("overflow", "visible"), ("markerUnits", "userSpaceOnUse")]
        line, self._line = self._line, None
        if (
            line is not None
            and line[1] == tuple(line_ints)
            and all(part in line[0] for part in clip)
        ):
            # The line just drawn runs through the same points: let it carry the markers.
            self._elements[-1] = _element("path", [*line[0], *uses])
            line_ints = []
        self._emit("marker", marker, [*shape_ints, *paint_ints], content=f"[{inner}]")
        if line_ints:
            self._emit("path", [("d", "{p}"), ("fill", "none"), *uses, *clip], line_ints)

    def draw_path_collection(  # type: ignore[override]
        self,
        gc: GraphicsContextBase,
        master_transform: Transform,
        paths: Sequence[Path],
        all_transforms: Any,
        offsets: Any,
        offset_trans: Any,
        facecolors: Any,
        edgecolors: Any,
        linewidths: Any,
        linestyles: Any,
        antialiaseds: Any,
        urls: Any,
        offset_position: Any,
        *,
        hatchcolors: Any = None,
    ) -> None:
        shapes = list(self._iter_collection_raw_paths(master_transform, paths, all_transforms))
        shared = (
            len(shapes)
            and self._iter_collection_uses_per_path(
                paths, all_transforms, offsets, facecolors, edgecolors
            )
            > 2
        )
        clip = self._clip(gc)
        items = self._iter_collection(
            gc, shapes, offsets, offset_trans, facecolors, edgecolors, linewidths, linestyles,
            antialiaseds, urls, offset_position, hatchcolors=(),
        )  # fmt: skip
        outer, self._elements = self._elements, []
        names: dict[Any, str] = {}
        for x, y, (path, transform), gc0, face in items:
            if not np.isfinite([x, y]).all():
                continue
            gc0.set_clip_rectangle(None)
            gc0.set_clip_path(None)
            if shared:
                self._use(names, gc0, path, transform, (x, y), face)
            else:
                self.draw_path(gc0, path, Affine2D(transform.get_matrix()).translate(x, y), face)
        inner, self._elements = self._elements, outer
        if inner and clip:
            self._elements.append(_element("g", clip, content=f"[{','.join(inner)}]"))
        else:
            self._elements.extend(inner)

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: bool | str = False,
        mtext: Any = None,
    ) -> None:
        color, opacity = self._color(gc.get_rgb(), gc)
        if opacity == 0:
            return
        paint: Attributes = [("fill", "{c}")]
        ints = [self.tables.color(color)]
        if opacity != 100:
            paint.append(("fill-opacity", "{h}"))
            ints.append(opacity)
        if ismath:
            self._math(gc, x, y, s, prop, angle, paint, ints)
            return
        anchor, x, y = self._anchor(x, y, s, prop, angle, mtext)
        place: Attributes = [("x", "{x}"), ("y", "{x}")]
        place_ints = [tenths(x), tenths(y)]
        if angle % 360:
            place.append(("transform", "rotate({h} {x} {x})"))
            place_ints += [round(-100 * angle), tenths(x), tenths(y)]
        font, font_ints = _font(prop)
        self._emit(
            "text",
            [*place, *anchor, *font, *paint, *self._clip(gc)],
            [*place_ints, *font_ints, *ints, self.tables.string(s)],
            content='"{s}"',
        )

    def draw_image(self, gc: Any, x: float, y: float, im: Any, transform: Any = None) -> None:
        raise UnsupportedArtist("a rasterized image: use imshow with interpolation='nearest'")

    def draw_gouraud_triangles(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedArtist("gouraud shading: use shading='flat'")

    def start_rasterizing(self) -> None:
        """Do nothing: color bars ask for pixels, but a picture of vectors is what we want."""

    def stop_rasterizing(self) -> None:
        """Do nothing."""

    # --- grids ---

    def draw_grid(self, colors: Any, box: Bbox, clip: Attributes) -> None:
        """Draw an image as cells of one color each.

        Parameters
        ----------
        colors : array of uint8, shape (rows, columns, 4)
            Top row first. A transparent cell shows what lies below it.
        box : Bbox
            Where the cells lie, in pixels.
        clip : list of (str, str)
            A clip-path attribute, or nothing.
        """
        rows, columns = colors.shape[:2]
        if rows * columns > MAX_CELLS:
            raise UnsupportedArtist(
                f"an image of {rows} × {columns} cells: at most {MAX_CELLS} cells can be drawn"
            )
        cells = [_cell(cell) for cell in colors.reshape(-1, 4).tolist()]
        left, top = tenths(box.x0), tenths(self.height - box.y1)
        size = [tenths(box.x1) - left, tenths(self.height - box.y0) - top]
        self._emit(
            "grid",
            [
                ("rows", str(rows)), ("columns", str(columns)),
                ("x", "{x}"), ("y", "{x}"), ("width", "{x}"), ("height", "{x}"), *clip,
                ("cells", f"{{g{rows * columns}}}"),
            ],
            [left, top, *size, *(self.tables.color(cell) for cell in cells)],
        )  # fmt: skip

    def clip_attribute(self, artist: Any) -> Attributes:
        """Return the clip-path attribute that an artist's own clip asks for."""
        gc = self.new_gc()
        artist._set_gc_clip(gc)
        return self._clip(gc)

    # --- pieces ---

    def _emit(
        self, tag: str, attributes: Attributes, ints: Iterable[int], content: str | None = None
    ) -> None:
        self._line = None
        self._elements.append(_element(tag, attributes, content))
        self._ints.extend(ints)

    def _mark(self) -> str:
        self._marks += 1
        return f"{self.prefix}-{self._slot}-{self._marks}"

    def _color(self, rgba: Any, gc: GraphicsContextBase) -> tuple[str, int]:
        """Return a CSS color and the opacity in hundredths."""
        key = tuple(rgba)
        name = self._hex.get(key)
        if name is None:
            code = rgb2hex(key[:3])
            name = self._hex[key] = SENTINELS.get(code, code)
        alpha = gc.get_alpha() if gc.get_forced_alpha() else (key[3] if len(key) > 3 else 1.0)
        return name, round(100 * alpha)

    def _paint(self, gc: GraphicsContextBase, face: Any) -> tuple[Attributes, Ints]:
        """Return fill and stroke attributes; nothing at all where neither would show."""
        if gc.get_hatch() is not None:
            raise UnsupportedArtist("a hatch: use a plain fill")
        if gc.get_sketch_params() is not None:
            raise UnsupportedArtist("sketch parameters (xkcd): leave them off")
        fill, fill_opacity = ("none", 0) if face is None else self._color(face, gc)
        stroke, stroke_opacity = self._color(gc.get_rgb(), gc)
        width = gc.get_linewidth()
        if fill_opacity == 0:
            fill = "none"
        if stroke_opacity == 0 or width == 0:
            stroke = "none"
        if fill == stroke == "none":
            return [], []
        attributes: Attributes = [("fill", "{c}")]
        ints = [self.tables.color(fill)]
        if fill != "none" and fill_opacity != 100:
            attributes.append(("fill-opacity", "{h}"))
            ints.append(fill_opacity)
        if stroke != "none":
            attributes += [("stroke", "{c}"), ("stroke-width", "{h}")]
            ints += [self.tables.color(stroke), round(100 * width)]
            if stroke_opacity != 100:
                attributes.append(("stroke-opacity", "{h}"))
                ints.append(stroke_opacity)
            if gc.get_joinstyle() != "miter":
                attributes.append(("stroke-linejoin", gc.get_joinstyle()))
            if gc.get_capstyle() != "butt":
                cap = gc.get_capstyle()
                attributes.append(("stroke-linecap", "square" if cap == "projecting" else cap))
            self._dashes(gc, attributes, ints)
        return attributes, ints

    def _dashes(self, gc: GraphicsContextBase, attributes: Attributes, ints: Ints) -> None:
        offset, pattern = gc.get_dashes()
        if pattern is None:
            return
        attributes.append(("stroke-dasharray", "{s}"))
        ints.append(self.tables.string(" ".join(f"{length:.4g}" for length in pattern)))
        if offset:
            attributes.append(("stroke-dashoffset", "{h}"))
            ints.append(round(100 * offset))

    def _clip(self, gc: GraphicsContextBase) -> Attributes:
        path, affine = gc.get_clip_path()
        box = gc.get_clip_rectangle()
        if path is not None:
            text, ints = self._outlines.path(path, affine, stroke_only=False)
            shape = Fragment(f"[{_element('path', [('d', text)])}]", ints)
        elif box is not None:
            x0, y0, x1, y1 = (tenths(v) for v in box.extents)
            if x0 <= 0 and y0 <= 0 and x1 >= tenths(self.width) and y1 >= tenths(self.height):
                return []
            sides = [("x", "{x}"), ("y", "{x}"), ("width", "{x}"), ("height", "{x}")]
            top = tenths(self.height) - y1
            shape = Fragment(f"[{_element('rect', sides)}]", (x0, top, x1 - x0, y1 - y0))
        else:
            return []
        name = self._clips.get(shape)
        if name is None:
            name = self._clips[shape] = f"{self.prefix}-clip{len(self._clips)}"
            self.definitions[name] = shape
        return [("clip-path", f"url(#{name})")]

    def _use(
        self,
        names: dict[Any, str],
        gc: GraphicsContextBase,
        path: Path,
        transform: Any,
        offset: tuple[float, float],
        face: Any,
    ) -> None:
        """Draw one of many like shapes: define it once, then refer to it."""
        paint, paint_ints = self._paint(gc, face)
        if not paint:
            return
        key = (id(path), np.asarray(transform).tobytes())
        name = names.get(key)
        if name is None:
            name = names[key] = self._mark()
            shape, shape_ints = self._outlines.shape(path, transform)
            inner = _element("path", [("id", name), ("d", shape)])
            self._emit("defs", [], shape_ints, content=f"[{inner}]")
        x, y = offset
        self._emit(
            "use",
            [("href", f"#{name}"), ("x", "{x}"), ("y", "{x}"), *paint],
            [tenths(x), tenths(self.height - y), *paint_ints],
        )

    def _anchor(
        self, x: float, y: float, s: str, prop: FontProperties, angle: float, mtext: Any
    ) -> tuple[Attributes, float, float]:
        """Return text-anchor and where it lies, so that another font stays aligned."""
        align = mtext.get_ha() if mtext is not None else "left"
        if align == "left":
            return [], x, y
        width, _, _ = self.get_text_width_height_descent(s, prop, False)
        share = width / 2 if align == "center" else width
        turn = np.deg2rad(angle)
        return (
            [("text-anchor", _ANCHOR[align])],
            x + share * float(np.cos(turn)),
            y - share * float(np.sin(turn)),
        )

    def _math(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        paint: Attributes,
        ints: Ints,
    ) -> None:
        """Draw mathtext: a tspan for each glyph in its own font, a rect for each bar."""
        _, _, _, glyphs, rects = self._text2path.mathtext_parser.parse(s, 72, prop)
        spans, span_ints = [], []
        for font, size, code, _, across, up in sorted(glyphs, key=lambda glyph: glyph[4]):
            entry = font_manager.ttfFontProperty(font)
            look: Attributes = [("x", "{x}"), ("y", "{x}"), ("font-size", "{h}")]
            if entry.name != "DejaVu Sans":
                look.append(("font-family", f"{entry.name}, DejaVu Sans, sans-serif"))
            if entry.style != "normal":
                look.append(("font-style", entry.style))
            if entry.weight != 400:
                look.append(("font-weight", str(entry.weight)))
            spans.append(_element("tspan", look, content='"{s}"'))
            glyph = "\xa0" if code == 32 else chr(code)
            span_ints += [tenths(across), tenths(-up), round(100 * size), self.tables.string(glyph)]
        bars = []
        for left, bottom, width, height in rects:
            sides = [("x", "{x}"), ("y", "{x}"), ("width", "{x}"), ("height", "{x}")]
            bars.append(_element("rect", sides))
            span_ints += [tenths(left), tenths(-bottom - height), tenths(width), tenths(height)]
        text = _element("text", [], content=f"[{','.join(spans)}]")
        place = [("transform", "translate({x} {x})")]
        place_ints = [tenths(x), tenths(y)]
        if angle % 360:
            place = [("transform", "translate({x} {x}) rotate({h})")]
            place_ints.append(round(-100 * angle))
        self._emit(
            "g",
            [*place, *paint, *self._clip(gc)],
            [*place_ints, *ints, *span_ints],
            content=f"[{','.join([text, *bars])}]",
        )


def _element(tag: str, attributes: Attributes, content: str | None = None) -> str:
    """Return one element of a template as JSON text."""
    body = ",".join(f'"{key}":{json.dumps(value)}' for key, value in attributes)
    tail = "" if content is None else f",{content}"
    return f'["{tag}",{{{body}}}{tail}]'


def _marker_uses(name: str, count: int) -> Attributes:
    # On a path of one point start and end coincide: a translucent marker would show twice.
    ends = ("start",) if count == 1 else ("start", "mid", "end")
    return [(f"marker-{end}", f"url(#{name})") for end in ends]


def _font(prop: FontProperties) -> tuple[Attributes, Ints]:
    attributes: Attributes = [("font-size", "{h}")]
    family = prop.get_family()[0]
    if family not in ("DejaVu Sans", "sans-serif"):
        attributes.append(("font-family", f"{family}, DejaVu Sans, sans-serif"))
    if prop.get_style() != "normal":
        attributes.append(("font-style", prop.get_style()))
    weight = font_manager.weight_dict.get(prop.get_weight(), prop.get_weight())
    if weight != 400:
        attributes.append(("font-weight", str(weight)))
    return attributes, [round(100 * prop.get_size_in_points())]


def _cell(rgba: list[int]) -> str:
    red, green, blue, alpha = rgba
    if alpha == 0:
        return "none"
    return f"#{red:02x}{green:02x}{blue:02x}" + ("" if alpha == 255 else f"{alpha:02x}")
