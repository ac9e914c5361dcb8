"""``live``: make a matplotlib figure move with controls, in a kernel and on a page."""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from livefigure import encode, markup
from livefigure.bake import State, bake
from livefigure.controls import Control, make_control
from livefigure.errors import LiveFigureError
from livefigure.fragments import Fragment
from livefigure.markup import Pad
from livefigure.stage import Stage

MIME = "application/vnd.livefigure+json"

#: Environment variable that asks for all states instead of widgets.
BAKE = "LIVEFIGURE_BAKE"

Pointer = Mapping[Axes, tuple[str | None, str | None]]


def live(
    fig: Figure,
    *,
    pointer: Pointer | None = None,
    max_states: int = 3000,
    **controls: Any,
) -> Callable[[Callable[..., str | None]], LiveFigure]:
    """Return a decorator that makes *fig* follow a function's parameters.

    The function moves artists that exist already and returns a caption, or ``None``. In a
    notebook it is called whenever a widget moves; when a site is built it is called once for
    every combination of positions, and the page shows what was drawn.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure, with all its artists.
    pointer : mapping of Axes to (str or None, str or None), optional
        In these axes a drag moves the named controls, horizontally and vertically.
    max_states : int, default: 3000
        The largest product of positions that may be baked.
    **controls : ipywidgets widget or abbreviation
        One for each parameter: ``FloatSlider``, ``FloatLogSlider``, ``IntSlider``,
        ``SelectionSlider``, ``Dropdown``, ``ToggleButtons``, ``Checkbox``, ``Play``, or what
        ``ipywidgets.interact`` takes: ``(low, high, step)``, a list, ``True``.

    Raises
    ------
    LiveFigureError
        If an argument is unusable; the message names it and says what to do.

    Examples
    --------
    >>> fig, ax = plt.subplots()
    >>> (line,) = ax.plot([0, 1], [0, 1])
    >>> @live(fig, slope=(0.0, 1.0, 0.25))
    ... def tilt(slope):
    ...     line.set_ydata([0, slope])
    ...     return f"The slope is {slope:g}."
    """
    if not isinstance(fig, Figure):
        raise LiveFigureError(f"live(fig, …) takes a matplotlib Figure, got {fig!r}")
    if not controls:
        raise LiveFigureError("live needs at least one control, such as lr=FloatSlider(…)")
    made = {name: make_control(name, given) for name, given in controls.items()}
    _check_states(made, max_states)
    targets = _check_pointer(fig, pointer or {}, made)

    def decorate(function: Callable[..., str | None]) -> LiveFigure:
        _check_function(function, made)
        figure = LiveFigure(function, fig, made, targets)
        if get_ipython() is not None:
            display(figure)
        return figure

    return decorate


class LiveFigure:
    """A figure, its controls and the function between them; made by :func:`live`.

    Attributes
    ----------
    name : str
        The function's name, and the figure's id on the page.
    controls : dict of str to ipywidgets widget
        The widgets; setting a value moves the figure.
    caption : str
        The caption of the present state.
    states : int
        How many states the controls have.
    """

    def __init__(
        self,
        function: Callable[..., str | None],
        fig: Figure,
        controls: dict[str, Control],
        pointer: Pointer,
    ) -> None:
        self.name: str = getattr(function, "__name__", "figure")
        self._function = function
        self._controls = controls
        self._stage = Stage(fig, self.name)
        self._frames: dict[Axes, tuple[float, ...]] = {}
        # The inline backend would show the bare figure a second time.
        plt.close(fig)
        self.caption = self._call(self._defaults)
        self._stage.freeze()
        self._fragments = self._stage.draw()
        self._pads = [_pad(self._stage, axes, names, controls) for axes, names in pointer.items()]
        self._frames = {axes: _frame(axes) for axes in pointer}
        self._view: Any = None
        self._box: Any = None
        self._held = False
        for control in controls.values():
            control.widget.observe(self._moved, names="value")

    def __repr__(self) -> str:
        return f"<LiveFigure {self.name}: {self.states} states, {', '.join(self._controls)}>"

    @property
    def controls(self) -> dict[str, Any]:
        """The widgets by parameter."""
        return {name: control.widget for name, control in self._controls.items()}

    @property
    def states(self) -> int:
        """The number of states."""
        return math.prod(len(control.values) for control in self._controls.values())

    def svg(self) -> str:
        """Return the present state as SVG text."""
        return markup.picture(self._stage, self._fragments, self._pads)

    def bake(self) -> dict[str, Any]:
        """Return everything a page needs: controls, first frame, data of all states.

        Returns
        -------
        dict
            ``id``, ``states``, ``form``, ``svg``, ``caption`` and ``parts``, the texts of the
            data files.

        Raises
        ------
        LiveFigureError
            If the function depends on its history, or an artist cannot be drawn.
        """
        shape = tuple(len(control.values) for control in self._controls.values())
        stage = self._stage
        baked = bake(self.name, stage, shape, self._call)
        parts = encode.encode(self.name, baked, stage.tables)
        dynamic = {k for k, track in enumerate(baked.tracks) if not track.is_static}
        first = [track.fragments[track.which[self._defaults]] for track in baked.tracks]
        caption = self._call(self._defaults)
        stage.draw()
        return {
            "id": self.name,
            "states": baked.states,
            "form": markup.form(self.name, self._controls),
            "svg": markup.picture(stage, first, self._pads, dynamic, f"{self.name}-caption"),
            "caption": caption,
            "parts": [part.text for part in parts],
        }

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        plain = {"text/plain": repr(self)}
        if os.environ.get(BAKE):
            return {MIME: self.bake(), "image/svg+xml": self.svg(), **plain}
        bundle: dict[str, Any] = self.widget()._repr_mimebundle_()
        return {**bundle, **plain}

    def widget(self) -> Any:
        """Return controls and picture as one ipywidget."""
        if self._box is None:
            from livefigure.widget import PictureView, layout

            self._view = PictureView(self)
            self._box = layout(self._controls, self._view)
        return self._box

    def move(self, positions: Mapping[str, int]) -> None:
        """Move several controls to positions and draw once.

        Parameters
        ----------
        positions : mapping of str to int
            The position, from 0, of each control to move.
        """
        self._held = True
        try:
            for name, position in positions.items():
                control = self._controls[name]
                control.widget.value = control.values[position]
        finally:
            self._held = False
        self._moved(None)

    @property
    def stage(self) -> Stage:
        """The artists, slot by slot."""
        return self._stage

    @property
    def fragments(self) -> list[Fragment]:
        """What each slot draws at present."""
        return self._fragments

    @property
    def _defaults(self) -> State:
        return tuple(control.default for control in self._controls.values())

    def _moved(self, _: Any) -> None:
        if self._held:
            return
        state = tuple(c.position(c.widget.value) for c in self._controls.values())
        self.caption = self._call(state)
        before, self._fragments = self._fragments, self._stage.draw()
        if self._view is not None:
            self._view.update(before)

    def _call(self, state: State) -> str:
        values = {
            name: control.values[position]
            for (name, control), position in zip(self._controls.items(), state, strict=True)
        }
        caption = self._function(**values)
        self._check_pads()
        if caption is None:
            return ""
        if not isinstance(caption, str):
            raise LiveFigureError(
                f"{self.name} returned {type(caption).__name__} {caption!r:.60}: return the "
                "caption as a str, or None (a lambda that ends in a setter returns what the setter "
                "does)"
            )
        return caption

    def _check_pads(self) -> None:
        """Refuse pads whose axes move: their positions would be wrong in other states."""
        for axes, frame in self._frames.items():
            if _frame(axes) != frame:
                raise LiveFigureError(
                    f"{self.name}: the limits of {axes!r} move with the controls, so a pointer "
                    "cannot work there: fix them, or leave these axes out of pointer"
                )


