"""The drills of chapter 11: clipping, backward passes through layers and time, gains, a ratio.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import compare, parts, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Array = NDArray[np.floating[Any]]


def _sigmoid(z: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


#: Activations and derivatives, by name, for the drills' own nets.
_KNOWN: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
}


# --- clip_by_norm ---


def clip_by_norm(grads: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    """Scale gradients down together, so that their common norm is at most ``max_norm``.

    Parameters
    ----------
    grads : list of arrays of float64
        Of any shapes.
    max_norm : float
        Above 0.

    Returns
    -------
    clipped : list of arrays of float64
        New ones.
    norm : float
        That of all entries together, before clipping.
    """
    norm = float(np.sqrt(sum((grad**2).sum() for grad in grads)))
    factor = min(1.0, max_norm / (norm + 1e-6))
    return [factor * grad for grad in grads], norm


def _scaled(grads: Sequence[Array], factors: Sequence[float]) -> list[Array]:
    return [factor * grad for factor, grad in zip(factors, grads, strict=True)]


def _per_tensor(grads: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    each = [min(1.0, max_norm / (float(np.linalg.norm(grad)) + 1e-6)) for grad in grads]
    return _scaled(grads, each), clip_by_norm(grads, max_norm)[1]


def _always(grads: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    norm = clip_by_norm(grads, max_norm)[1]
    return _scaled(grads, [max_norm / (norm + 1e-6)] * len(grads)), norm


def _sum_of_norms(grads: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    norm = float(sum(np.linalg.norm(grad) for grad in grads))
    return _scaled(grads, [min(1.0, max_norm / (norm + 1e-6))] * len(grads)), norm


def _norm_after(grads: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    clipped = clip_by_norm(grads, max_norm)[0]
    return clipped, clip_by_norm(clipped, max_norm)[1]


def _by_value(grads: Sequence[Array], max_norm: float) -> tuple[list[Array], float]:
    cut = [np.clip(grad, -max_norm, max_norm) for grad in grads]
    return cut, clip_by_norm(grads, max_norm)[1]


def _split(inputs: Inputs) -> list[Array]:
    ends = np.cumsum(inputs["sizes"])[:-1]
    return [part.copy() for part in np.split(inputs["entries"], ends)]


def _call_clip(function: Function, inputs: Inputs) -> Any:
    """Join what comes back, so that an answer is an array and a number."""
    answer = function(_split(inputs), inputs["max_norm"])
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return answer
    clipped, norm = answer
    try:
        joined = [np.asarray(part) for part in clipped]
    except TypeError:  # not a list
        return answer
    if [part.shape for part in joined] != [(size,) for size in inputs["sizes"]]:
        found = [part.shape for part in joined]
        return (np.zeros((0, *found[0])) if found else None, norm)
    return np.concatenate(joined), norm


def _clip_expected(inputs: Inputs) -> Array:
    clipped, norm = clip_by_norm(_split(inputs), inputs["max_norm"])
    return np.append(np.concatenate(clipped), norm)


_CLIP_PARTS = ("clipped", "norm")


def _clip_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    grads = _split(inputs)
    norms = [float(np.linalg.norm(grad)) for grad in grads]
    total = clip_by_norm(grads, inputs["max_norm"])[1]
    return {
        "norms": " and ".join(f"{norm:.3g}" for norm in norms),
        "total": f"{total:.3g}",
        "sum": f"{sum(norms):.3g}",
        "limit": f"{inputs['max_norm']:.3g}",
    }


def _draw_clip(rng: np.random.Generator) -> Inputs:
    sizes = tuple(int(size) for size in rng.integers(1, 5, size=int(rng.integers(2, 4))))
    entries = rng.normal(size=sum(sizes)) * 10 ** rng.uniform(-1, 1.5)
    norm = float(np.linalg.norm(entries))
    return {
        "entries": entries,
        "sizes": sizes,
        "max_norm": norm * float(10 ** rng.uniform(-0.7, 0.5)),
    }


def _smaller_clip(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.plainer(inputs, "entries", 3.0, 4.0)
    yield from shrink.plainer(inputs, "max_norm", 1.0)


CLIP_BY_NORM = Drill(
    name="clip_by_norm",
    chapter="gradient_flow",
    level="screening",
    task=(
        "Clip gradients as `torch.nn.utils.clip_grad_norm_` does, but into new arrays: `grads` is "
        "a list of arrays, one for each parameter. Where their common norm is above `max_norm`, "
        "multiply them all by `max_norm / (norm + 1e-6)`. Return the list, and the norm *before* "
        "clipping."
    ),
    signature="clip_by_norm(grads, max_norm) -> (list of arrays, norm)",
    hints=(
        "How many norms are there: one for each parameter, or one?",
        "The square of the norm is the sum of all squares, over all arrays.",
        "The factor is `min(1, max_norm / (norm + 1e-6))`: small gradients stay as they are.",
    ),
    reference=clip_by_norm,
    wrong={
        "each array was clipped by itself, norms {norms}: use one norm over all gradients, here "
        "{total}": _per_tensor,
        "gradients of norm {total} were rescaled to {limit}: clipping never enlarges": _always,
        "norm {sum}, expected {total}: norms do not add, squares do": _sum_of_norms,
        "the norm that is returned is the one after clipping; it was {total} before": _norm_after,
        "that clips by value: entries were cut at ±{limit}, which turns the gradient": _by_value,
    },
    draw=_draw_clip,
    smaller=_smaller_clip,
    cases=storage.path("clip_by_norm"),
    follow_up=FollowUp(
        "Where does it stand in a loop with mixed precision and accumulation?",
        "After the last micro-batch, after `scaler.unscale_(optimizer)`, and before "
        "`scaler.step(optimizer)`: before that the gradients carry the loss scale.",
    ),
    call=_call_clip,
    setting="grads = np.split(entries, np.cumsum(sizes)[:-1])",
    answer=_clip_expected,
    check=partial(parts.difference, _CLIP_PARTS),
    agree=lambda inputs, one, other: parts.same(one, other),
    facts=_clip_facts,
    display=lambda inputs, expected, got: parts.display(_CLIP_PARTS, expected, got),
)


# --- mlp_backward ---


def mlp_backward(weights: Array, x: Array, target: Array, activation: str) -> Array:
    """Differentiate half the mean squared distance of a net's output from its targets.

    Parameters
    ----------
    weights : array of float64, shape (L, n, n)
        Rows are outputs; each layer is followed by the activation.
    x, target : array of float64, shape (B, n)
    activation : str

    Returns
    -------
    array of float64, shape (L, n, n)
        The gradients with respect to the weights.
    """
    phi, dphi = _KNOWN[activation]
    h, zs = [x], []
    for weight in weights:
        zs.append(h[-1] @ weight.T)
        h.append(phi(zs[-1]))
    delta = (h[-1] - target) / len(x)
    grads = np.zeros_like(weights)
    for layer in reversed(range(len(weights))):
        inner = delta * dphi(zs[layer])
        grads[layer] = inner.T @ h[layer]
        delta = inner @ weights[layer]
    return grads


def _slope_forgotten(weights: Array, x: Array, target: Array, activation: str) -> Array:
    return _variant(weights, x, target, activation, lambda z, layer: np.ones_like(z))


def _slope_of_output(weights: Array, x: Array, target: Array, activation: str) -> Array:
    phi, dphi = _KNOWN[activation]
    return _variant(weights, x, target, activation, lambda z, layer: dphi(phi(z)))


def _last_slope_forgotten(weights: Array, x: Array, target: Array, activation: str) -> Array:
    dphi, last = _KNOWN[activation][1], len(weights) - 1
    return _variant(
        weights, x, target, activation,
        lambda z, layer: np.ones_like(z) if layer == last else dphi(z),
    )  # fmt: skip


def _not_transposed(weights: Array, x: Array, target: Array, activation: str) -> Array:
    dphi = _KNOWN[activation][1]
    return _variant(
        weights, x, target, activation, lambda z, layer: dphi(z), np.swapaxes(weights, 1, 2)
    )


def _mean_forgotten(weights: Array, x: Array, target: Array, activation: str) -> Array:
    return len(x) * mlp_backward(weights, x, target, activation)


def _variant(
    weights: Array,
    x: Array,
    target: Array,
    activation: str,
    slope: Callable[[Array, int], Array],
    down: Array | None = None,
) -> Array:
    phi, _ = _KNOWN[activation]
    h, zs = [x], []
    for weight in weights:
        zs.append(h[-1] @ weight.T)
        h.append(phi(zs[-1]))
    delta, grads = (h[-1] - target) / len(x), np.zeros_like(weights)
    for layer in reversed(range(len(weights))):
        inner = delta * slope(zs[layer], layer)
        grads[layer] = inner.T @ h[layer]
        delta = inner @ (weights if down is None else down)[layer]
    return grads


def _draw_mlp(rng: np.random.Generator) -> Inputs:
    depth, width, batch = (int(n) for n in rng.integers([2, 2, 2], [5, 5, 7]))
    return {
        "weights": rng.normal(size=(depth, width, width)),
        "x": rng.normal(size=(batch, width)),
        "target": rng.normal(size=(batch, width)),
        "activation": str(rng.choice(["tanh", "sigmoid", "relu"], p=[0.45, 0.4, 0.15])),
    }


def _smaller_mlp(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, weights=0)
    if len(inputs["x"]) > 2:
        yield from shrink.dropped(inputs, x=0, target=0)
    width = inputs["x"].shape[1]
    if width > 2:
        square = inputs["weights"][:, :-1, :-1]
        less = {"weights": square, "x": inputs["x"][:, :-1], "target": inputs["target"][:, :-1]}
        yield dict(inputs) | less
    for name in ("x", "target", "weights"):
        plain = shrink.rounded(inputs[name])
        if not np.array_equal(plain, inputs[name]):
            yield dict(inputs) | {name: plain}


MLP_BACKWARD = Drill(
    name="mlp_backward",
    chapter="gradient_flow",
    level="core",
    task=(
        "Differentiate a net by hand. Layer `k` computes `h = phi(h @ weights[k].T)`; `weights` "
        "has shape `(L, n, n)`, and the `activation` `'tanh'`, `'sigmoid'`, `'relu'` or "
        "`'identity'` follows every layer, the last too. The loss is half the squared distance of "
        "the last output from `target`, averaged over the `B` rows of `x`. Return the gradients "
        "with respect to the weights, of shape `(L, n, n)`."
    ),
    signature="mlp_backward(weights, x, target, activation) -> array (L, n, n)",
    hints=(
        "Keep all `z` and `h` of the forward pass. What is the gradient of the loss with respect "
        "to the last `h`?",
        "Going back: first through the activation, `inner = delta * dphi(z)`, then through the "
        "matrix.",
        "`grads[k] = inner.T @ h[k]`, where `h[0]` is `x`; and `delta = inner @ weights[k]` for "
        "the layer below, without a transpose, as samples are rows.",
    ),
    reference=mlp_backward,
    wrong={
        "φ′ is missing: on the way back each layer multiplies by φ′(z) before its "
        "matrix": _slope_forgotten,
        "φ′ was taken at h = φ(z) instead of z": _slope_of_output,
        "φ′ of the last layer is missing: that one has an activation, too": _last_slope_forgotten,
        "the gradient went down through the wrong transpose: square layers hide it, and only the "
        "last layer is right": _not_transposed,
        "all gradients are {batch} times too large: the loss is a mean over a batch of "
        "{batch}": _mean_forgotten,
    },
    draw=_draw_mlp,
    smaller=_smaller_mlp,
    cases=storage.path("mlp_backward"),
    follow_up=FollowUp(
        "Which quantity is equal in all layers of a ReLU net without biases?",
        "The inner product of a layer's weights with their gradient: the output is homogeneous in "
        "each weight matrix. So a bad scale makes all weight gradients small together.",
    ),
    facts=lambda inputs, got: {"batch": str(len(inputs["x"]))},
)


# --- init_gain ---


def init_gain(slope: Callable[[Array], Array], q: float) -> float:
    """Return the gain at which a wide layer keeps the size of gradients.

    Parameters
    ----------
    slope : callable
        The derivative of the activation, element by element.
    q : float
        The second moment of the pre-activations, which are normal around 0.

    Returns
    -------
    float
        Such that gain² times the mean square of the slope is 1.
    """
    z = np.linspace(-10, 10, 4001)
    weight = np.exp(-z * z / 2)
    square = (slope(np.sqrt(q) * z) ** 2 * weight).sum() / weight.sum()
    return float(1 / np.sqrt(square))


def _average(values: Array, z: Array) -> float:
    weight = np.exp(-z * z / 2)
    return float((values * weight).sum() / weight.sum())


_GRID = np.linspace(-10, 10, 4001)


def _gain_one(slope: Callable[[Array], Array], q: float) -> float:
    return 1.0


def _gain_of_relu(slope: Callable[[Array], Array], q: float) -> float:
    return 2**0.5


def _root_forgotten(slope: Callable[[Array], Array], q: float) -> float:
    return init_gain(slope, q) ** 2


def _mean_slope(slope: Callable[[Array], Array], q: float) -> float:
    return 1 / _average(np.abs(slope(np.sqrt(q) * _GRID)), _GRID)


def _q_forgotten(slope: Callable[[Array], Array], q: float) -> float:
    return init_gain(slope, 1.0)


def _variance_as_std(slope: Callable[[Array], Array], q: float) -> float:
    return init_gain(slope, q * q)


def _slope_of(inputs: Inputs) -> Callable[[Array], Array]:
    """Return the derivative of an activation, or that of ReLU with a leak."""
    name, leak = inputs["activation"], inputs["leak"]
    if name == "relu":
        return lambda z: np.where(np.asarray(z) > 0, 1.0, leak)
    dphi = _KNOWN[name][1]
    return lambda z: dphi(np.asarray(z, dtype=float))


def _call_gain(function: Function, inputs: Inputs) -> Any:
    answer = function(_slope_of(inputs), inputs["q"])
    return answer


def _check_gain(inputs: Inputs, expected: Any, got: Any) -> str | None:
    """Accept what 1% of error leaves: sampling or a coarse rule is good enough."""
    return compare.difference(inputs, expected, got, rtol=0.01)


def _near(inputs: Inputs, one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    return compare.same(one, other, rtol=0.01)


def _gain_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    right = init_gain(_slope_of(inputs), inputs["q"])
    factor = float(got) / right
    return {
        "factor": f"{factor:.2f}",
        "thirty": f"{factor**30:.1e}",
        "right": f"{right:.3f}",
        "q": f"{inputs['q']:.2g}",
    }


def _draw_gain(rng: np.random.Generator) -> Inputs:
    return {
        "activation": str(rng.choice(["tanh", "sigmoid", "relu"], p=[0.55, 0.35, 0.1])),
        "leak": float(rng.choice([0.0, 0.1, 0.3])),
        "q": float(rng.choice([rng.uniform(0.05, 0.6), rng.uniform(1.7, 6)])),
    }


def _smaller_gain(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.plainer(inputs, "leak", 0.0)
    if inputs["q"] not in (2.0, 0.5):
        yield from (dict(inputs) | {"q": q} for q in (2.0, 0.5))


INIT_GAIN = Drill(
    name="init_gain",
    chapter="gradient_flow",
    level="core",
    task=(
        "Weights are drawn with standard deviation `gain / sqrt(n)`. Return the gain at which a "
        "wide layer keeps the mean square of a gradient on its way back. `slope` is the "
        "derivative of the activation, a function of arrays; the pre-activations are normal "
        "around 0 with second moment `q`. One percent of error is allowed."
    ),
    signature="init_gain(slope, q) -> float",
    hints=(
        "A gradient passes the activation, then the matrix. What does each do to its mean square?",
        "The matrix multiplies it by `gain**2`, the activation by the mean of `slope(z)**2`. The "
        "product has to be 1.",
        "`z = np.sqrt(q) * standard normal`: average over many draws, or sum over a grid with the "
        "weights `np.exp(-grid**2 / 2)`.",
    ),
    reference=init_gain,
    wrong={
        "gain 1 for every activation: gradients are multiplied by {factor} per layer, by {thirty} "
        "after 30": _gain_one,
        "√2 is the gain of ReLU: here gradients are multiplied by {factor} per layer, by {thirty} "
        "after 30": _gain_of_relu,
        "the gain is {factor} times too large: it is the mean *square* that the layer multiplies "
        "by gain², so take the root": _root_forgotten,
        "that is the mean slope: gradients add up by their squares, expected {right}": _mean_slope,
        "that is right for q = 1; here the pre-activations have second moment {q}": _q_forgotten,
        "q is the second moment: the standard deviation is its root": _variance_as_std,
    },
    draw=_draw_gain,
    smaller=_smaller_gain,
    cases=storage.path("init_gain"),
    follow_up=FollowUp(
        "Which gain for tanh?",
        "1 keeps small signals: there tanh is linear. A larger gain lets the signal settle at a "
        "finite size, and then gradients grow: at 5/3 by about 1.1 per layer.",
    ),
    call=_call_gain,
    setting="slope(z) is the derivative of the activation; that of ReLU is the leak where z < 0",
    check=_check_gain,
    agree=_near,
    facts=_gain_facts,
)


# --- gradient_ratio ---


class _Layer:
    """A weight and what has been added up for it, as in PyTorch; both in float32."""

    def __init__(self, weight: Array) -> None:
        self.weight = weight.astype(np.float32)
        self.grad: Array | None = None


class _Model:
    """A sigmoid net with a training loop's habits: gradients add up until they are cleared."""

    def __init__(self, weights: Array) -> None:
        self.layers = [_Layer(weight) for weight in weights]
        self._weights = weights

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for layer in self.layers:
            layer.grad = None

    def backward(self, batch: Array) -> None:
        """Add the gradients of half the mean squared output to ``grad`` of each layer."""
        grads = mlp_backward(self._weights, batch, np.zeros_like(batch), "sigmoid")
        for layer, grad in zip(self.layers, grads, strict=True):
            before = 0 if layer.grad is None else layer.grad
            layer.grad = np.asarray(before + grad.astype(np.float32))


