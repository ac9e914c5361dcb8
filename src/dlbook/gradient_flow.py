r"""Gradients on their way back, in NumPy: through layers, through time, and into float16.

Conventions
    *Layers* are numbered from 1 to L: :math:`z_\ell = h_{\ell-1}W_\ell^\top + b_\ell`,
    :math:`h_\ell = \varphi(z_\ell)`. Samples are rows; weights have PyTorch's orientation,
    (n_out, n_in). :math:`\delta_\ell` is the gradient with respect to :math:`h_\ell`.
    *Norms* are taken in float64, whatever the dtype of what they measure: squares underflow in
    float32 from entries of 1e-23 on.
    *Arguments* are never written into. PyTorch is needed by :func:`lstm_forget_bias_` alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike, DTypeLike, NDArray

from dlbook import checks
from dlbook.checks import Array

Elementwise = Callable[[Array], Array]
Float64 = NDArray[np.float64]
Cell = Literal["rnn", "gru", "lstm"]

NORMALIZATIONS = ("none", "batch", "layer")
#: Laws for the weights of :func:`gradient_profile`.
INITS = ("small", "pytorch", "xavier", "he", "orthogonal", "normal")
#: Gates of each cell, stacked in its weights as PyTorch stacks them.
GATES: dict[str, int] = {"rnn": 1, "gru": 3, "lstm": 4}

_NORM_EPS = 1e-5


# --- activations ---


@cache
def _cdf_table() -> tuple[Float64, Float64]:
    nodes = np.arange(-640, 641) / 64.0
    half = math.sqrt(0.5)
    return nodes, np.array([0.5 * math.erfc(-half * node) for node in nodes])


def _normal_pdf(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi)))


def _normal_cdf(z: Array) -> Array:
    """Expand around the nearest of many exact values: five terms leave an error of 1e-15."""
    nodes, values = _cdf_table()
    inside = np.clip(z, -9.9, 9.9)
    place = np.rint((inside + 10) * 64).astype(int)
    a, step = nodes[place], inside - nodes[place]
    series = 1 + step * (-a / 2 + step * ((a * a - 1) / 6 + step * (
        (3 * a - a**3) / 24 + step * (a**4 - 6 * a * a + 3) / 120)))  # fmt: skip
    return np.asarray(values[place] + _normal_pdf(a) * step * series, dtype=np.asarray(z).dtype)


def _softplus(z: Array) -> Array:
    return np.asarray(np.logaddexp(0, z))


def _mish_slope(z: Array) -> Array:
    squashed = np.tanh(_softplus(z))
    return np.asarray(squashed + z * (1 - squashed**2) * _sigmoid(z))


def _sigmoid(z: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


_SELU, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_ACTIVATIONS: dict[str, tuple[Elementwise, Elementwise]] = {
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "silu": (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
    "gelu": (lambda z: z * _normal_cdf(z), lambda z: _normal_cdf(z) + z * _normal_pdf(z)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))).astype(z.dtype),
    ),
    "selu": (
        lambda z: _SELU * np.where(z > 0, z, _SELU_ALPHA * np.expm1(np.minimum(z, 0))),
        lambda z: (
            _SELU * np.where(z > 0, 1, _SELU_ALPHA * np.exp(np.minimum(z, 0))).astype(z.dtype)
        ),
    ),
    "mish": (lambda z: z * np.tanh(_softplus(z)), _mish_slope),
}


def activation(name: str) -> tuple[Elementwise, Elementwise]:
    """Return an activation and its derivative, element by element.

    Parameters
    ----------
    name : str
        Such as ``"relu"``, whose derivative at 0 is 0, as in PyTorch.

    Returns
    -------
    phi, dphi : callable
        Arrays of float to arrays of the same shape and dtype.

    Raises
    ------
    ValueError
        If the name is unknown; it lists those that are known.
    """
    if name not in _ACTIVATIONS:
        known = ", ".join(sorted(_ACTIVATIONS))
        raise ValueError(f"no activation is named {name!r}; there are: {known}")
    return _ACTIVATIONS[name]


# --- wide layers ---


def chi(name: str, normalization: str = "none", gain: float = 1.0, q: float = 1.0) -> float:
    r"""Return the factor by which a wide layer multiplies the squared norm of a gradient.

    .. math:: \chi = g^2\,\mathbb E\varphi'(\sqrt q z)^2, \qquad
              \chi_{\text{LN}} = \frac{\mathbb E\varphi'(z)^2}{\mathbb E\varphi(z)^2}, \qquad
              \chi_{\text{BN}} = \frac{\mathbb E\varphi'(z)^2}{\operatorname{Var}\varphi(z)}

    with a standard normal z. Behind a norm the pre-activations have variance 1 and the gain
    cancels, so ``gain`` and ``q`` play no part.

    Parameters
    ----------
    name : str
        The activation.
    normalization : {"none", "batch", "layer"}
        In front of the activation.
    gain : float, default: 1.0
        The standard deviation of the weights is gain / sqrt(n_in).
    q : float, default: 1.0
        The second moment of the pre-activations.

    Returns
    -------
    float
        Above 1 gradients grow on the way back, below 1 they shrink.

    Raises
    ------
    ValueError
        If a name is unknown, or a number negative, infinite or NaN.

    References
    ----------
    Schoenholz et al. 2017, arXiv 1611.01232, eq. 5. Yang et al. 2019, arXiv 1902.08129.
    """
    phi, dphi = activation(name)
    _check_normalization(normalization)
    gain, q = checks.nonnegative(gain=gain, q=q)
    if normalization == "none":
        return gain**2 * (
            0.5 if name == "relu" and q > 0 else _mean(lambda z: dphi(q**0.5 * z) ** 2)
        )
    if name == "relu":  # the kink costs the rule accuracy
        slope, square, mean = 0.5, 0.5, 1 / math.sqrt(2 * math.pi)
    else:
        slope, square, mean = (_mean(lambda z: dphi(z) ** 2), _mean(lambda z: phi(z) ** 2),
                               _mean(phi))  # fmt: skip
    return slope / (square - mean**2 if normalization == "batch" else square)


def _mean(function: Elementwise) -> float:
    """Return the mean over a standard normal variable, by Gauss and Hermite's rule."""
    nodes, weights = hermegauss(64)
    return float(function(nodes) @ weights / math.sqrt(2 * math.pi))


def _check_normalization(value: str) -> None:
    if value not in NORMALIZATIONS:
        raise ValueError(f"normalization must be 'none', 'batch' or 'layer', got {value!r}")


# --- a plain net ---


class Backward(NamedTuple):
    r"""A pass forward and back.

    Attributes
    ----------
    h : list of arrays, shape (B, n)
        The input, then the output of each layer.
    delta : list of arrays, shape (B, n)
        The gradients with respect to them.
    dW : list of arrays, shape (n_out, n_in)
        Those with respect to the weights.
    """

    h: list[Float64]
    delta: list[Float64]
    dW: list[Float64]  # noqa: N815


def mlp_backward(
    weights: Sequence[ArrayLike], x: ArrayLike, target: ArrayLike, name: str
) -> Backward:
    r"""Differentiate :math:`\frac1{2B}\sum\lVert h_L - \text{target}\rVert^2` by hand.

    .. math:: \frac{\partial\mathcal L}{\partial W_\ell} = (\delta_\ell\odot\varphi'(z_\ell))^\top
              h_{\ell-1}, \qquad \delta_{\ell-1} = (\delta_\ell\odot\varphi'(z_\ell))\,W_\ell

    Parameters
    ----------
    weights : sequence of array_like, shape (n_out, n_in)
        Of L layers, without biases; each is followed by the activation, the last too.
    x : array_like, shape (B, n_0)
    target : array_like, shape (B, n_L)
    name : str
        The activation.

    Returns
    -------
    Backward

    Raises
    ------
    ValueError
        If a layer does not fit the one before it, the target not the last, the activation is
        unknown, or there is no layer.
    """
    phi, dphi = activation(name)
    matrices, inputs = _checked(weights, x)
    wanted = checks.finite("target", target, 2)
    if wanted.shape != (len(inputs), matrices[-1].shape[0]):
        raise ValueError(f"target must have shape {(len(inputs), matrices[-1].shape[0])}, "
                         f"got {wanted.shape}")  # fmt: skip
    h, zs = [inputs], []
    for matrix in matrices:
        zs.append(h[-1] @ matrix.T)
        h.append(np.asarray(phi(zs[-1]), np.float64))
    delta, gradients = [(h[-1] - wanted) / len(inputs)], []
    for matrix, z, before in zip(reversed(matrices), reversed(zs), reversed(h[:-1]), strict=True):
        inner = delta[-1] * dphi(z)
        gradients.append(inner.T @ before)
        delta.append(inner @ matrix)
    return Backward(h, delta[::-1], gradients[::-1])


def jacobian_singular_values(weights: Sequence[ArrayLike], x: ArrayLike, name: str) -> Float64:
    r"""Return the singular values of :math:`J_L\cdots J_1` at one input, falling.

    Parameters
    ----------
    weights : sequence of array_like, shape (n_out, n_in)
    x : array_like, shape (n_0,)
    name : str
        The activation.

    Returns
    -------
    array of float64, shape (min(n_0, n_L),)
        What is below 1e-16 of the largest is rounding.

    Raises
    ------
    ValueError
        If a layer does not fit the one before it, the activation is unknown, or there is none.
    """
    phi, dphi = activation(name)
    matrices, inputs = _checked(weights, checks.finite("x", x, 1)[None])
    h, product = inputs[0], np.eye(inputs.shape[1])
    for matrix in matrices:
        z = matrix @ h
        h, product = phi(z), dphi(z)[:, None] * (matrix @ product)
    return np.asarray(np.linalg.svd(product, compute_uv=False))


def _checked(weights: Sequence[ArrayLike], x: ArrayLike) -> tuple[list[Float64], Float64]:
    if not len(weights):
        raise ValueError("weights is empty: a net has at least 1 layer")
    matrices = [checks.finite(f"weight {k}", w, 2) for k, w in enumerate(weights, start=1)]
    inputs = checks.finite("x", x, 2)
    width, source = inputs.shape[1], "x"
    for place, matrix in enumerate(matrices, start=1):
        if matrix.shape[1] != width:
            raise ValueError(f"layer {place} expects {matrix.shape[1]} features, "
                             f"{source} gives {width}")  # fmt: skip
        width, source = matrix.shape[0], f"layer {place}"
    return matrices, inputs


# --- nets as they are built ---


class GradientProfile(NamedTuple):
    """What a deep classifier does at its start, layer by layer; arrays of shape (depth,).

    Attributes
    ----------
    delta : array of float64
        Norm of the gradient with respect to each layer's output.
    weight_grad : array of float64
        Norm of the gradient with respect to each layer's weights.
    h_std : array of float64
        Standard deviation of each layer's output.
    """

    delta: Float64
    weight_grad: Float64
    h_std: Float64

    @property
    def ratio(self) -> float:
        """The norm of the first layer's delta over that of the last."""
        return float(self.delta[0] / self.delta[-1])


class _Pass(NamedTuple):
    hs: list[Array]
    deltas: list[Array]
    weights: list[Array]
    biases: list[Array]


def gradient_profile(
    depth: int,
    *,
    activation: str,
    init: str,
    normalization: str = "none",
    skip: bool = False,
    width: int = 64,
    batch: int = 64,
    seed: int = 0,
    dtype: DTypeLike = np.float64,
) -> GradientProfile:
    r"""Measure the gradients of a deep classifier at its start, by one pass back.

    A layer is :math:`h_\ell = \varphi(N(z_\ell))`, or with a skip connection the pre-activation
    block :math:`h_\ell = h_{\ell-1} + W_\ell\,\varphi(N(h_{\ell-1})) + b_\ell`. Normal inputs,
    random labels of 10 classes, cross-entropy. Biases are 0, but for ``init="pytorch"``.

    Parameters
    ----------
    depth : int
        Hidden layers, at least 1.
    activation : str
    init : {"small", "pytorch", "xavier", "he", "orthogonal", "normal"}
        Standard deviation 0.01, the default of ``nn.Linear``, 1/sqrt(width), sqrt(2/width),
        orthogonal matrices, standard deviation 1.
    normalization : {"none", "batch", "layer"}
        In front of the activation, with gain 1 and shift 0.
    skip : bool, default: False
    width, batch : int, default: 64
    seed : int, default: 0
        Of weights, inputs and labels.
    dtype : dtype, default: float64
        In which it is computed; norms are taken in float64.

    Returns
    -------
    GradientProfile

    Raises
    ------
    ValueError
        If a name is unknown, a size too small, or batch norm has fewer than 2 examples.
    TypeError
        If a size is not an integer.
    """
    run = _classifier_pass(
        depth, activation, init, normalization, skip, width, batch, seed, np.dtype(dtype)
    )
    return GradientProfile(
        np.array([_norm(delta) for delta in run.deltas]),
        np.array([_norm(grad) for grad in run.weights[:-1]]),
        np.array([float(h.astype(np.float64).std()) for h in run.hs]),
    )


def parameter_gradients(
    depth: int, *, activation: str, init: str, width: int = 64, batch: int = 64, seed: int = 0
) -> Float64:
    """Return all gradients of the weights and biases of such a classifier, in one row.

    Parameters
    ----------
    depth, activation, init, width, batch, seed
        As in :func:`gradient_profile`; without norm and skip connections, in float64.

    Returns
    -------
    array of float64, shape (P,)
        Hidden layers and the last one, of 10 classes.

    Raises
    ------
    ValueError, TypeError
        As :func:`gradient_profile`.
    """
    run = _classifier_pass(
        depth, activation, init, "none", False, width, batch, seed, np.dtype(np.float64)
    )
    return np.concatenate([grad.ravel() for grad in (*run.weights, *run.biases)])


def _classifier_pass(
    depth: int,
    name: str,
    init: str,
    normalization: str,
    skip: bool,
    width: int,
    batch: int,
    seed: int,
    dtype: np.dtype[Any],
) -> _Pass:
    depth, width = checks.count("depth", depth, 1), checks.count("width", width, 1)
    batch = checks.count("batch", batch, 1)
    phi, dphi = activation(name)
    _check_normalization(normalization)
    if init not in INITS:
        raise ValueError(f"init must be one of {', '.join(INITS)}, got {init!r}")
    if normalization == "batch" and batch < 2:
        raise ValueError(f"batch norm needs at least 2 examples, got batch {batch}")
    start, labels, drawn = _classifier(depth, init, width, batch, seed)
    x = start.astype(dtype, copy=False)
    layers = [
        (weight.astype(dtype, copy=False), bias.astype(dtype, copy=False)) for weight, bias in drawn
    ]
    axis = {"none": None, "batch": 0, "layer": 1}[normalization]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        hs, kept = [x], []
        for weight, bias in layers[:-1]:
            before = hs[-1] if skip else hs[-1] @ weight.T + bias
            z, spread = _normalized(before, axis)
            inner = phi(z)
            kept.append((z, spread, inner))
            hs.append(hs[-1] + inner @ weight.T + bias if skip else inner)
        logits = hs[-1] @ layers[-1][0].T + layers[-1][1]
        flow = _cross_entropy_gradient(logits, labels)
        weights, biases = [flow.T @ hs[-1]], [flow.sum(axis=0)]
        deltas = [flow @ layers[-1][0]]
        for (weight, _), (z, spread, inner), before in zip(
            reversed(layers[:-1]), reversed(kept), reversed(hs[:-1]), strict=True
        ):
            delta = deltas[-1]
            if skip:
                outer, source = delta, inner
                down = delta + _normalized_backward((delta @ weight) * dphi(z), z, spread, axis)
            else:
                outer, source = _normalized_backward(delta * dphi(z), z, spread, axis), before
                down = outer @ weight
            weights.append(outer.T @ source)
            biases.append(outer.sum(axis=0))
            deltas.append(down)
    return _Pass(hs[1:], deltas[-2::-1], weights[::-1], biases[::-1])


@lru_cache(maxsize=8)
def _classifier(
    depth: int, init: str, width: int, batch: int, seed: int
) -> tuple[Float64, NDArray[np.integer[Any]], list[tuple[Float64, Float64]]]:
    """Draw inputs, labels and layers; they are kept, as many nets differ in the rest alone."""
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(batch, width)), rng.integers(10, size=batch)
    return x, labels, [_draw(init, rows, width, rng) for rows in (*[width] * depth, 10)]


def _draw(init: str, rows: int, width: int, rng: np.random.Generator) -> tuple[Float64, Float64]:
    if init == "pytorch":
        bound = 1 / math.sqrt(width)
        return rng.uniform(-bound, bound, (rows, width)), rng.uniform(-bound, bound, rows)
    if init == "orthogonal":
        return _orthogonal(rows, width, rng), np.zeros(rows)
    std = {"small": 0.01, "xavier": width**-0.5, "he": (2 / width) ** 0.5, "normal": 1.0}[init]
    return std * rng.normal(size=(rows, width)), np.zeros(rows)


def _orthogonal(rows: int, columns: int, rng: np.random.Generator) -> Float64:
    """Draw as chapter 4 does, with signs that make all orthogonal matrices equally likely."""
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.asarray(q if rows >= columns else q.T)


def _normalized(x: Array, axis: int | None) -> tuple[Array, Array]:
    if axis is None:
        return x, np.ones(1, x.dtype)
    spread = np.sqrt(x.var(axis=axis, keepdims=True) + x.dtype.type(_NORM_EPS))
    return (x - x.mean(axis=axis, keepdims=True)) / spread, spread


def _normalized_backward(flow: Array, z: Array, spread: Array, axis: int | None) -> Array:
    if axis is None:
        return flow
    along = (flow * z).mean(axis=axis, keepdims=True)
    return np.asarray((flow - flow.mean(axis=axis, keepdims=True) - z * along) / spread)


def _cross_entropy_gradient(logits: Array, labels: NDArray[np.integer[Any]]) -> Array:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(labels)), labels] -= 1
    return np.asarray(shares / len(labels), dtype=logits.dtype)