def _frame(axes: Axes) -> tuple[float, ...]:
    return (*axes.viewLim.extents, *axes.bbox.extents)


def _check_states(controls: Mapping[str, Control], max_states: int) -> None:
    counts = {name: len(control.values) for name, control in controls.items()}
    states = math.prod(counts.values())
    if states > max_states:
        product = " × ".join(f"{name} {count}" for name, count in counts.items())
        raise LiveFigureError(
            f"{product} = {states:,} states, more than max_states={max_states:,}: "
            "use larger steps or fewer controls"
        )


def _check_pointer(fig: Figure, pointer: Pointer, controls: Mapping[str, Control]) -> Pointer:
    for axes, names in pointer.items():
        if axes not in fig.axes:
            raise LiveFigureError(f"pointer: {axes!r} is not one of the figure's axes")
        if len(names) != 2:
            raise LiveFigureError(f"pointer: give two names for {axes!r}, got {names!r}")
        for name in names:
            if name is None:
                continue
            if name not in controls:
                raise LiveFigureError(f"pointer: no control is named {name!r}")
            if controls[name].kind not in ("range", "play"):
                raise LiveFigureError(f"pointer: {name} is a {controls[name].kind}, not a slider")
            if not all(isinstance(value, (int, float)) for value in controls[name].values):
                raise LiveFigureError(f"pointer: the values of {name} are not numbers")
    return pointer


def _check_function(function: Callable[..., Any], controls: Mapping[str, Control]) -> None:
    name = getattr(function, "__name__", "")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise LiveFigureError(
            f"{name or repr(function)} cannot be the id of a figure: name the function with "
            "lower-case letters, digits and underscores"
        )
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise LiveFigureError(f"{name}: write its parameters out instead of *{parameter.name}")
        if parameter.name not in controls and parameter.default is parameter.empty:
            raise LiveFigureError(
                f"{name}: its parameter {parameter.name!r} has no control: pass one to live(…), "
                f"which has {', '.join(controls)}"
            )
    for control in controls:
        if control not in parameters:
            raise LiveFigureError(
                f"{name} has no parameter for the control {control!r}: it takes "
                f"{', '.join(parameters) or 'none'}"
            )


def _pad(
    stage: Stage, axes: Axes, names: tuple[str | None, str | None], controls: dict[str, Control]
) -> Pad:
    """Return where each position of the controls lies in the axes, in pixels of the figure."""
    height = stage.size[1]
    box = axes.get_window_extent()
    x, y = names
    across = down = None
    if x is not None:
        corner = axes.get_ylim()[0]
        points = axes.transData.transform([(value, corner) for value in controls[x].values])
        across = (x, [float(place) for place in points[:, 0]])
    if y is not None:
        corner = axes.get_xlim()[0]
        points = axes.transData.transform([(corner, value) for value in controls[y].values])
        down = (y, [float(height - place) for place in points[:, 1]])
    return Pad(stage.panel_of(axes), (box.x0, height - box.y1, box.width, box.height), across, down)