def gradient_ratio(model: _Model, batch: Array) -> float:
    """Return the norm of the first layer's gradient over that of the last.

    Parameters
    ----------
    model : object
        With ``zero_grad()``, ``backward(batch)``, and ``layers`` that have ``weight`` and
        ``grad``, arrays of float32.
    batch : array of float64, shape (B, n)

    Returns
    -------
    float
        Far below float32's range, if need be.
    """
    model.zero_grad()
    model.backward(batch)
    first, last = (
        np.linalg.norm(layer.grad.astype(np.float64))  # type: ignore[union-attr]
        for layer in (model.layers[0], model.layers[-1])
    )
    return float(first / last)


def _ratio(first: Any, last: Any) -> float:
    with np.errstate(all="ignore"):
        return float(np.float64(first) / np.float64(last))


def _norm_in_float32(model: _Model, batch: Array) -> float:
    model.zero_grad()
    model.backward(batch)
    first, last = (
        np.sqrt(np.sum(np.square(layer.grad), dtype=np.float32))  # type: ignore[arg-type]
        for layer in (model.layers[0], model.layers[-1])
    )
    return _ratio(first, last)


def _of_weights(model: _Model, batch: Array) -> float:
    norms = [float(np.linalg.norm(layer.weight)) for layer in model.layers]
    return _ratio(norms[0], norms[-1])