def _norm(value: Array) -> float:
    """Return the norm in float64, of entries down to 1e-308, whose squares would be 0."""
    entries = np.abs(value.astype(np.float64))
    largest = float(entries.max(initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    return largest * float(np.sqrt(((entries / largest) ** 2).sum()))


# --- clipping ---


def clip_by_norm(
    grads: Sequence[ArrayLike], max_norm: float, *, eps: float = 1e-6
) -> tuple[list[Float64], float]:
    r"""Scale gradients down so that their common norm is at most ``max_norm``.

    All are multiplied by :math:`\min(1, \text{max\_norm}/(\lVert g\rVert + \epsilon))`.

    Parameters
    ----------
    grads : sequence of array_like of float
        Of any shapes.
    max_norm : float
        At least 0.
    eps : float, default: 1e-6
        As in PyTorch.

    Returns
    -------
    clipped : list of arrays of float64
        Copies.
    total_norm : float
        The norm *before* clipping, of all entries together; 0 if there are none.

    Raises
    ------
    ValueError
        If ``max_norm`` or ``eps`` is negative, infinite or NaN, or the norm is not finite.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063. PyTorch,
    ``torch.nn.utils.clip_grad_norm_``, which scales infinite norms by 0 or NaN unless told
    ``error_if_nonfinite=True``.
    """
    max_norm, eps = checks.nonnegative(max_norm=max_norm, eps=eps)
    arrays = [np.array(grad, dtype=np.float64) for grad in grads]
    total = math.hypot(*(_norm(array) for array in arrays)) if arrays else 0.0
    if not math.isfinite(total):
        raise ValueError(f"total norm is {total}; clipping would turn it into NaN")
    factor = min(1.0, max_norm / (total + eps)) if total + eps > 0 else 1.0
    return [array * factor for array in arrays], total


def clip_by_value(grads: Sequence[ArrayLike], limit: float) -> list[Float64]:
    """Cut each entry of the gradients off at plus and minus ``limit``: this turns them.

    Parameters
    ----------
    grads : sequence of array_like of float
    limit : float
        At least 0.

    Returns
    -------
    list of arrays of float64
        Copies. NaN stays NaN.

    Raises
    ------
    ValueError
        If the limit is negative, infinite or NaN.

    References
    ----------
    PyTorch, ``torch.nn.utils.clip_grad_value_``.
    """
    (limit,) = checks.nonnegative(limit=limit)
    return [np.clip(np.array(grad, dtype=np.float64), -limit, limit) for grad in grads]


class Cliff(NamedTuple):
    """Error and its gradient of the one-unit recurrent net; arrays of one shape."""

    loss: Float64
    dw: Float64
    db: Float64


def cliff_loss_and_grad(
    w: ArrayLike, b: ArrayLike, steps: int = 50, x0: float = 0.5, target: float = 0.7
) -> Cliff:
    r"""Run :math:`x_t = w\,\sigma(x_{t-1}) + b` and differentiate :math:`(\sigma(x_T) - y)^2`.

    Parameters
    ----------
    w, b : array_like of float
        Of one shape, or such that they broadcast.
    steps : int, default: 50
        At least 1.
    x0 : float, default: 0.5
    target : float, default: 0.7
        The y of the formula.

    Returns
    -------
    Cliff
        NaN where a product overflows.

    Raises
    ------
    ValueError
        If ``steps`` is less than 1.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063.
    """
    steps = checks.count("steps", steps, least=1)
    sigmoid, dsigmoid = activation("sigmoid")
    weight, bias = np.broadcast_arrays(np.asarray(w, np.float64), np.asarray(b, np.float64))
    x = np.full(weight.shape, float(x0))
    dw, db = np.zeros_like(x), np.zeros_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            s, through = sigmoid(x), weight * dsigmoid(x)
            x, dw, db = weight * s + bias, s + through * dw, 1 + through * db
        error = sigmoid(x) - target
        slope = np.asarray(2 * error * dsigmoid(x), np.float64)
        return Cliff(np.square(error, dtype=np.float64), slope * dw, slope * db)


# --- through time ---


class CellWeights(NamedTuple):
    """Weights of a recurrent cell, stacked as PyTorch stacks them.

    Gates are i, f, g, o for the LSTM; r, z, n for the GRU.

    Attributes
    ----------
    w_ih, w_hh : array of float64, shape (gates * n, n)
    bias : array of float64, shape (gates * n,)
        PyTorch's ``bias_ih``; its ``bias_hh`` is 0.
    """

    w_ih: Float64
    w_hh: Float64
    bias: Float64


def recurrent_weights(
    cell: str, scale: float, gate_bias: float = 0.0, *, width: int = 32, seed: int = 0
) -> CellWeights:
    """Draw a cell: orthogonal recurrent blocks times ``scale``, and a bias for the gate that keeps.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    scale : float
        At least 0.
    gate_bias : float, default: 0.0
        Of the LSTM's forget gate or the GRU's update gate; a plain cell has none to set.
    width : int, default: 32
        Of inputs and states. Input weights have the standard deviation 0.5 / sqrt(width).
    seed : int, default: 0

    Returns
    -------
    CellWeights

    Raises
    ------
    ValueError
        If the cell is unknown, the scale negative or not finite, or the width less than 1.
    """
    gates = _gates(cell)
    (scale,) = checks.nonnegative(scale=scale)
    width = checks.count("width", width, least=1)
    rng = np.random.default_rng(seed)
    w_hh = np.concatenate([scale * _orthogonal(width, width, rng)
                           for _ in range(gates)])  # fmt: skip
    w_ih = 0.5 / math.sqrt(width) * rng.normal(size=(gates * width, width))
    bias = np.zeros(gates * width)
    if cell != "rnn":
        bias[width : 2 * width] = gate_bias
    return CellWeights(w_ih, w_hh, bias)


def rnn_gradients(
    cell: str,
    scale: float,
    gate_bias: float = 0.0,
    steps: int = 100,
    *,
    width: int = 32,
    batch: int = 8,
    seed: int = 0,
) -> Float64:
    r"""Measure how much of a gradient at the last state reaches the input of each step.

    Parameters
    ----------
    cell, scale, gate_bias, width, seed
        As in :func:`recurrent_weights`.
    steps : int, default: 100
        At least 1.
    batch : int, default: 8
        Sequences of normal inputs; the gradient at the last state is normal, too.

    Returns
    -------
    array of float64, shape (steps,)
        :math:`\lVert\partial\mathcal L/\partial x_t\rVert`, the first step first.

    Raises
    ------
    ValueError
        As :func:`recurrent_weights`, or if a size is less than 1.
    """
    steps, batch = checks.count("steps", steps, 1), checks.count("batch", batch, 1)
    weights = recurrent_weights(cell, scale, gate_bias, width=width, seed=seed)
    rng = np.random.default_rng(seed + 1)
    x = rng.normal(size=(steps, batch, width))
    dh = rng.normal(size=(batch, width))
    return np.array([_norm(g) for g in input_gradients(cell, weights, x, dh)])


def input_gradients(cell: str, weights: CellWeights, x: Float64, dh: Float64) -> Float64:
    """Run a cell from a zero state and send a gradient back from its last state.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    weights : CellWeights
    x : array of float64, shape (T, B, n)
    dh : array of float64, shape (B, n)
        The gradient with respect to the last output.

    Returns
    -------
    array of float64, shape (T, B, n)
        The gradients with respect to the inputs.

    Raises
    ------
    ValueError
        If the cell is unknown, or the shape of ``dh`` is not that of a step of ``x``.

    References
    ----------
    PyTorch, ``torch.nn.RNN``, ``torch.nn.GRU``, ``torch.nn.LSTM``.
    """
    _gates(cell)
    if np.ndim(x) != 3 or np.shape(dh) != np.shape(x)[1:]:
        raise ValueError(f"dh must have shape {np.shape(x)[1:]}, got {np.shape(dh)}")
    forward, back = {
        "rnn": (_rnn_step, _rnn_back),
        "gru": (_gru_step, _gru_back),
        "lstm": (_lstm_step, _lstm_back),
    }[cell]
    state = (np.zeros_like(dh), np.zeros_like(dh))
    tapes = []
    for step in x:
        state, tape = forward(step @ weights.w_ih.T + weights.bias, state, weights.w_hh)
        tapes.append(tape)
    flow, found = (dh, np.zeros_like(dh)), []
    for tape in reversed(tapes):
        gates, flow = back(flow, tape, weights.w_hh)
        found.append(gates @ weights.w_ih)
    return np.array(found[::-1])


_State = tuple[Float64, Float64]
_Tape = tuple[Array, ...]


def _rnn_step(inner: Float64, state: _State, w_hh: Float64) -> tuple[_State, _Tape]:
    h = np.tanh(inner + state[0] @ w_hh.T)
    return (h, state[1]), (h,)


def _rnn_back(flow: _State, tape: _Tape, w_hh: Float64) -> tuple[Float64, _State]:
    gates = flow[0] * (1 - tape[0] ** 2)
    return gates, (gates @ w_hh, flow[1])


def _gru_step(inner: Float64, state: _State, w_hh: Float64) -> tuple[_State, _Tape]:
    h = state[0]
    a_r, a_z, a_n = np.split(inner, 3, axis=1)
    b_r, b_z, b_n = np.split(h @ w_hh.T, 3, axis=1)
    r, z = _sigmoid(a_r + b_r), _sigmoid(a_z + b_z)
    n = np.tanh(a_n + r * b_n)
    return ((1 - z) * n + z * h, state[1]), (h, r, z, n, b_n)


def _gru_back(flow: _State, tape: _Tape, w_hh: Float64) -> tuple[Float64, _State]:
    d, (h, r, z, n, b_n) = flow[0], tape
    d_n = d * (1 - z) * (1 - n**2)
    d_r, d_z = d_n * b_n * r * (1 - r), d * (h - n) * z * (1 - z)
    below = d * z + np.concatenate([d_r, d_z, d_n * r], axis=1) @ w_hh
    return np.concatenate([d_r, d_z, d_n], axis=1), (below, flow[1])


def _lstm_step(inner: Float64, state: _State, w_hh: Float64) -> tuple[_State, _Tape]:
    z_i, z_f, z_g, z_o = np.split(inner + state[0] @ w_hh.T, 4, axis=1)
    i, f, g, o = _sigmoid(z_i), _sigmoid(z_f), np.tanh(z_g), _sigmoid(z_o)
    c = f * state[1] + i * g
    h = np.asarray(o * np.tanh(c), np.float64)
    return (h, np.asarray(c, np.float64)), (i, f, g, o, state[1], np.tanh(c))


def _lstm_back(flow: _State, tape: _Tape, w_hh: Float64) -> tuple[Float64, _State]:
    (dh, dc), (i, f, g, o, before, squashed) = flow, tape
    dc = dc + dh * o * (1 - squashed**2)
    gates = np.concatenate(
        [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g**2),
         dh * squashed * o * (1 - o)], axis=1,
    )  # fmt: skip
    return gates, (gates @ w_hh, dc * f)


def _gates(cell: str) -> int:
    if cell not in GATES:
        raise ValueError(f"cell must be 'rnn', 'gru' or 'lstm', got {cell!r}")
    return GATES[cell]


def lstm_forget_bias_(lstm: Any, value: float) -> None:
    """Set the forget bias of every layer and direction of a ``torch.nn.LSTM``, in place.

    PyTorch adds two biases: this writes ``bias_ih`` and sets the same places of ``bias_hh`` to 0.

    Parameters
    ----------
    lstm : torch.nn.LSTM
    value : float

    Raises
    ------
    TypeError
        If it is another module.
    ValueError
        If it was made without biases, or the value is not finite.

    References
    ----------
    PyTorch, ``torch.nn.LSTM`` (gates in the order i, f, g, o). Jozefowicz et al. 2015.
    """
    import torch

    if not isinstance(lstm, torch.nn.LSTM):
        raise TypeError(f"lstm must be a torch.nn.LSTM, got {type(lstm).__name__}")
    if not lstm.bias:
        raise ValueError("lstm was made with bias=False: it has no forget bias")
    if not math.isfinite(value):
        raise ValueError(f"value must be finite, got {value}")
    size = lstm.hidden_size
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            if name.startswith(("bias_ih", "bias_hh")):
                parameter[size : 2 * size] = value if name.startswith("bias_ih") else 0.0


# --- dead units, and float16 ---


def dead_units(h: ArrayLike) -> NDArray[np.bool_]:
    """Tell which units are 0 on every example.

    Parameters
    ----------
    h : array_like, shape (N, n)
        Activations on a whole data set: one batch does not prove a death.

    Returns
    -------
    array of bool, shape (n,)

    Raises
    ------
    ValueError
        If there is no example or no unit, or a value is not finite.
    """
    return np.asarray((checks.finite("h", h, 2) == 0).all(axis=0))


class Format(NamedTuple):
    """A floating format: stored bits of the significand, least normal exponent, largest number."""

    bits: int
    least_exponent: int
    largest: float


FORMATS = {
    "float16": Format(10, -14, 65504.0),
    "bfloat16": Format(7, -126, (2 - 2.0**-7) * 2.0**127),
}


class Survival(NamedTuple):
    """Shares of the nonzero entries: rounded to 0, subnormal, normal, infinite; together 1."""

    zero: float
    subnormal: float
    normal: float
    inf: float


def rounded(values: ArrayLike, dtype: str) -> Float64:
    """Round to the nearest number of a format, ties to even, as casting does.

    Parameters
    ----------
    values : array_like of float
    dtype : {"float16", "bfloat16"}

    Returns
    -------
    array of float64
        Infinite beyond the largest number of the format.

    Raises
    ------
    ValueError
        If the format is unknown.
    """
    if dtype not in FORMATS:
        raise ValueError(f"dtype must be one of {', '.join(FORMATS)}, got {dtype!r}")
    bits, least, largest = FORMATS[dtype]
    array = np.asarray(values, dtype=np.float64)
    exponent = np.maximum(np.frexp(array)[1] - 1, least)
    near = np.ldexp(np.rint(np.ldexp(array, bits - exponent)), exponent - bits)
    return np.asarray(np.where(np.abs(near) > largest, np.copysign(np.inf, near), near))


def survival(grad: ArrayLike, log2_scale: int, dtype: str = "float16") -> Survival:
    """Tell what becomes of gradients that are multiplied by a power of two and then cast.

    Parameters
    ----------
    grad : array_like of float
        Of any shape; entries that are 0 already do not count.
    log2_scale : int
        The exponent of the loss scale.
    dtype : {"float16", "bfloat16"}

    Returns
    -------
    Survival

    Raises
    ------
    ValueError
        If a gradient is not finite, none is nonzero, or the format is unknown.
    """
    values = checks.finite("grad", np.ravel(grad), 1)
    values = np.abs(values[values != 0])
    if not values.size:
        raise ValueError("grad has no entry but 0: there is nothing to lose")
    cast = rounded(np.ldexp(values, int(log2_scale)), dtype)
    zero, inf = np.mean(cast == 0), np.mean(np.isinf(cast))
    normal = np.mean((cast >= 2.0 ** FORMATS[dtype].least_exponent) & np.isfinite(cast))
    below = np.mean((cast > 0) & (cast < 2.0 ** FORMATS[dtype].least_exponent))
    return Survival(float(zero), float(below), float(normal), float(inf))


class LossScaler:
    """Dynamic loss scaling: grow after many good steps, back off and skip a step at infinity.

    Parameters
    ----------
    init_scale : float, default: 65536
    growth_factor : float, default: 2
        Above 1.
    backoff_factor : float, default: 0.5
        Between 0 and 1.
    growth_interval : int, default: 2000
        Good steps in a row, after which the scale grows.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    Micikevicius et al. 2018, arXiv 1710.03740. PyTorch, ``torch.amp.GradScaler``.
    """

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        for name, value, holds in (
            ("init_scale", init_scale, 0 < init_scale < math.inf),
            ("growth_factor", growth_factor, 1 < growth_factor < math.inf),
            ("backoff_factor", backoff_factor, 0 < backoff_factor < 1),
        ):
            if not holds:
                raise ValueError(f"{name} is out of its range, got {value}")
        self.scale = float(init_scale)
        self._growth, self._backoff = growth_factor, backoff_factor
        self._interval = checks.count("growth_interval", growth_interval, least=1)
        self._good = 0

    def update(self, scaled_grads: Sequence[ArrayLike]) -> bool:
        """Look at gradients of the scaled loss, and set the scale for the next step.

        Parameters
        ----------
        scaled_grads : sequence of array_like of float

        Returns
        -------
        bool
            Whether to take this step, with the gradients divided by the scale that was in force.
        """
        if not all(np.isfinite(np.asarray(grad)).all() for grad in scaled_grads):
            self.scale *= self._backoff
            self._good = 0
            return False
        self._good += 1
        if self._good == self._interval:
            self.scale *= self._growth
            self._good = 0
        return True
