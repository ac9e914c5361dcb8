r"""Batch, layer, instance, group and RMS normalization, forward and backward, in NumPy.

All of them are one line, :math:`\hat x = (x - \mu) / \sqrt{\sigma^2 + \epsilon}` and
:math:`y = \gamma\hat x + \beta`; only the set that :math:`\mu` and :math:`\sigma^2` are pooled
over differs. The variance divides by the size of the set (*biased*), and is computed from
deviations: :math:`\overline{x^2} - \bar x^2` loses all digits where the mean is large.

Conventions
    *Shape*: ``(N, C, *S)`` is samples, channels, and any number of positions; ``normalized_shape``
    counts the last axes of ``x``. Nothing that is returned shares memory with an argument.
    *dtype*: any real floating dtype, the same for all arrays; computed and returned in it.
    float64 is the reference that the tests compare with PyTorch. Integers are refused.
    *Empty* arrays, NaN and infinity are refused by name.
    *A set of one value* comes out as 0 wherever it is not refused, a set of two as plus and minus
    1 up to ``eps``, and a constant set as 0 up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlbook import checks
from dlbook.checks import Array

#: The norms of :func:`pooled_mask`; ``channel`` is layer norm over the channels of one position.
Norm = Literal["batch", "layer", "channel", "instance", "group", "rms"]
NORMS: tuple[Norm, ...] = ("batch", "layer", "channel", "instance", "group", "rms")


class Running(NamedTuple):
    """What batch norm remembers for evaluation.

    Attributes
    ----------
    mean, var : array, shape (C,)
        The running averages; ``var`` averages the *unbiased* variance.
    batches : int
        How many batches went into them.
    """

    mean: Array
    var: Array
    batches: int

    @classmethod
    def start(cls, channels: int, dtype: type[np.floating] = np.float64) -> Running:
        """Return the statistics before the first batch: mean 0, variance 1.

        Raises
        ------
        ValueError
            If ``channels`` is below 1.
        TypeError
            If it is no integer.
        """
        size = checks.count("channels", channels, 1)
        return cls(np.zeros(size, dtype), np.ones(size, dtype), 0)


def batch_norm(
    x: ArrayLike,
    gamma: ArrayLike | None,
    beta: ArrayLike | None,
    running: Running | None = None,
    *,
    training: bool,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Running | None]:
    r"""Normalize each channel over the batch, or with running statistics.

    In training :math:`\mu` and :math:`\sigma^2` are those of the batch, over all axes but the
    channels, and :math:`r \leftarrow (1-\rho)\,r + \rho\cdot\text{new}` with the *unbiased*
    variance. In evaluation :math:`\mu` and :math:`\sigma^2` are the running ones.

    Parameters
    ----------
    x : array_like of float, shape (N, C, *S)
        The batch.
    gamma, beta : array_like of float, shape (C,), or None
        Scale and shift; ``None`` for 1 and 0.
    running : Running, optional
        What the last call returned, at first :meth:`Running.start`. Without it batch statistics
        serve in evaluation too, as with PyTorch's ``track_running_stats=False``.
    training : bool
        Which of the two modes.
    momentum : float or None, default: 0.1
        :math:`\rho`, the weight of the *new* value, in [0, 1]. ``None`` averages all batches.
    eps : float, default: 1e-5
        Above 0; added to the variance.

    Returns
    -------
    y : array, the shape of ``x``
        The normalized batch.
    running : Running or None
        The new statistics; in evaluation those that were given.

    Raises
    ------
    ValueError
        If a shape does not fit, an array is empty or not finite, a parameter is outside its
        range, or batch statistics would rest on one value per channel.
    TypeError
        If a dtype is not floating, or dtypes differ.

    References
    ----------
    Ioffe & Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2. PyTorch, ``torch.nn.BatchNorm1d``.
    """
    eps = _positive(eps)
    rho = _momentum(momentum)
    x = _input(x, least=2)
    channels = (x.shape[1],)
    gamma, beta = _like("gamma", gamma, channels, x), _like("beta", beta, channels, x)
    if running is not None:
        for name, array in (("running mean", running.mean), ("running var", running.var)):
            _like(name, array, channels, x)
        checks.demand("running var", running.var, running.var >= 0, ">= 0")

    if not training and running is not None:
        mean, var = _per_channel(running.mean, x), _per_channel(running.var, x)
        return _affine((x - mean) / np.sqrt(var + eps), gamma, beta, by_channel=True), running
    axes = _all_but_channels(x)
    size = x.size // x.shape[1]
    if size == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {_size(x)}"
        )
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    y = _affine((x - mean) / np.sqrt(var + eps), gamma, beta, by_channel=True)
    if not training or running is None:
        return y, running
    weight = 1 / (running.batches + 1) if rho is None else rho
    unbiased = var.ravel() * (size / (size - 1))
    return y, Running(
        (1 - weight) * running.mean + weight * mean.ravel(),
        (1 - weight) * running.var + weight * unbiased,
        running.batches + 1,
    )


def batch_norm_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike | None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    r"""Return the gradients of batch norm in training.

    With :math:`d = \gamma\,\partial\mathcal L/\partial y` and bars for means over the pooled set,
    :math:`\frac{\partial\mathcal L}{\partial x} = \frac{1}{\sqrt{\sigma^2+\epsilon}}
    \left(d - \bar d - \hat x\,\overline{d\hat x}\right)`.

    Parameters
    ----------
    dy, x : array_like of float, shape (N, C, *S)
        The gradient of the loss with respect to the output, and the input.
    gamma : array_like of float, shape (C,), or None
        Scale; ``None`` for 1.
    eps : float, default: 1e-5
        Above 0.

    Returns
    -------
    dx : array, the shape of ``x``
        Sums to 0 over each channel, exactly; orthogonal to :math:`\hat x` up to ``eps``.
    dgamma, dbeta : array, shape (C,)
        The gradients of scale and shift.

    Raises
    ------
    ValueError, TypeError
        As :func:`batch_norm` in training; also if ``dy`` has another shape than ``x``.

    References
    ----------
    Ioffe & Szegedy 2015, arXiv 1502.03167, section 3; the chapter derives this form.
    """
    eps = _positive(eps)
    x = _input(x, least=2)
    dy = _like("dy", dy, x.shape, x)
    gamma = _like("gamma", gamma, (x.shape[1],), x)
    if x.size == x.shape[1]:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {_size(x)}"
        )
    axes = _all_but_channels(x)
    x_hat, scale = _normalized(x, axes, eps, centered=True)
    d = dy * _per_channel(gamma, x)
    dx = _through_norm(d, x_hat, scale, axes, centered=True)
    return dx, (dy * x_hat).sum(axes), dy.sum(axes)


def layer_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Array:
    r"""Normalize over the last axes: in a transformer over the features of one token.

    Parameters
    ----------
    x : array_like of float, shape (..., *normalized_shape)
        The input. There is no second mode: training and evaluation are the same function.
    normalized_shape : int or sequence of int
        The lengths of the axes to pool, as ``torch.nn.LayerNorm`` takes them.
    gamma, beta : array_like of float, shape normalized_shape, optional
        Scale and shift, one for each *feature*; ``None`` for 1 and 0.
    eps : float, default: 1e-5
        Above 0; added to the variance.

    Returns
    -------
    array, the shape of ``x``

    Raises
    ------
    ValueError
        If the last axes of ``x`` are others, a shape does not fit, an array is empty or not
        finite, or ``eps`` is not above 0.
    TypeError
        If a dtype is not floating, or dtypes differ.

    References
    ----------
    Ba, Kiros & Hinton 2016, arXiv 1607.06450. PyTorch, ``torch.nn.LayerNorm``.
    """
    eps = _positive(eps)
    x = _input(x, least=1)
    shape = _normalized_shape(normalized_shape, x)
    gamma, beta = _like("gamma", gamma, shape, x), _like("beta", beta, shape, x)
    x_hat, _ = _normalized(x, _last(shape), eps, centered=True)
    return _affine(x_hat, gamma, beta)


def layer_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    gamma: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    r"""Return the gradients of layer norm: the formula of batch norm, over other axes.

    Parameters
    ----------
    dy, x : array_like of float, shape (..., *normalized_shape)
        The gradient of the loss with respect to the output, and the input.
    normalized_shape : int or sequence of int
        As in :func:`layer_norm`.
    gamma : array_like of float, shape normalized_shape, optional
        Scale; ``None`` for 1.
    eps : float, default: 1e-5
        Above 0.

    Returns
    -------
    dx : array, the shape of ``x``
    dgamma, dbeta : array, shape normalized_shape
        Summed over all other axes.

    Raises
    ------
    ValueError, TypeError
        As :func:`layer_norm`; also if ``dy`` has another shape than ``x``.

    References
    ----------
    Ba, Kiros & Hinton 2016, arXiv 1607.06450; the chapter derives this form.
    """
    return _last_axes_backward(dy, x, normalized_shape, gamma, _positive(eps), centered=True)


def rms_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    gamma: ArrayLike | None = None,
    eps: float | None = None,
) -> Array:
    r"""Divide by the root mean square over the last axes; the mean stays.

    :math:`y = \gamma\,x / \sqrt{\overline{x^2} + \epsilon}`.

    Parameters
    ----------
    x : array_like of float, shape (..., *normalized_shape)
        The input.
    normalized_shape : int or sequence of int
        As in :func:`layer_norm`.
    gamma : array_like of float, shape normalized_shape, optional
        Scale; ``None`` for 1.
    eps : float, optional
        Above 0. ``None`` is ``numpy.finfo(dtype).eps``, as in PyTorch, and *not* 1e-5.

    Returns
    -------
    array, the shape of ``x``

    Raises
    ------
    ValueError, TypeError
        As :func:`layer_norm`.

    References
    ----------
    Zhang & Sennrich 2019, arXiv 1910.07467. PyTorch, ``torch.nn.RMSNorm``.
    """
    eps = None if eps is None else _positive(eps)
    x = _input(x, least=1)
    shape = _normalized_shape(normalized_shape, x)
    gamma = _like("gamma", gamma, shape, x)
    x_hat, _ = _normalized(x, _last(shape), _rms_eps(eps, x), centered=False)
    return np.asarray(x_hat * gamma)


def rms_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    gamma: ArrayLike | None = None,
    eps: float | None = None,
) -> tuple[Array, Array]:
    r"""Return the gradients of RMS norm: those of layer norm without :math:`\bar d`.

    Parameters
    ----------
    dy, x : array_like of float, shape (..., *normalized_shape)
        The gradient of the loss with respect to the output, and the input.
    normalized_shape, gamma, eps
        As in :func:`rms_norm`.

    Returns
    -------
    dx : array, the shape of ``x``
    dgamma : array, shape normalized_shape

    Raises
    ------
    ValueError, TypeError
        As :func:`rms_norm`; also if ``dy`` has another shape than ``x``.

    References
    ----------
    Zhang & Sennrich 2019, arXiv 1910.07467; the chapter derives this form.
    """
    eps = None if eps is None else _positive(eps)
    return _last_axes_backward(dy, x, normalized_shape, gamma, eps, centered=False)[:2]


def instance_norm(x: ArrayLike, eps: float = 1e-5) -> Array:
    """Normalize each channel of each sample over its positions.

    Parameters
    ----------
    x : array_like of float, shape (N, C, *S)
        With at least one axis of positions.
    eps : float, default: 1e-5
        Above 0; added to the variance.

    Returns
    -------
    array, the shape of ``x``
        There is no scale or shift, as by default in ``torch.nn.InstanceNorm2d``.

    Raises
    ------
    ValueError
        If there is one position only, the rank is below 3, ``x`` is empty or not finite, or
        ``eps`` is not above 0.
    TypeError
        If the dtype is not floating.

    References
    ----------
    Ulyanov, Vedaldi & Lempitsky 2016, arXiv 1607.08022. PyTorch, ``torch.nn.InstanceNorm2d``.
    """
    eps = _positive(eps)
    x = _input(x, least=3)
    if x[0, 0].size == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {_size(x)}"
        )
    return _normalized(x, tuple(range(2, x.ndim)), eps, centered=True)[0]


def group_norm(
    x: ArrayLike,
    num_groups: int,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Array:
    """Normalize groups of neighboring channels of each sample, over channels and positions.

    Parameters
    ----------
    x : array_like of float, shape (N, C, *S)
        The input.
    num_groups : int
        Divides C. With 1 the statistics are layer norm's over (C, *S), with C instance norm's.
    gamma, beta : array_like of float, shape (C,), optional
        Scale and shift, one for each channel and not for each group; ``None`` for 1 and 0.
    eps : float, default: 1e-5
        Above 0; added to the variance.

    Returns
    -------
    array, the shape of ``x``
        0 where a group has one value; PyTorch refuses this if the batch has one sample.

    Raises
    ------
    ValueError
        If ``num_groups`` does not divide C, a shape does not fit, an array is empty or not
        finite, or ``eps`` is not above 0.
    TypeError
        If a dtype is not floating, dtypes differ, or ``num_groups`` is no integer.

    References
    ----------
    Wu & He 2018, arXiv 1803.08494. PyTorch, ``torch.nn.GroupNorm``.
    """
    eps = _positive(eps)
    num_groups = checks.count("num_groups", num_groups, 1)
    x = _input(x, least=2)
    samples, channels = x.shape[:2]
    if channels % num_groups:
        raise ValueError(
            f"num_channels ({channels}) must be divisible by num_groups ({num_groups})"
        )
    gamma, beta = _like("gamma", gamma, (channels,), x), _like("beta", beta, (channels,), x)
    grouped = x.reshape(samples, num_groups, -1)
    x_hat, _ = _normalized(grouped, (2,), eps, centered=True)
    return _affine(x_hat.reshape(x.shape), gamma, beta, by_channel=True)


def pooled_mask(
    shape: Sequence[int], norm: Norm, index: Sequence[int], groups: int = 1
) -> NDArray[np.bool_]:
    """Return which numbers decide how one of them is normalized.

    Parameters
    ----------
    shape : sequence of int
        ``(N, C, *S)``.
    norm : {"batch", "layer", "channel", "instance", "group", "rms"}
        ``layer`` pools channels and positions of a sample. ``channel`` is layer norm as in a
        transformer, over the channels of one position, and ``rms`` pools the same set.
    index : sequence of int
        The one number, an index into the shape.
    groups : int, default: 1
        For ``group`` only; divides C.

    Returns
    -------
    array of bool, shape ``shape``
        True in the set that mean and variance are taken over, the number itself included.

    Raises
    ------
    ValueError
        If the norm is another, the index is outside, or ``groups`` does not divide C.
    TypeError
        If a number is no integer.

    References
    ----------
    Wu & He 2018, arXiv 1803.08494, figure 2.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    sizes = tuple(checks.count("shape", size, 1) for size in shape)
    place = tuple(checks.count("index", i, 0) for i in index)
    if len(sizes) < 2 or len(place) != len(sizes) or any(np.array(place) >= sizes):
        raise ValueError(f"index {place} is outside an array (N, C, *S) of shape {sizes}")
    groups = checks.count("groups", groups, 1)
    if norm == "group" and sizes[1] % groups:
        raise ValueError(f"num_channels ({sizes[1]}) must be divisible by num_groups ({groups})")

    sample, channel, *positions = np.ogrid[tuple(slice(size) for size in sizes)]
    mask = np.zeros(sizes, dtype=bool)
    if norm != "batch":
        mask = mask | (sample != place[0])
    if norm in ("batch", "instance"):
        mask = mask | (channel != place[1])
    if norm == "group":
        width = sizes[1] // groups
        mask = mask | (channel // width != place[1] // width)
    if norm in ("channel", "rms"):
        for position, own in zip(positions, place[2:], strict=True):
            mask = mask | (position != own)
    return ~mask


def fold_batch_norm(
    weight: ArrayLike,
    bias: ArrayLike | None,
    running: Running,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    r"""Fold a batch norm in evaluation into the linear layer or convolution before it.

    :math:`W' = W\gamma / \sqrt{r_v + \epsilon}` and
    :math:`b' = (b - r_m)\gamma / \sqrt{r_v + \epsilon} + \beta`.

    Parameters
    ----------
    weight : array_like of float, shape (C_out, ...)
        Output channels first, as in ``torch.nn.Linear`` and ``torch.nn.Conv2d``; not the weight
        of a transposed convolution, whose first axis is that of the inputs.
    bias : array_like of float, shape (C_out,), or None
        ``None`` for 0.
    running : Running
        The statistics of the norm.
    gamma, beta : array_like of float, shape (C_out,), optional
        Its scale and shift; ``None`` for 1 and 0.
    eps : float, default: 1e-5
        Its eps, above 0.

    Returns
    -------
    weight : array, the shape of ``weight``
    bias : array, shape (C_out,)
        Of one layer that does what the two did.

    Raises
    ------
    ValueError
        If a shape does not fit, an array is empty or not finite, a variance is negative, or
        ``eps`` is not above 0.
    TypeError
        If a dtype is not floating, or dtypes differ.

    References
    ----------
    PyTorch, ``torch.nn.utils.fuse_conv_bn_eval``.
    """
    eps = _positive(eps)
    weight = _input(weight, least=1, name="weight")
    channels = (len(weight),)
    bias = _like("bias", bias, channels, weight, default=0)
    mean = _like("running mean", running.mean, channels, weight)
    var = _like("running var", running.var, channels, weight)
    checks.demand("running var", var, var >= 0, ">= 0")
    gamma = _like("gamma", gamma, channels, weight)
    beta = _like("beta", beta, channels, weight, default=0)
    factor = gamma / np.sqrt(var + eps)
    scaled = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    return scaled, (bias - mean) * factor + beta


# --- the one line that all norms share, and its gradient ---


def _normalized(
    x: Array, axes: tuple[int, ...], eps: float, *, centered: bool
) -> tuple[Array, Array]:
    """Return the normalized values and what the deviations were multiplied by."""
    deviation = x - x.mean(axes, keepdims=True) if centered else x
    scale = 1 / np.sqrt((deviation**2).mean(axes, keepdims=True) + eps)
    return deviation * scale, scale


def _through_norm(
    d: Array, x_hat: Array, scale: Array, axes: tuple[int, ...], *, centered: bool
) -> Array:
    """Return the gradient at the input from that at the normalized values."""
    along = x_hat * (d * x_hat).mean(axes, keepdims=True)
    return np.asarray(scale * (d - d.mean(axes, keepdims=True) - along if centered else d - along))


def _last_axes_backward(
    dy: ArrayLike,
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    gamma: ArrayLike | None,
    eps: float | None,
    *,
    centered: bool,
) -> tuple[Array, Array, Array]:
    x = _input(x, least=1)
    dy = _like("dy", dy, x.shape, x)
    shape = _normalized_shape(normalized_shape, x)
    gamma = _like("gamma", gamma, shape, x)
    axes = _last(shape)
    x_hat, scale = _normalized(x, axes, _rms_eps(eps, x), centered=centered)
    dx = _through_norm(dy * gamma, x_hat, scale, axes, centered=centered)
    others = tuple(range(x.ndim - len(shape)))
    return dx, (dy * x_hat).sum(others), dy.sum(others)


def _affine(x_hat: Array, gamma: Array, beta: Array, *, by_channel: bool = False) -> Array:
    """Scale and shift, along the channels or along the last axes."""
    if by_channel:
        gamma, beta = _per_channel(gamma, x_hat), _per_channel(beta, x_hat)
    return np.asarray(x_hat * gamma + beta)


def _per_channel(values: Array, x: Array) -> Array:
    return np.asarray(values.reshape(1, -1, *[1] * (x.ndim - 2)))


def _all_but_channels(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(shape), 0))


# --- checks ---


def _positive(eps: float) -> float:
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be > 0 and finite, got {eps}")
    return float(eps)


def _rms_eps(eps: float | None, x: Array) -> float:
    return float(np.finfo(x.dtype).eps) if eps is None else eps


def _momentum(momentum: float | None) -> float | None:
    if momentum is not None and not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be None or in [0, 1], got {momentum}")
    return None if momentum is None else float(momentum)


def _input(value: ArrayLike, *, least: int, name: str = "x") -> Array:
    array = checks.floating(name, value)
    if array.ndim < least:
        raise ValueError(f"{name} must have at least {least} axes, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: it has shape {array.shape}")
    checks.demand(name, array, np.isfinite(array), "finite")
    return array


def _like(
    name: str,
    value: ArrayLike | None,
    shape: tuple[int, ...],
    x: Array,
    *,
    default: float | None = None,
) -> Array:
    """Return an array of a shape in the dtype of ``x``; what is not given has ones, or zeros."""
    if value is None:
        fill = default if default is not None else float(name != "beta")
        return np.full(shape, fill, x.dtype)
    array = checks.floating(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if array.dtype != x.dtype:
        raise TypeError(f"{name} has dtype {array.dtype}, x {x.dtype}")
    checks.demand(name, array, np.isfinite(array), "finite")
    return array


def _normalized_shape(given: int | Sequence[int], x: Array) -> tuple[int, ...]:
    """Return the shape as a tuple, if it is that of the last axes; in PyTorch's words if not."""
    sizes = (given,) if isinstance(given, int | np.integer) else tuple(given)
    shape = tuple(checks.count("normalized_shape", size, 1) for size in sizes)
    if not shape:
        raise ValueError("normalized_shape is empty")
    if x.shape[-len(shape) :] != shape:
        raise ValueError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size{list(x.shape)}"
        )
    return shape


def _size(x: Array) -> str:
    """Return a shape as PyTorch prints it."""
    return f"torch.Size({list(x.shape)})"