def _accumulated(model: _Model, batch: Array) -> float:
    model.backward(batch)
    norms = [float(np.linalg.norm(layer.grad.astype(float))) for layer in model.layers]  # type: ignore[union-attr]
    return _ratio(norms[0], norms[-1])


def _upside_down(model: _Model, batch: Array) -> float:
    return 1 / gradient_ratio(model, batch)


def _largest_entries(model: _Model, batch: Array) -> float:
    model.zero_grad()
    model.backward(batch)
    tops = [float(np.abs(layer.grad).max()) for layer in model.layers]  # type: ignore[arg-type]
    return _ratio(tops[0], tops[-1])


def _call_ratio(function: Function, inputs: Inputs) -> Any:
    """Ask one model about two batches, one after the other."""
    model = _Model(inputs["weights"])
    answers = [function(model, batch) for batch in inputs["batches"]]
    if not all(np.ndim(a) == 0 and isinstance(a, int | float | np.number) for a in answers):
        return answers[0]
    if any(isinstance(a, bool) for a in answers):
        return answers[0]
    return np.array(answers, dtype=float)


def _check_ratio(inputs: Inputs, expected: Any, got: Any) -> str | None:
    """Compare to five digits: the gradients themselves are float32."""
    return compare.difference(inputs, expected, got, rtol=1e-5, atol=0)


