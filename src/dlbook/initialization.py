r"""Initial weights and what they do to a signal, in NumPy: fans, gains, laws, depth.

Conventions
    *Weights* of a layer have PyTorch's orientation: shape (n_out, n_in) for a linear layer,
    (n_out, n_in / groups, kernel...) for a convolution, so that :math:`z = hW^\top`.
    *Randomness* comes from a ``numpy.random.Generator``. PyTorch draws other numbers from the
    same law: compare bounds and standard deviations with it, not draws.
    *Arguments* are never written into.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike, NDArray

from dlbook import checks
from dlbook.checks import Array

Weights = NDArray[np.float64]
Elementwise = Callable[[Array], Array]
Mode = Literal["fan_in", "fan_out"]

_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


# --- activations ---


class Activation(NamedTuple):
    """An activation function and its derivative, element by element; both keep the dtype."""

    function: Elementwise
    derivative: Elementwise


def _sigmoid(z: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def _normal_cdf(z: Array) -> Array:
    half = math.sqrt(0.5)
    values = [0.5 * math.erfc(-half * entry) for entry in z.ravel().tolist()]
    return np.array(values, dtype=z.dtype).reshape(z.shape)


def _normal_pdf(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi)))


def _selu(z: Array) -> Array:
    return np.where(z > 0, _SELU_SCALE * z, _SELU_SCALE * _SELU_ALPHA * np.expm1(np.minimum(z, 0)))


def _selu_slope(z: Array) -> Array:
    left = _SELU_SCALE * _SELU_ALPHA * np.exp(np.minimum(z, 0))
    return np.where(z > 0, np.asarray(_SELU_SCALE, z.dtype), left)


#: Activations by name. The derivative of ReLU at 0 is 0, as in PyTorch.
ACTIVATIONS: Mapping[str, Activation] = {
    "linear": Activation(lambda z: z, np.ones_like),
    "relu": Activation(lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "tanh": Activation(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": Activation(_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "selu": Activation(_selu, _selu_slope),
    "gelu": Activation(lambda z: z * _normal_cdf(z), lambda z: _normal_cdf(z) + z * _normal_pdf(z)),
    "silu": Activation(
        lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))
    ),
}


# --- fans and gains ---


def fan_in_fan_out(
    shape: Sequence[int], *, groups: int = 1, transposed: bool = False
) -> tuple[int, int]:
    """Return how many weights meet in one output, and how many leave one input.

    With the defaults this is what PyTorch computes from the shape alone. It knows neither groups
    nor transposition: for a grouped convolution its ``fan_out`` is too large by ``groups``, and
    for a transposed convolution it takes one fan for the other.

    Parameters
    ----------
    shape : sequence of int
        (n_out, n_in / groups, kernel...), or (n_in, n_out / groups, kernel...) if transposed.
    groups : int, default: 1
        Of the convolution; divides ``shape[0]``.
    transposed : bool, default: False
        Whether the weight is that of a transposed convolution. The fans are those of stride 1:
        with stride s an output meets s times fewer weights along each axis.

    Returns
    -------
    fan_in, fan_out : int

    Raises
    ------
    ValueError
        If the shape has fewer than 2 dimensions or a size of 0, or ``groups`` does not divide it.
    TypeError
        If a size is not an integer.

    References
    ----------
    PyTorch, ``torch.nn.init._calculate_fan_in_and_fan_out``.
    """
    sizes = _sizes(shape)
    groups = checks.count("groups", groups, least=1)
    if sizes[0] % groups:
        raise ValueError(f"groups must divide shape[0], got {groups} and {sizes[0]}")
    area = math.prod(sizes[2:])
    first, second = sizes[0] // groups * area, sizes[1] * area
    return (first, second) if transposed else (second, first)


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(checks.count("a size", size, least=0) for size in shape)
    if len(sizes) < 2:
        raise ValueError(f"fan in and fan out need 2 or more dimensions, got shape {sizes}")
    if sizes[1] == 0 or 0 in sizes[2:]:
        raise ValueError(f"fan_in is 0: the shape is {sizes}")
    if sizes[0] == 0:
        raise ValueError(f"fan_out is 0: the shape is {sizes}")
    return sizes


def gain(nonlinearity: str, param: float | None = None) -> float:
    r"""Return PyTorch's recommended gain for an activation.

    1 for ``linear``, convolutions and ``sigmoid``; 5/3 for ``tanh``; :math:`\sqrt 2` for
    ``relu``; :math:`\sqrt{2/(1+a^2)}` for ``leaky_relu``; 3/4 for ``selu``. There is none for
    GELU and SiLU: see :func:`preserving_gain`.

    Parameters
    ----------
    nonlinearity : str
        The name of the activation in ``torch.nn.functional``, or of a linear layer.
    param : float, optional
        The negative slope :math:`a` of ``leaky_relu``, by default 0.01. Else it has no effect.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the name is unknown, with those that are known, or the slope is not finite.

    References
    ----------
    PyTorch, ``torch.nn.init.calculate_gain``. He et al. 2015, arXiv 1502.01852, section 2.2.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        if not math.isfinite(slope):
            raise ValueError(f"the negative slope must be finite, got {slope}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join(sorted([*_GAINS, "leaky_relu"]))
        raise ValueError(f"no gain is known for {nonlinearity!r}; there are: {known}")
    return _GAINS[nonlinearity]


_GAINS = dict.fromkeys(
    ["linear", "sigmoid", *(f"conv{t}{d}d" for d in (1, 2, 3) for t in ("", "_transpose"))], 1.0
) | {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


def preserving_gain(phi: Elementwise, nodes: int = 120) -> float:
    r"""Return the gain that keeps a unit second moment, :math:`1/\sqrt{\mathbb E\phi(z)^2}`.

    With this gain a standard normal :math:`z` gives a next one whose second moment is 1 as well.
    Other lengths stay what they are only if :math:`\phi` is homogeneous, as ReLU is.

    Parameters
    ----------
    phi : callable
        Element by element.
    nodes : int, default: 120
        Of the Gauss-Hermite rule.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If :math:`\mathbb E\phi(z)^2` is 0 or not finite, or ``nodes`` is less than 1.
    """
    z, weight = _normal_rule(nodes)
    moment = float(weight @ phi(z) ** 2)
    if not 0 < moment < math.inf:
        raise ValueError(f"phi has the second moment {moment} under a standard normal: no gain")
    return 1 / math.sqrt(moment)


@lru_cache(maxsize=16)
def _normal_rule(nodes: int) -> tuple[Weights, Weights]:
    """Return points and weights that integrate over a standard normal."""
    points, weights = hermegauss(checks.count("nodes", nodes, least=1))
    weights = weights / weights.sum()
    for array in (points, weights):
        array.flags.writeable = False  # every caller gets the same two
    return points, weights


# --- laws ---


def xavier_uniform(shape: Sequence[int], rng: np.random.Generator, gain: float = 1.0) -> Weights:
    r"""Draw from :math:`U(-b, b)` with :math:`b = g\sqrt{6/(n_{in} + n_{out})}`.

    Parameters
    ----------
    shape : sequence of int
        Of the weight; 2 or more dimensions.
    rng : numpy.random.Generator
    gain : float, default: 1.0
        :math:`g \ge 0`.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If the gain is negative or not finite, or the shape has no fans.

    References
    ----------
    Glorot and Bengio 2010, AISTATS, eq. 16. PyTorch, ``torch.nn.init.xavier_uniform_``.
    """
    return _uniform(shape, rng, _xavier_std(shape, gain))


def xavier_normal(shape: Sequence[int], rng: np.random.Generator, gain: float = 1.0) -> Weights:
    r"""Draw from a normal of standard deviation :math:`g\sqrt{2/(n_{in} + n_{out})}`.

    Parameters
    ----------
    shape : sequence of int
        Of the weight; 2 or more dimensions.
    rng : numpy.random.Generator
    gain : float, default: 1.0
        :math:`g \ge 0`.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If the gain is negative or not finite, or the shape has no fans.

    References
    ----------
    Glorot and Bengio 2010, AISTATS, eq. 12. PyTorch, ``torch.nn.init.xavier_normal_``.
    """
    return rng.normal(scale=_xavier_std(shape, gain), size=tuple(shape))


def kaiming_uniform(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    mode: Mode = "fan_in",
    nonlinearity: str = "relu",
    a: float = 0.0,
) -> Weights:
    r"""Draw from :math:`U(-b, b)` with :math:`b = g\sqrt{3/n}`.

    Parameters
    ----------
    shape : sequence of int
        Of the weight; 2 or more dimensions.
    rng : numpy.random.Generator
    mode : {"fan_in", "fan_out"}
        Which fan is :math:`n`.
    nonlinearity : str, default: "relu"
        Names the gain, as in :func:`gain`. PyTorch's default is ``"leaky_relu"``.
    a : float, default: 0.0
        The negative slope of ``"leaky_relu"``.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If the mode or the nonlinearity is unknown, or the shape has no fans.

    References
    ----------
    He et al. 2015, arXiv 1502.01852, section 2.2. PyTorch, ``torch.nn.init.kaiming_uniform_``.
    """
    return _uniform(shape, rng, _kaiming_std(shape, mode, nonlinearity, a))


def kaiming_normal(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    mode: Mode = "fan_in",
    nonlinearity: str = "relu",
    a: float = 0.0,
) -> Weights:
    r"""Draw from a normal of standard deviation :math:`g/\sqrt n`.

    Parameters
    ----------
    shape : sequence of int
        Of the weight; 2 or more dimensions.
    rng : numpy.random.Generator
    mode : {"fan_in", "fan_out"}
        Which fan is :math:`n`.
    nonlinearity : str, default: "relu"
        Names the gain, as in :func:`gain`. PyTorch's default is ``"leaky_relu"``.
    a : float, default: 0.0
        The negative slope of ``"leaky_relu"``.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If the mode or the nonlinearity is unknown, or the shape has no fans.

    References
    ----------
    He et al. 2015, arXiv 1502.01852, section 2.2. PyTorch, ``torch.nn.init.kaiming_normal_``.
    """
    return rng.normal(scale=_kaiming_std(shape, mode, nonlinearity, a), size=tuple(shape))


def linear_default(n_out: int, n_in: int, rng: np.random.Generator) -> tuple[Weights, Weights]:
    r"""Draw weight and bias as ``torch.nn.Linear`` does, both from :math:`U(\pm1/\sqrt{n_{in}})`.

    PyTorch calls ``kaiming_uniform_`` with ``a=math.sqrt(5)``. Its gain is then
    :math:`\sqrt{2/6}`, and the bound :math:`\sqrt3\cdot\sqrt{1/3}/\sqrt{n_{in}}`.

    Parameters
    ----------
    n_out, n_in : int
        At least 1.
    rng : numpy.random.Generator

    Returns
    -------
    W : array of float64, shape (n_out, n_in)
    b : array of float64, shape (n_out,)

    Raises
    ------
    ValueError
        If a size is less than 1.

    References
    ----------
    PyTorch, ``torch.nn.Linear``, and issues 15314 and 57109.
    """
    n_out, n_in = checks.count("n_out", n_out, least=1), checks.count("n_in", n_in, least=1)
    bound = 1 / math.sqrt(n_in)
    return rng.uniform(-bound, bound, size=(n_out, n_in)), rng.uniform(-bound, bound, size=n_out)


def truncated_normal(
    shape: Sequence[int], rng: np.random.Generator, std: float, bound: float = 2.0
) -> Weights:
    """Draw from a normal around 0 and draw again whatever lies beyond the bound.

    The bound counts in **standard deviations**. ``torch.nn.init.trunc_normal_`` takes absolute
    bounds, by default -2 and 2, which at ``std=0.02`` lie 100 standard deviations out. What is
    left has a smaller standard deviation than ``std``: 0.880 of it for a bound of 2.

    Parameters
    ----------
    shape : sequence of int
        Any.
    rng : numpy.random.Generator
    std : float
        Of the normal before it is cut, at least 0.
    bound : float, default: 2.0
        At least 0.1: below, nearly all draws are thrown away.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If ``std`` is negative or not finite, or ``bound`` is less than 0.1.
    """
    (std,) = checks.nonnegative(std=std)
    if not bound >= 0.1:
        raise ValueError(f"bound must be >= 0.1 standard deviations, got {bound}")
    z = rng.normal(size=tuple(shape))
    outside = np.abs(z) > bound
    while outside.any():
        z[outside] = rng.normal(size=int(outside.sum()))
        outside = np.abs(z) > bound
    return np.asarray(std * z)


def orthogonal(shape: Sequence[int], rng: np.random.Generator, gain: float = 1.0) -> Weights:
    """Draw a matrix whose singular values are all equal to the gain.

    A QR decomposition of a normal matrix, whose signs are fixed by the diagonal of R so that
    every orthogonal matrix is equally likely. Rows are orthonormal if there are no more rows than
    columns, else the columns are.

    Parameters
    ----------
    shape : sequence of int
        2 or more dimensions; the axes after the first are taken together, as PyTorch does.
    rng : numpy.random.Generator
    gain : float, default: 1.0
        At least 0.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If the gain is negative or not finite, or the shape has fewer than 2 dimensions or a 0.

    References
    ----------
    Mezzadri 2007, math-ph/0609050. Saxe et al. 2014, arXiv 1312.6120. PyTorch,
    ``torch.nn.init.orthogonal_``.
    """
    (gain,) = checks.nonnegative(gain=gain)
    sizes = _sizes(shape)
    rows, columns = sizes[0], math.prod(sizes[1:])
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.asarray(gain * (q if rows >= columns else q.T)).reshape(sizes)


def _xavier_std(shape: Sequence[int], gain: float) -> float:
    (gain,) = checks.nonnegative(gain=gain)
    return gain * math.sqrt(2 / sum(fan_in_fan_out(shape)))


def _kaiming_std(shape: Sequence[int], mode: str, nonlinearity: str, a: float) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fan_in_fan_out(shape)[mode == "fan_out"]
    return gain(nonlinearity, a) / math.sqrt(fan)


def _uniform(shape: Sequence[int], rng: np.random.Generator, std: float) -> Weights:
    """Draw from a uniform law around 0; its bound is the root of 3 times its deviation."""
    bound = math.sqrt(3) * std
    return rng.uniform(-bound, bound, size=tuple(shape))


# --- a signal through many layers ---


class Layer(NamedTuple):
    """What one layer computed: ``z`` before and ``h`` after the activation, shape (N, n_out)."""

    z: Array
    h: Array


def propagate(x: Array, weights: Iterable[Array], phi: Elementwise) -> list[Layer]:
    r"""Send samples through layers without bias, :math:`z = hW^\top`, :math:`h = \phi(z)`.

    Parameters
    ----------
    x : array of float, shape (N, n_0)
    weights : iterable of arrays of float, shape (n_out, n_in)
        Computed in their dtype.
    phi : callable
        Element by element.

    Returns
    -------
    list of Layer
        One for each weight.

    Raises
    ------
    ValueError
        If a weight does not fit the layer before it.
    TypeError
        If ``x`` is not floating.
    """
    h, layers = checks.floating("x", x), []
    for depth, weight in enumerate(weights, start=1):
        if weight.ndim != 2 or h.ndim != 2 or weight.shape[1] != h.shape[1]:
            raise ValueError(
                f"weight {depth} has shape {weight.shape}, which does not fit inputs of shape "
                f"{h.shape}"
            )
        z = h @ weight.T
        h = phi(z)
        layers.append(Layer(z, h))
    return layers


def backpropagate(
    gradient: Array, layers: Sequence[Layer], weights: Sequence[Array], derivative: Elementwise
) -> list[Array]:
    r"""Send a gradient back through the layers of :func:`propagate`.

    Parameters
    ----------
    gradient : array of float, shape (N, n_D)
        With respect to the last :math:`h`.
    layers : sequence of Layer
    weights : sequence of arrays of float
        Those of the forward pass.
    derivative : callable
        :math:`\phi'`, element by element.

    Returns
    -------
    list of arrays
        The gradients with respect to :math:`x`, and to :math:`h` of each layer; one more than
        there are layers.

    Raises
    ------
    ValueError
        If there are not as many weights as layers.
    """
    if len(weights) != len(layers):
        raise ValueError(f"there are {len(layers)} layers, but {len(weights)} weights")
    gradients = [gradient]
    for layer, weight in zip(reversed(layers), reversed(weights), strict=True):
        gradients.append((gradients[-1] * derivative(layer.z)) @ weight)
    return gradients[::-1]


# --- infinitely wide layers ---


def length_map(
    q: ArrayLike, sigma_w: ArrayLike, sigma_b: ArrayLike, phi: Elementwise, nodes: int = 80
) -> Weights:
    r"""Return the second moment of the next layer's pre-activations.

    It is :math:`\sigma_w^2\,\mathbb E\phi(\sqrt q z)^2 + \sigma_b^2`, where z is standard normal.
    Weights have the standard deviation :math:`\sigma_w/\sqrt{n_{in}}`, biases :math:`\sigma_b`.

    Parameters
    ----------
    q : array_like of float
        Second moments of pre-activations, at least 0; may be infinite.
    sigma_w, sigma_b : array_like of float
        At least 0; all three broadcast.
    phi : callable
        Element by element.
    nodes : int, default: 80
        Of the Gauss-Hermite rule.

    Returns
    -------
    array of float64
        Infinite where it overflows.

    Raises
    ------
    ValueError
        If a number is negative or NaN.

    References
    ----------
    Poole et al. 2016, arXiv 1606.05340, eq. 3.
    """
    lengths, w, b = _moments(q=q, sigma_w=sigma_w, sigma_b=sigma_b)
    z, weight = _normal_rule(nodes)
    with np.errstate(over="ignore"):
        moment = phi(np.sqrt(lengths)[..., None] * z) ** 2 @ weight
        return np.asarray(w**2 * moment + b**2)


def correlation_map(
    c: ArrayLike,
    q: ArrayLike,
    sigma_w: ArrayLike,
    sigma_b: ArrayLike,
    phi: Elementwise,
    nodes: int = 80,
) -> Weights:
    r"""Return the next layer's correlation of two inputs whose pre-activations have one length.

    .. math:: c' = \frac{\sigma_w^2\,\mathbb E\,\phi(u_1)\phi(u_2) + \sigma_b^2}
              {\sigma_w^2\,\mathbb E\,\phi(u_1)^2 + \sigma_b^2}

    where :math:`u_1, u_2` are normal with second moment :math:`q` and correlation :math:`c`.

    Parameters
    ----------
    c : array_like of float
        From -1 to 1.
    q : array_like of float
        Above 0 and finite.
    sigma_w, sigma_b : array_like of float
        At least 0, not both 0; all four broadcast.
    phi : callable
        Element by element.
    nodes : int, default: 80
        Of the Gauss-Hermite rule, in each of two directions. A kink as ReLU's costs it accuracy,
        up to 0.004.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If a number is out of its range or NaN.

    References
    ----------
    Poole et al. 2016, arXiv 1606.05340, eq. 5.
    """
    lengths, w, b = _moments(q=q, sigma_w=sigma_w, sigma_b=sigma_b)
    correlation = np.asarray(c, dtype=np.float64)
    checks.demand("c", correlation, np.abs(correlation) <= 1, "from -1 to 1")
    checks.demand("q", lengths, (lengths > 0) & np.isfinite(lengths), "> 0 and finite")
    if np.any((w == 0) & (b == 0)):
        raise ValueError("sigma_w and sigma_b are both 0: the next layer has no correlation")
    z, weight = _normal_rule(nodes)
    root = np.sqrt(lengths)[..., None, None]
    c_axes = correlation[..., None, None]
    first = phi(root * z[:, None])
    second = phi(root * (c_axes * z[:, None] + np.sqrt(1 - c_axes**2) * z))
    product = (first * second) @ weight @ weight
    return np.asarray((w**2 * product + b**2) / length_map(lengths, w, b, phi, nodes))


def slope(q: ArrayLike, sigma_w: ArrayLike, derivative: Elementwise, nodes: int = 80) -> Weights:
    r"""Return :math:`\chi = \sigma_w^2\,\mathbb E\phi'(\sqrt q z)^2`.

    The factor by which a layer multiplies the square of a small difference between two inputs,
    and that of a gradient. At :math:`c = 1` it is the slope of the correlation map, and
    :math:`1/|\ln\chi|` layers are the depth to which a difference is felt.

    Parameters
    ----------
    q : array_like of float
        At least 0 and finite.
    sigma_w : array_like of float
        At least 0.
    derivative : callable
        :math:`\phi'`, element by element.
    nodes : int, default: 80
        Of the Gauss-Hermite rule.

    Returns
    -------
    array of float64

    Raises
    ------
    ValueError
        If a number is negative or NaN, or ``q`` is infinite.

    References
    ----------
    Schoenholz et al. 2017, arXiv 1611.01232, eq. 5.
    """
    lengths, w, _ = _moments(q=q, sigma_w=sigma_w, sigma_b=0.0)
    checks.demand("q", lengths, np.isfinite(lengths), "finite")
    z, weight = _normal_rule(nodes)
    return np.asarray(w**2 * (derivative(np.sqrt(lengths)[..., None] * z) ** 2 @ weight))


def fixed_point(
    sigma_w: ArrayLike,
    sigma_b: ArrayLike,
    phi: Elementwise,
    *,
    start: float = 1.0,
    n_steps: int = 1000,
    nodes: int = 80,
) -> Weights:
    r"""Apply the length map many times; where it converges, that is its fixed point.

    It need not converge: with ReLU the length vanishes below :math:`\sigma_w = \sqrt2`, stays
    what it was there, and explodes above. And it may be slow: with tanh at (1, 0) it falls only
    as one over the depth.

    Parameters
    ----------
    sigma_w, sigma_b : array_like of float
        At least 0; they broadcast.
    phi : callable
        Element by element.
    start : float, default: 1.0
        The length before the first step.
    n_steps : int, default: 1000
        At least 1.
    nodes : int, default: 80
        Of the Gauss-Hermite rule.

    Returns
    -------
    array of float64
        0 where the length has vanished, infinite where it overflowed.

    Raises
    ------
    ValueError
        If a number is negative or NaN, or ``n_steps`` is less than 1.
    """
    n_steps = checks.count("n_steps", n_steps, least=1)
    q = np.asarray(start, dtype=np.float64)
    for _ in range(n_steps):
        q = length_map(q, sigma_w, sigma_b, phi, nodes)
    return q


def _moments(**values: ArrayLike) -> list[Weights]:
    """Return numbers >= 0, infinity allowed, broadcast against each other."""
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}
    for name, array in arrays.items():
        checks.demand(name, array, array >= 0, ">= 0")
    return list(np.broadcast_arrays(*arrays.values()))


# --- symmetry ---


class TwoLayers(NamedTuple):
    r"""Many nets at once, each :math:`f(x) = b_2 + \sum_j a_j\,\phi(w_j^\top x + b_j)`.

    Attributes
    ----------
    weight : array of float64, shape (..., H, 2)
        A row for each hidden unit.
    bias : array of float64, shape (..., H)
    outgoing : array of float64, shape (..., H)
    out_bias : array of float64, shape (...)
    """

    weight: Weights
    bias: Weights
    outgoing: Weights
    out_bias: Weights


class Training(NamedTuple):
    """Nets at the recorded steps: the first axis of each array of ``nets`` and of ``loss``."""

    nets: TwoLayers
    loss: Weights


def train_symmetric(
    x: ArrayLike,
    y: ArrayLike,
    start: TwoLayers,
    activation: str,
    *,
    lr: float,
    record: Sequence[int],
) -> Training:
    r"""Train nets with one hidden layer on two inputs, by full-batch gradient descent.

    The loss is the mean of :math:`\ln(1 + e^{-y f(x)})`. All nets train side by side, but each
    **hidden unit has arrays of its own**: every unit goes through the same operations in the same
    order and the same places, so units that are equal stay equal to the last bit on any machine.
    One array for all units would not do: its entries pass through different lanes of the
    processor, which may round differently.

    Parameters
    ----------
    x : array_like of float, shape (N, 2)
    y : array_like of float, shape (N,)
        Labels, -1 or 1.
    start : TwoLayers
        Of S nets: shapes (S, H, 2), (S, H), (S, H), (S,).
    activation : str
        A key of ``ACTIVATIONS``.
    lr : float
        Above 0.
    record : sequence of int
        The steps to return, rising, from 0 on.

    Returns
    -------
    Training
        With as many entries along the first axis as ``record``.

    Raises
    ------
    ValueError
        If a shape does not fit, a label is neither -1 nor 1, the activation is unknown, ``lr`` is
        not above 0, or ``record`` is empty or does not rise.
    """
    inputs, labels = checks.finite("x", x, 2), checks.finite("y", y, 1)
    _check_training(inputs, labels, start, activation, lr, record)
    phi = ACTIVATIONS[activation]
    across, up = inputs.T
    units = [
        [np.ascontiguousarray(p, dtype=np.float64)[:, None] for p in (*w.T, b, a)]
        for w, b, a in zip(
            np.moveaxis(start.weight, 1, 0), start.bias.T, start.outgoing.T, strict=True
        )
    ]
    out_bias = np.array(start.out_bias, dtype=np.float64)[:, None]
    kept: list[tuple[Weights, ...]] = []
    for step in range(record[-1] + 1):
        zs = [w1 * across + w2 * up + b for w1, w2, b, _ in units]
        hs = [phi.function(z) for z in zs]
        f = out_bias + sum(unit[3] * h for unit, h in zip(units, hs, strict=True))
        if step in record:
            kept.append((*_snapshot(units, out_bias), np.logaddexp(0, -labels * f).mean(axis=1)))
        delta = -labels * _sigmoid(-labels * f) / len(labels)
        out_bias = out_bias - lr * delta.sum(axis=1, keepdims=True)
        for unit, z, h in zip(units, zs, hs, strict=True):
            back = unit[3] * phi.derivative(z) * delta
            for place, part in enumerate((back * across, back * up, back, delta * h)):
                unit[place] = unit[place] - lr * part.sum(axis=1, keepdims=True)
    *nets, loss = (np.array(entry) for entry in zip(*kept, strict=True))
    return Training(TwoLayers(*nets), loss)


def _snapshot(units: Sequence[Sequence[Weights]], out_bias: Weights) -> tuple[Weights, ...]:
    """Return the parameters as in :class:`TwoLayers`."""
    w1, w2, b, a = (np.concatenate(parts, axis=1) for parts in zip(*units, strict=True))
    return np.stack([w1, w2], axis=-1), b, a, out_bias[:, 0].copy()


def _check_training(
    x: Weights,
    y: Weights,
    start: TwoLayers,
    activation: str,
    lr: float,
    record: Sequence[int],
) -> None:
    if x.shape[1] != 2:
        raise ValueError(f"x must have shape (N, 2), got {x.shape}")
    if y.shape != x.shape[:1]:
        raise ValueError(f"y must have shape {x.shape[:1]}, got {y.shape}")
    checks.demand("y", y, np.abs(y) == 1, "-1 or 1")
    nets, units = np.shape(start.bias) if np.ndim(start.bias) == 2 else (0, 0)
    wanted = (nets, units, 2), (nets, units), (nets, units), (nets,)
    found = tuple(np.shape(part) for part in start)
    if not nets * units or found != wanted:
        raise ValueError(f"start must have shapes (S, H, 2), (S, H), (S, H), (S,), got {found}")
    if activation not in ACTIVATIONS:
        known = ", ".join(sorted(ACTIVATIONS))
        raise ValueError(f"no activation is named {activation!r}; there are: {known}")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be above 0 and finite, got {lr}")
    steps = list(record)
    if not steps or steps[0] < 0 or any(b <= a for a, b in pairwise(steps)):
        raise ValueError(f"record must be rising steps from 0 on, got {steps}")
