"""Draw a figure artist by artist, in matplotlib's own order.

Every leaf artist owns a *slot*. Drawing the stage gives one fragment a slot, so that
states can be compared slot by slot: what never differs is static.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage, _ImageBase
from matplotlib.legend import Legend
from matplotlib.offsetbox import OffsetBox
from matplotlib.spines import Spine
from matplotlib.table import Table
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from livefigure import keys
from livefigure.errors import UnsupportedArtist
from livefigure.fragments import EMPTY, Fragment, Tables
from livefigure.recorder import MAX_CELLS, Recorder

Box = tuple[float, float, float, float]
#: Half a tenth of a pixel: what coordinates are rounded to.
_SAME_PLACE = 0.05


class Slot(NamedTuple):
    """Where one artist stands: its panel, and its kind in words."""

    panel: int
    kind: str


@dataclass(frozen=True)
class Panel:
    """A part of the figure that may be laid out on its own on a narrow screen.

    ``box`` is left, top, width, height in pixels of the whole figure.
    """

    box: Box


class Stage:
    """The artists of one figure, each with its slot.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        Artists that exist now get a slot each; those made later share the *layers* of
        their axes, one above the artists of each z-order.
    prefix : str
        Put before every id.
    """

    def __init__(self, fig: Figure, prefix: str) -> None:
        for text in fig.findobj(Text):
            if text.get_usetex():
                raise UnsupportedArtist(_complaint(text, "usetex=True: use mathtext ($…$) instead"))
        fig.set_dpi(72)
        self.fig = fig
        width, height = fig.get_size_inches() * 72
        self.tables = Tables()
        self.recorder = Recorder(width, height, prefix, self.tables)
        self.slots: list[Slot] = []
        self._slot_of: dict[Artist, int] = {}
        self._layers_of: dict[Any, list[tuple[float, int]]] = {}
        self._layers: set[int] = set()
        self._axis_memo: dict[Axis, tuple[keys.Key, Fragment]] = {}
        self._text_memo: dict[Text, dict[keys.Key, Fragment]] = {}
        self._spine_memo: dict[Spine, tuple[keys.Key, Fragment]] = {}
        self._title_memo: dict[Axes, keys.Key] = {}
        # Of the present state, and the same for all artists of some axes.
        self._axes_keys: dict[Axes, keys.Key] = {}
        self._places: keys.Places = {}
        self._panel = -1
        self._panels: list[Panel] = []
        self._panel_of: dict[Artist, int] = {}
        self._enroll(fig)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        return self.recorder.width, self.recorder.height

    def freeze(self) -> None:
        """Let the layout engine place the axes for the present state, then switch it off.

        An engine left on moves axes from state to state, and costs 100 ms a draw.
        """
        self.fig.draw_without_rendering()
        if self.fig.get_layout_engine() is not None:
            self.fig.set_layout_engine("none")
        self._panels = self._measured_panels()

    def draw(self) -> list[Fragment]:
        """Return the fragments of the present state, one for each slot."""
        self._places = {}
        fragments = [EMPTY] * len(self.slots)
        layers: dict[int, list[Fragment]] = {}
        last = -1
        for slot, artist in self._walk(self.fig):
            if slot not in self._layers:
                if slot < last:
                    raise UnsupportedArtist(
                        f"cannot draw {artist!r}: its z-order has changed; keep it in all states"
                    )
                last = slot
            if slot in self._layers:
                parts = layers.setdefault(slot, [])
                parts.append(self._fragment(slot, artist, 1 + len(parts)))
            else:
                fragments[slot] = self._fragment(slot, artist)
        for slot, parts in layers.items():
            fragments[slot] = _joined(parts)
        return fragments

    @property
    def panels(self) -> list[Panel]:
        """The parts of the figure, as measured when the layout was frozen."""
        return self._panels

    def panel_of(self, artist: Artist) -> int:
        """Return the panel that an artist of the figure stands in; −1 is the background."""
        return self._panel_of.get(artist, -1)

    def _measured_panels(self) -> list[Panel]:
        boxes: dict[int, list[Box]] = {}
        for artist, panel in self._panel_of.items():
            found = artist.get_tightbbox(self.recorder)
            if artist.get_visible() and found is not None and found.width > 0:
                top = self.recorder.height - found.y1
                boxes.setdefault(panel, []).append((found.x0, top, found.x1, top + found.height))
        count = 1 + max(self._panel_of.values(), default=-1)
        return [Panel(_union(boxes.get(panel, []))) for panel in range(count)]

    # --- slots ---

    def _enroll(self, parent: Figure | SubFigure) -> None:
        """Give every artist below a figure its slot, in drawing order."""
        self._add(parent.patch)
        for child in self._layered(parent):
            if isinstance(child, SubFigure):
                self._enroll(child)
            elif isinstance(child, Axes):
                self._start_panel(child)
                self._enroll_axes(child)
            else:
                self._start_panel(child)
                self._add(child)

    def _start_panel(self, artist: Artist) -> None:
        """Begin a panel; a color bar and a twin share the panel of their axes."""
        self._panel = self._panel_of[artist] = self._shared_panel(artist)

    def _shared_panel(self, artist: Any) -> int:
        if isinstance(artist, Axes):
            bar = getattr(artist, "_colorbar", None)
            owners = [getattr(getattr(bar, "mappable", None), "axes", None)]
            owners += list(artist._twinned_axes.get_siblings(artist))
            for owner in owners:
                if owner is not None and owner is not artist and owner in self._panel_of:
                    return self._panel_of[owner]
        return 1 + max(self._panel_of.values(), default=-1)

    def _enroll_axes(self, axes: Axes) -> None:
        if _is_unit(axes):
            self._add(axes)
            return
        self._add(axes.patch)
        for child in self._layered(axes):
            if isinstance(child, Axes):
                self._enroll_axes(child)
            else:
                self._add(child)

    def _add(self, artist: Artist) -> None:
        self._slot_of[artist] = len(self.slots)
        self.slots.append(Slot(self._panel, type(artist).__name__))

    def _layered(self, parent: Any) -> Iterator[Any]:
        """Yield children in drawing order; above those of each z-order add a layer."""
        children = [child for child in parent.get_children() if child is not parent.patch]
        self._add_layer(parent, -math.inf)
        ordered = sorted(children, key=attrgetter("zorder"))
        for zorder, level in itertools.groupby(ordered, key=attrgetter("zorder")):
            yield from level
            self._add_layer(parent, zorder)

    def _add_layer(self, parent: Any, zorder: float) -> None:
        self._layers_of.setdefault(parent, []).append((zorder, len(self.slots)))
        self._layers.add(len(self.slots))
        self.slots.append(Slot(self._panel, "Layer"))

    # --- drawing ---

    def _walk(self, parent: Any) -> Iterator[tuple[int, Artist]]:
        """Yield the slot and artist of everything that is drawn, back to front."""
        if not parent.get_visible():
            return
        children = parent._get_draw_artists(self.recorder)
        yield self._slot_of[parent.patch], parent.patch
        for child in children:
            if isinstance(child, SubFigure):
                yield from self._walk(child)
            elif isinstance(child, Axes) and not _is_unit(child):
                yield from self._walk_axes(child)
            else:
                yield self._slot(parent, child), child

    def _walk_axes(self, axes: Any) -> Iterator[tuple[int, Artist]]:
        if not axes.get_visible():
            return
        axes._unstale_viewLim()
        children = [child for child in axes.get_children() if child is not axes.patch]
        framed = axes.axison and axes.get_frame_on()
        hidden: set[Artist] = set()
        if not framed:
            hidden |= set(axes.spines.values())
        if not axes.axison:
            hidden |= set(axes._axis_map.values())
        self._axes_keys[axes] = keys.axes_key(axes)
        self._place_titles(axes)
        self._places |= keys.places(child for child in children if type(child) is Text)
        if framed:
            yield self._slot(axes, axes.patch), axes.patch
        for child in sorted(children, key=attrgetter("zorder")):
            if child in hidden:
                continue
            if isinstance(child, Axes) and not _is_unit(child):
                yield from self._walk_axes(child)
            else:
                yield self._slot(axes, child), child

    def _place_titles(self, axes: Any) -> None:
        """Move titles clear of tick labels; costly, so only where that can have changed."""
        key = self._titles_key(axes)
        stale = any(keys.is_stale(axis) for axis in axes._axis_map.values())
        if stale or self._title_memo.get(axes) != key:
            axes._update_title_position(self.recorder)
            # Placing measures the ticks, which marks the axis as stale: draw it anew once.
            self._title_memo[axes] = self._titles_key(axes)

    def _titles_key(self, axes: Any) -> keys.Key:
        titles = [
            title for title in (axes.title, axes._left_title, axes._right_title) if title.get_text()
        ]
        places = keys.places(titles)
        return (
            self._axes_keys[axes],
            *(axis.zorder for axis in axes._axis_map.values()),
            *(keys.text_key(title, places[title]) for title in titles),
        )

    def _slot(self, parent: Axes | SubFigure | Figure, artist: Artist) -> int:
        found = self._slot_of.get(artist)
        if found is not None:
            return found
        return max(slot for zorder, slot in self._layers_of[parent] if zorder <= artist.zorder)

    def _fragment(self, slot: int, artist: Artist, part: int = 0) -> Fragment:
        if not artist.get_visible():
            return EMPTY
        _refuse(artist)
        try:
            if isinstance(artist, Axis):
                return self._axis(slot, artist)
            if type(artist) is Text:
                return self._text(slot, artist)
            if isinstance(artist, Spine) and artist.axes in self._axes_keys:
                return self._spine(slot, artist)
            return self._record(slot, artist, part)
        except UnsupportedArtist as error:
            raise UnsupportedArtist(_complaint(artist, str(error))) from None

    def _record(self, slot: int, artist: Artist, part: int = 0) -> Fragment:
        self.recorder.start(slot if not part else slot + part * len(self.slots))
        if isinstance(artist, AxesImage):
            self._image(artist)
        elif isinstance(artist, QuadMesh) and (box := _regular(artist)) is not None:
            self._mesh(artist, box)
        else:
            artist.draw(self.recorder)
        # Color bars ask for pixels, as their many thin cells would show gaps.
        return self.recorder.finish(crisp=isinstance(artist, QuadMesh) and artist.get_rasterized())

    def _axis(self, slot: int, axis: Axis) -> Fragment:
        """Draw an axis, or repeat its last drawing where nothing of it has changed."""
        key = (self._axes_keys[axis.axes], axis.zorder)
        memo = self._axis_memo.get(axis)
        if memo is None or memo[0] != key or keys.is_stale(axis):
            self._axis_memo[axis] = memo = (key, self._record(slot, axis))
            keys.settle(axis)
        return memo[1]

    def _spine(self, slot: int, spine: Spine) -> Fragment:
        """Draw a spine, or repeat its last drawing where nothing of it has changed."""
        key = self._axes_keys[spine.axes]
        memo = self._spine_memo.get(spine)
        if memo is None or memo[0] != key or spine.stale:
            self._spine_memo[spine] = memo = (key, self._record(slot, spine))
        return memo[1]

    def _text(self, slot: int, text: Text) -> Fragment:
        if not text.get_text():
            return EMPTY
        boxed = text.get_bbox_patch() is not None or text.get_clip_path() is not None
        if boxed or text not in self._slot_of:
            return self._record(slot, text)
        # All its drawings, not only the last: a text returns when an outer control moves.
        memo = self._text_memo.setdefault(text, {})
        place = self._places.get(text) or keys.places([text])[text]
        key = keys.text_key(text, place)
        fragment = memo.get(key)
        if fragment is None:
            fragment = memo[key] = self._record(slot, text)
        return fragment

    def _image(self, image: Any) -> None:
        """Draw an image from its cells: what a reader sees is data, not resampled pixels."""
        if image.get_interpolation() not in ("nearest", "none", "auto", "antialiased"):
            raise UnsupportedArtist(
                f"interpolation={image.get_interpolation()!r}: use interpolation='nearest'"
            )
        colors = image.to_rgba(image.get_array(), alpha=image.get_alpha(), bytes=True, norm=True)
        left, right, bottom, top = image.get_extent()
        box = image.get_transform().transform([(left, bottom), (right, top)])
        if image.origin == "lower":
            colors = colors[::-1]
        (x0, y0), (x1, y1) = box
        colors = colors[:, ::-1] if x1 < x0 else colors
        colors = colors[::-1] if y1 < y0 else colors
        extent = Bbox([(min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))])
        self.recorder.draw_grid(colors, extent, self.recorder.clip_attribute(image))

    def _mesh(self, mesh: QuadMesh, box: NDArray[np.float64]) -> None:
        """Draw a mesh of equal cells as an image: a color a cell in place of a path."""
        mesh.update_scalarmappable()
        rows, columns = (side - 1 for side in mesh.get_coordinates().shape[:2])
        colors = np.rint(255 * np.asarray(mesh.get_facecolor())).astype(np.uint8)
        colors = colors.reshape(rows, columns, 4)
        (x0, y0), (x1, y1) = box
        # Rows run upward as coordinates do; a grid has its top row first.
        colors = colors[::-1] if y1 > y0 else colors
        colors = colors[:, ::-1] if x1 < x0 else colors
        extent = Bbox([(min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))])
        self.recorder.draw_grid(colors, extent, self.recorder.clip_attribute(mesh))


def _regular(mesh: Any) -> NDArray[np.float64] | None:
    """Return two opposite corners in pixels of a mesh of equal cells, shape (2, 2), else None."""
    edges = mesh.get_edgecolor()
    plain = isinstance(edges, str) or len(edges) == 0 or not np.any(np.asarray(edges)[:, 3])
    shape = mesh.get_coordinates().shape[:2]
    smooth = mesh._shading == "gouraud"
    if smooth or mesh.get_rasterized() or not plain or (shape[0] - 1) * (shape[1] - 1) > MAX_CELLS:
        return None
    corners = mesh.get_transform().transform(mesh.get_coordinates().reshape(-1, 2))
    corners = corners.reshape(*shape, 2)
    ends = corners[[0, -1], [0, -1]]
    even = np.empty_like(corners)
    even[..., 0] = np.linspace(ends[0, 0], ends[1, 0], shape[1])
    even[..., 1] = np.linspace(ends[0, 1], ends[1, 1], shape[0])[:, None]
    within = np.allclose(corners, even, rtol=0, atol=_SAME_PLACE)
    return ends if within and np.isfinite(ends).all() else None


def _is_unit(axes: Axes) -> bool:
    """Tell whether axes draw themselves in a way of their own (3-D, polar)."""
    return type(axes).draw is not Axes.draw


def _union(boxes: list[Box]) -> Box:
    if not boxes:
        return (0.0, 0.0, 0.0, 0.0)
    sides = np.asarray(boxes)
    x0, y0 = sides[:, :2].min(axis=0)
    x1, y1 = sides[:, 2:].max(axis=0)
    return (float(x0), float(y0), float(x1 - x0), float(y1 - y0))


def _joined(parts: list[Fragment]) -> Fragment:
    inner = [part.template[1:-1] for part in parts if part is not EMPTY]
    return Fragment(f"[{','.join(inner)}]", tuple(value for part in parts for value in part.ints))


def _complaint(artist: Artist, what: str) -> str:
    text = str(what)
    return text if text.startswith("cannot draw") else f"cannot draw {artist!r}: it uses {text}"


def _refuse(artist: Any) -> None:
    """Raise UnsupportedArtist, by name, for what would be drawn wrong without a word."""
    if artist.get_path_effects() or any(part.get_path_effects() for part in _inner(artist)):
        raise UnsupportedArtist(_complaint(artist, "path effects: leave them off"))
    if hasattr(artist, "get_hatch") and artist.get_hatch():
        raise UnsupportedArtist(_complaint(artist, "a hatch: use a plain fill"))
    if artist.get_rasterized() and not isinstance(artist, QuadMesh):
        raise UnsupportedArtist(_complaint(artist, "rasterized=True: leave it off"))
    if isinstance(artist, _ImageBase) and type(artist) is not AxesImage:
        raise UnsupportedArtist(_complaint(artist, "pixels of its own: use imshow"))


def _inner(artist: Artist) -> list[Any]:
    """Return what an artist draws besides itself: a legend's entries, an annotation's arrow."""
    if isinstance(artist, Legend | OffsetBox | Table):
        return list(artist.findobj())
    parts = (getattr(artist, name, None) for name in ("arrow_patch", "_bbox_patch"))
    return [part for part in parts if part is not None]