def _same_ratio(inputs: Inputs, one: Any, other: Any) -> bool:
    return compare.same(one, other, rtol=1e-5, atol=0)


def _ratio_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    right = _call_ratio(gradient_ratio, inputs)
    return {"right": f"{right[0]:.1e}", "got": f"{np.ravel(got)[0]:.3g}"}


def _draw_ratio(rng: np.random.Generator) -> Inputs:
    depth, width = int(rng.integers(3, 8)), int(rng.integers(2, 5))
    # What float32 still holds, and its squares no longer do.
    size = 10 ** rng.uniform(-30, -25)
    scale = (size * 4.0 ** (depth - 1)) ** (1 / (depth - 1))
    weights = scale * rng.normal(size=(depth, width, width)) / width**0.5
    return {"weights": weights, "batches": rng.normal(size=(2, 3, width))}


def _smaller_ratio(inputs: Inputs) -> Iterator[Inputs]:
    if inputs["batches"].shape[1] > 1:
        yield dict(inputs) | {"batches": inputs["batches"][:, :-1]}
    for name in ("batches", "weights"):
        plain = shrink.rounded(inputs[name])
        if not np.array_equal(plain, inputs[name]):
            yield dict(inputs) | {name: plain}


GRADIENT_RATIO = Drill(
    name="gradient_ratio",
    chapter="gradient_flow",
    level="core",
    task=(
        "How much smaller is the gradient of the first layer's weights than that of the last? "
        "`model` has the habits of a PyTorch module: `model.backward(batch)` *adds* to "
        "`layer.grad`, an array of float32, for each of `model.layers`; `model.zero_grad()` clears "
        "them. Return the ratio of the two norms. Two batches are tried on the same model, and "
        "the layers may be deep enough that gradients are 1e-30."
    ),
    signature="gradient_ratio(model, batch) -> float",
    hints=(
        "What does `grad` hold after a second call of `backward`?",
        "Square 1e-30 in float32: what is left of it? Its least number is 1.4e-45.",
        "`np.linalg.norm(layer.grad.astype(np.float64))`; in PyTorch `p.grad.double().norm()`.",
    ),
    reference=gradient_ratio,
    wrong={
        "got {got}, expected about {right}: squares underflow in float32 from 1e-23 on; take the "
        "norm in float64": _norm_in_float32,
        "that is the ratio of the weights: it does not change with the batch": _of_weights,
        "the second batch is wrong: `grad` still holds the first one's gradients, call zero_grad "
        "before": _accumulated,
        "upside down: the first layer's norm over that of the last is asked for": _upside_down,
        "that compares the largest entries, not the norms": _largest_entries,
    },
    draw=_draw_ratio,
    smaller=_smaller_ratio,
    cases=storage.path("gradient_ratio"),
    follow_up=FollowUp(
        "What would you log in a real run?",
        "Norms by layer, of gradients and of weights, and the ratio of the update to the weight: "
        "about 1e-3 is the usual rule of thumb.",
    ),
    call=_call_ratio,
    setting="model is a net of sigmoid layers with these weights; the loss is half the mean square",
    check=_check_ratio,
    agree=_same_ratio,
    facts=_ratio_facts,
)


# --- rnn_backward ---


def rnn_backward(W: Array, U: Array, x: Array, dh: Array) -> tuple[Array, Array]:  # noqa: N803
    """Send a gradient back through time, from the last state of a plain recurrent net.

    Parameters
    ----------
    W : array of float64, shape (n, n)
        Of the state before: ``h[t] = tanh(W @ h[t-1] + U @ x[t])``, from a state of 0.
    U : array of float64, shape (n, d)
        Of the inputs.
    x : array of float64, shape (T, d)
    dh : array of float64, shape (n,)
        The gradient with respect to the last state.

    Returns
    -------
    dW : array of float64, shape (n, n)
    dU : array of float64, shape (n, d)
    """
    h = [np.zeros(len(W))]
    for step in x:
        h.append(np.tanh(W @ h[-1] + U @ step))
    of_w, of_u = np.zeros_like(W), np.zeros_like(U)
    for t in reversed(range(len(x))):
        inner = dh * (1 - h[t + 1] ** 2)
        of_w += np.outer(inner, h[t])
        of_u += np.outer(inner, x[t])
        dh = W.T @ inner
    return of_w, of_u


def _back(kind: str, w: Array, u: Array, x: Array, dh: Array) -> tuple[Array, Array]:
    """Make one mistake on the way back."""
    h = [np.zeros(len(w))]
    for step in x:
        h.append(np.tanh(w @ h[-1] + u @ step))
    dw, du = np.zeros_like(w), np.zeros_like(u)
    for t in reversed(range(len(x))):
        at = t if kind == "step" and t < len(x) - 1 else t + 1
        inner = dh if kind == "slope" else dh * (1 - h[at] ** 2)
        dw += np.outer(inner, h[t + 1] if kind == "state" else h[t])
        du += np.outer(inner, x[t])
        dh = (w if kind == "transpose" else w.T) @ inner
        if kind == "last":
            break
    return dw, du


def _both(answer: Any) -> Any:
    """Put two matrices of as many rows side by side; leave all else as it is."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return answer
    shapes = [np.shape(part) for part in answer]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][0] != shapes[1][0]:
        return np.asarray(answer[0])
    return np.hstack([np.asarray(part) for part in answer])


def _call_rnn(function: Function, inputs: Inputs) -> Any:
    return _both(function(*inputs.values()))


def _draw_rnn(rng: np.random.Generator) -> Inputs:
    n, d, steps = (int(k) for k in rng.integers([2, 1, 2], [5, 4, 11]))
    return {
        "W": rng.normal(size=(n, n)) / n**0.5,
        "U": rng.normal(size=(n, d)),
        "x": rng.normal(size=(steps, d)),
        "dh": rng.normal(size=n),
    }


def _smaller_rnn(inputs: Inputs) -> Iterator[Inputs]:
    if len(inputs["x"]) > 2:
        yield dict(inputs) | {"x": inputs["x"][1:]}
    for name in ("x", "dh", "U", "W"):
        plain = shrink.rounded(inputs[name])
        if not np.array_equal(plain, inputs[name]):
            yield dict(inputs) | {name: plain}


RNN_BACKWARD = Drill(
    name="rnn_backward",
    chapter="gradient_flow",
    level="senior",
    task=(
        "Backpropagate through time. `h[t] = tanh(W @ h[t-1] + U @ x[t])`, from a state of 0, for "
        "the `T` rows of `x`. `dh` is the gradient with respect to the last state. Return the "
        "gradients with respect to `W` and `U`."
    ),
    signature="rnn_backward(W, U, x, dh) -> (dW, dU)",
    hints=(
        "`W` is used `T` times. What does that make of its gradient?",
        "From the last step to the first: `inner = dh * (1 - h[t]**2)`, with the state that this "
        "step made.",
        "Each step adds `np.outer(inner, h[t-1])` to `dW` and `np.outer(inner, x[t])` to `dU`; "
        "then `dh = W.T @ inner`.",
    ),
    reference=rnn_backward,
    wrong={
        "that is the last step alone: the sum misses {missing} of {steps} terms": partial(
            _back, "last"
        ),
        "the slope of tanh was taken at the state of the step before: right for T = 1 "
        "only": partial(_back, "step"),
        "the gradient went back through W instead of its transpose: the size may look right, the "
        "direction is not": partial(_back, "transpose"),
        "the slope of tanh is missing": partial(_back, "slope"),
        "dW pairs each step with the state that it made, not with the one before: dU is "
        "right": partial(_back, "state"),
    },
    draw=_draw_rnn,
    smaller=_smaller_rnn,
    cases=storage.path("rnn_backward"),
    follow_up=FollowUp(
        "When must the oldest terms vanish?",
        "When the largest singular value of W is below 1: each step back multiplies by the "
        "transpose of W and by slopes of at most 1. Above 1 they may explode, but need not.",
    ),
    call=_call_rnn,
    setting="dW and dU are compared side by side, as np.hstack([dW, dU])",
    facts=lambda inputs, got: {
        "missing": str(len(inputs["x"]) - 1),
        "steps": str(len(inputs["x"])),
    },
)

DRILLS = (CLIP_BY_NORM, MLP_BACKWARD, INIT_GAIN, GRADIENT_RATIO, RNN_BACKWARD)
