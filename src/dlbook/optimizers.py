r"""Gradient descent, momentum, AdaGrad, RMSProp and Adam, one step at a time, in NumPy.

A step takes parameters, gradient and state and returns new parameters and new state; it never
writes into its arguments, and nothing that it returns shares memory with them. The state of a
first step is ``None``.

Conventions of all steps
    *Shape*: any; gradient and state have the shape of ``theta``. Empty arrays stay empty. A
    zero-dimensional ``theta`` comes back as a NumPy scalar, as from NumPy's own arithmetic.
    *dtype*: any real floating dtype, the same for all arrays; the step is computed and returned
    in it. float64 is the reference that the tests compare with PyTorch. Integers are refused.
    *NaN* is refused. *Infinite* values follow IEEE arithmetic, as in PyTorch.
    *Hyper-parameters* are finite Python or NumPy numbers.

The functions of the quadratic model (:func:`spectral_radius` and below) compute in float64 and
broadcast their arguments; scalars give zero-dimensional arrays.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlbook import checks
from dlbook.checks import Array

#: ``step(theta, grad, state) -> (theta, state)``, where the first state is ``None``.
Step = Callable[[Array, Array, Any], tuple[Array, Any]]


class RMSPropState(NamedTuple):
    """What RMSProp remembers; all arrays have the shape of the parameters."""

    square_avg: Array
    grad_avg: Array
    buffer: Array


class AdamState(NamedTuple):
    """What Adam remembers; all arrays have the shape of the parameters."""

    step: int
    exp_avg: Array
    exp_avg_sq: Array
    max_exp_avg_sq: Array


class HeavyBallOptimum(NamedTuple):
    """The best heavy ball for a range of curvatures."""

    lr: float
    momentum: float
    rate: float


def sgd_step(
    theta: ArrayLike,
    grad: ArrayLike,
    velocity: Array | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Array, Array | None]:
    r"""Take one step of gradient descent with momentum, in the form of ``torch.optim.SGD``.

    :math:`v_t = \mu v_{t-1} + (1 - d) g_t` and :math:`\theta_t = \theta_{t-1} - \eta v_t`;
    Nesterov steps along :math:`g_t + \mu v_t` instead.

    Parameters
    ----------
    theta, grad : array_like of float, any shape
        Parameters and the gradient there.
    velocity : array of float, optional
        The velocity that the last step returned. ``None`` marks the first step with momentum,
        where :math:`v_1 = g_1`, without dampening.
    lr : float
        Learning rate, at least 0.
    momentum : float, default: 0.0
        In [0, 1). With 0 the step is plain gradient descent, and dampening has no effect.
    dampening : float, default: 0.0
        At least 0.
    nesterov : bool, default: False
        Whether to take the gradient into account once more, ahead of time.
    weight_decay : float, default: 0.0
        At least 0; this times ``theta`` is added to the gradient (L2).

    Returns
    -------
    theta : array, the shape of ``theta``
        The new parameters.
    velocity : array or None
        The new velocity; ``None`` with momentum 0, which keeps none.

    Raises
    ------
    ValueError
        If shapes differ, an array holds NaN, a hyper-parameter is outside its range, or
        ``nesterov`` comes without momentum or with dampening.
    TypeError
        If a dtype is not floating, or dtypes differ.

    References
    ----------
    PyTorch, ``torch.optim.SGD``. Polyak 1964; Nesterov 1983; Sutskever et al. 2013, ICML.
    """
    lr, dampening, weight_decay = checks.nonnegative(
        lr=lr, dampening=dampening, weight_decay=weight_decay
    )
    (momentum,) = checks.fractions(momentum=momentum)
    if nesterov and (momentum == 0 or dampening != 0):
        raise ValueError(
            "nesterov requires momentum > 0 and dampening = 0, "
            f"got momentum {momentum} and dampening {dampening}"
        )
    theta, grad = _arrays(theta, grad, velocity=velocity)

    if weight_decay:
        grad = grad + weight_decay * theta
    if momentum == 0:
        return theta - lr * grad, None
    velocity = grad.copy() if velocity is None else momentum * velocity + (1 - dampening) * grad
    direction = grad + momentum * velocity if nesterov else velocity
    return theta - lr * direction, velocity


def adagrad_step(
    theta: ArrayLike, grad: ArrayLike, sum_sq: Array | None, *, lr: float = 0.01, eps: float = 1e-10
) -> tuple[Array, Array]:
    r"""Take one step of AdaGrad: divide by the root of the sum of all squared gradients.

    :math:`s_t = s_{t-1} + g_t^2` and
    :math:`\theta_t = \theta_{t-1} - \eta\,g_t / (\sqrt{s_t} + \epsilon)`.

    Parameters
    ----------
    theta, grad : array_like of float, any shape
        Parameters and the gradient there.
    sum_sq : array of float or None
        The sum that the last step returned; ``None`` for zeros.
    lr : float, default: 0.01
        Learning rate, at least 0.
    eps : float, default: 1e-10
        At least 0. With 0, a coordinate without any gradient so far becomes NaN.

    Returns
    -------
    theta, sum_sq : array, the shape of ``theta``
        The new parameters and the new sum.

    Raises
    ------
    ValueError
        If shapes differ, an array holds NaN, or ``lr`` or ``eps`` is below 0.
    TypeError
        If a dtype is not floating, or dtypes differ.

    References
    ----------
    Duchi et al. 2011, JMLR 12. PyTorch, ``torch.optim.Adagrad``.
    """
    lr, eps = checks.nonnegative(lr=lr, eps=eps)
    theta, grad = _arrays(theta, grad, sum_sq=sum_sq)

    sum_sq = grad * grad if sum_sq is None else sum_sq + grad * grad
    return theta - lr * grad / (np.sqrt(sum_sq) + eps), sum_sq


def rmsprop_step(
    theta: ArrayLike,
    grad: ArrayLike,
    state: RMSPropState | None = None,
    *,
    lr: float = 0.01,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
) -> tuple[Array, RMSPropState]:
    r"""Take one step of RMSProp: divide by the root of an average of squared gradients.

    :math:`s_t = \alpha s_{t-1} + (1 - \alpha) g_t^2`,
    :math:`b_t = \mu b_{t-1} + g_t / (\sqrt{s_t} + \epsilon)` and
    :math:`\theta_t = \theta_{t-1} - \eta b_t`: momentum averages the gradient that is *already
    divided*. ``centered`` subtracts the squared average gradient from :math:`s_t`.

    Parameters
    ----------
    theta, grad : array_like of float, any shape
        Parameters and the gradient there.
    state : RMSPropState, optional
        What the last step returned; ``None`` for zeros.
    lr : float, default: 0.01
        Learning rate, at least 0.
    alpha : float, default: 0.99
        Memory of the average, in [0, 1).
    eps : float, default: 1e-8
        At least 0. With 0, a coordinate without any gradient so far becomes NaN.
    momentum : float, default: 0.0
        In [0, 1).
    centered : bool, default: False
        Whether to divide by the standard deviation. Where rounding turns its square negative
        (long constant gradients), the parameter becomes NaN, as in PyTorch.

    Returns
    -------
    theta : array, the shape of ``theta``
        The new parameters.
    state : RMSPropState
        The new state; ``grad_avg`` stays as it was unless ``centered``.

    Raises
    ------
    ValueError
        If shapes differ, an array holds NaN, or a hyper-parameter is outside its range.
    TypeError
        If a dtype is not floating, or dtypes differ.

    References
    ----------
    Tieleman & Hinton 2012, lecture 6e. PyTorch, ``torch.optim.RMSprop``.
    """
    lr, eps = checks.nonnegative(lr=lr, eps=eps)
    alpha, momentum = checks.fractions(alpha=alpha, momentum=momentum)
    theta, grad = _arrays(theta, grad, **({} if state is None else state._asdict()))
    if state is None:
        state = RMSPropState(*(np.zeros_like(theta) for _ in range(3)))

    square_avg = alpha * state.square_avg + (1 - alpha) * (grad * grad)
    grad_avg = state.grad_avg.copy()
    variance = square_avg
    if centered:
        grad_avg = grad_avg + (1 - alpha) * (grad - grad_avg)
        variance = square_avg - grad_avg * grad_avg
    buffer = momentum * state.buffer + grad / (np.sqrt(variance) + eps)
    return theta - lr * buffer, RMSPropState(square_avg, grad_avg, buffer)


def adam_step(
    theta: ArrayLike,
    grad: ArrayLike,
    state: AdamState | None = None,
    *,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    bias_correction: bool = True,
    amsgrad: bool = False,
) -> tuple[Array, AdamState]:
    r"""Take one step of Adam, AdamW or AMSGrad.

    :math:`m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t`,
    :math:`v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2` and
    :math:`\theta_t = \theta_{t-1} - \eta\,\hat m_t / (\sqrt{\hat v_t} + \epsilon)` with
    :math:`\hat m_t = m_t / (1 - \beta_1^t)`, :math:`\hat v_t = v_t / (1 - \beta_2^t)`.

    Parameters
    ----------
    theta, grad : array_like of float, any shape
        Parameters and the gradient there.
    state : AdamState, optional
        What the last step returned; ``None`` for zeros.
    lr : float, default: 1e-3
        Learning rate, at least 0.
    beta1, beta2 : float, default: 0.9 and 0.999
        Memory of the two averages, in [0, 1).
    eps : float, default: 1e-8
        At least 0; outside the root, after the correction. With 0, a coordinate without any
        gradient so far becomes NaN.
    weight_decay : float, default: 0.0
        At least 0. PyTorch's ``AdamW`` has 0.01 as its default.
    decoupled : bool, default: False
        AdamW: shrink the parameters by ``1 - lr * weight_decay`` before the step, instead of
        adding ``weight_decay * theta`` to the gradient (L2).
    bias_correction : bool, default: True
        Whether to divide the averages by one minus ``beta**step``.
    amsgrad : bool, default: False
        Divide by the largest average so far. The maximum is of the *uncorrected* averages, as
        PyTorch computes it (issue 142323), not of the corrected ones.

    Returns
    -------
    theta : array, the shape of ``theta``
        The new parameters.
    state : AdamState
        The new state; ``max_exp_avg_sq`` stays as it was unless ``amsgrad``.

    Raises
    ------
    ValueError
        If shapes differ, an array holds NaN, or a hyper-parameter is outside its range.
    TypeError
        If a dtype is not floating, or dtypes differ.

    References
    ----------
    Kingma & Ba 2015, arXiv 1412.6980. Loshchilov & Hutter 2019, arXiv 1711.05101. Reddi, Kale,
    Kumar 2018, arXiv 1904.09237. PyTorch, ``torch.optim.Adam`` and ``torch.optim.AdamW``.
    """
    lr, eps, weight_decay = checks.nonnegative(lr=lr, eps=eps, weight_decay=weight_decay)
    beta1, beta2 = checks.fractions(beta1=beta1, beta2=beta2)
    averages = {} if state is None else state._asdict()
    step = averages.pop("step", 0) + 1
    theta, grad = _arrays(theta, grad, **averages)
    if state is None:
        state = AdamState(0, *(np.zeros_like(theta) for _ in range(3)))

    if decoupled:
        theta = theta * (1 - lr * weight_decay)
    elif weight_decay:
        grad = grad + weight_decay * theta
    exp_avg = beta1 * state.exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * state.exp_avg_sq + (1 - beta2) * (grad * grad)
    largest = state.max_exp_avg_sq.copy()
    if amsgrad:
        largest = np.maximum(largest, exp_avg_sq)

    correction1 = 1 - beta1**step if bias_correction else 1.0
    correction2 = 1 - beta2**step if bias_correction else 1.0
    root = np.sqrt(largest if amsgrad else exp_avg_sq) / math.sqrt(correction2)
    theta = theta - (lr / correction1) * exp_avg / (root + eps)
    return theta, AdamState(step, exp_avg, exp_avg_sq, largest)


def adam_step_bound(beta1: float, beta2: float) -> tuple[float, float]:
    r"""Return how large Adam's step can get, in units of the learning rate.

    Parameters
    ----------
    beta1, beta2 : float
        Memory of the two averages, in [0, 1), with ``beta1**2 < beta2`` or ``beta1 = 0``.

    Returns
    -------
    paper : float
        The bound of the paper, :math:`\max(1, (1-\beta_1)/\sqrt{1-\beta_2})`; it holds for a
        lone spike only.
    supremum : float
        :math:`\frac{1-\beta_1}{\sqrt{1-\beta_2}\sqrt{1-\beta_1^2/\beta_2}}`, by Cauchy and
        Schwarz; approached, after a long silence, by gradients that grow by
        :math:`\beta_2/\beta_1` a step. It holds at every step, with bias correction too.

    Raises
    ------
    ValueError
        If a beta is outside [0, 1), or the step is unbounded.

    References
    ----------
    Kingma & Ba 2015, arXiv 1412.6980, section 2.1, for the paper's bound.
    """
    beta1, beta2 = checks.fractions(beta1=beta1, beta2=beta2)
    if beta1 > 0 and beta1**2 >= beta2:
        raise ValueError(
            f"beta1**2 = {beta1**2:.12g} must be below beta2 = {beta2:.12g}: the step is unbounded"
        )
    ratio = (1 - beta1) / math.sqrt(1 - beta2)
    overlap = beta1**2 / beta2 if beta1 > 0 else 0.0
    return max(1.0, ratio), ratio / math.sqrt(1 - overlap)


def spectral_radius(
    lr: ArrayLike, momentum: ArrayLike, curvature: ArrayLike, nesterov: bool = False
) -> Array:
    r"""Return the factor a step by which momentum shrinks the error on a quadratic, in the end.

    On :math:`\tfrac12 h\theta^2` a step maps :math:`(\theta, v)` linearly. The eigenvalues are
    the roots of :math:`z^2 - (1+\mu-\eta h)z + \mu`; for Nesterov of
    :math:`z^2 - (1+\mu)(1-\eta h)z + \mu(1-\eta h)`.

    Parameters
    ----------
    lr, momentum : array_like of float
        Learning rate, at least 0, and momentum in [0, 1); momentum 0 is gradient descent.
    curvature : array_like of float
        :math:`h`, an eigenvalue of the Hessian; negative at a saddle.
    nesterov : bool, default: False
        The form of momentum, as in :func:`sgd_step`.

    Returns
    -------
    array of float64, the broadcast shape
        Below 1 the error vanishes, above 1 it grows.

    Raises
    ------
    ValueError
        If a value is outside its range or not finite, or the shapes do not broadcast.

    References
    ----------
    Polyak 1964; Goh 2017, Distill, *Why Momentum Really Works*.
    """
    lr, momentum, curvature = _broadcast(lr=lr, momentum=momentum, curvature=curvature)
    _all_nonnegative(lr=lr)
    _all_fractions(momentum=momentum)

    contraction = 1 - lr * curvature
    trace = (1 + momentum) * contraction if nesterov else momentum + contraction
    determinant = momentum * contraction if nesterov else momentum
    discriminant = trace**2 - 4 * determinant
    real = (np.abs(trace) + np.sqrt(np.maximum(discriminant, 0))) / 2
    return np.where(discriminant < 0, np.sqrt(np.maximum(determinant, 0)), real)


def heavy_ball_optimum(smallest: float, largest: float) -> HeavyBallOptimum:
    r"""Return the learning rate and momentum that converge fastest between two curvatures.

    :math:`\eta^* = (2 / (\sqrt L + \sqrt\ell))^2` and
    :math:`\mu^* = ((\sqrt\kappa - 1) / (\sqrt\kappa + 1))^2` with :math:`\kappa = L/\ell`; the
    rate is :math:`\sqrt{\mu^*}`.

    Parameters
    ----------
    smallest, largest : float
        :math:`\ell` and :math:`L`, the smallest and largest eigenvalue of the Hessian, above 0.

    Returns
    -------
    HeavyBallOptimum
        ``(lr, momentum, rate)``.

    Raises
    ------
    ValueError
        If ``smallest`` is not above 0, or ``largest`` is below ``smallest`` or not finite.

    References
    ----------
    Polyak 1964; Goh 2017, Distill, *Why Momentum Really Works*.
    """
    if not smallest > 0:
        raise ValueError(f"smallest must be > 0, got {smallest}")
    if not smallest <= largest < math.inf:
        raise ValueError(f"largest must be finite and >= smallest = {smallest}, got {largest}")
    low, high = math.sqrt(smallest), math.sqrt(largest)
    rate = (high - low) / (high + low)
    return HeavyBallOptimum(lr=(2 / (high + low)) ** 2, momentum=rate**2, rate=rate)


def stationary_loss(
    lr: ArrayLike, momentum: ArrayLike, curvature: ArrayLike, noise_std: ArrayLike
) -> Array:
    r"""Return the mean loss at which heavy ball with noisy gradients settles on a quadratic.

    :math:`\frac{\eta\sigma^2(1+\mu)}{2(1-\mu)(2(1+\mu)-\eta h)}`: the stationary covariance of
    :math:`(\theta, v)` solves a Lyapunov equation in two dimensions.

    Parameters
    ----------
    lr, momentum : array_like of float
        Learning rate, at least 0, and momentum in [0, 1).
    curvature : array_like of float
        :math:`h > 0`; the loss is :math:`\tfrac12 h\theta^2`.
    noise_std : array_like of float
        :math:`\sigma`, the standard deviation of independent noise on each gradient.

    Returns
    -------
    array of float64, the broadcast shape
        ``inf`` where the iteration is not stable, whatever the noise; at ``lr = 0`` the limit 0.

    Raises
    ------
    ValueError
        If a value is outside its range or not finite, or the shapes do not broadcast.

    References
    ----------
    For what follows from it: Kidambi et al. 2018, arXiv 1803.05591; Wang et al. 2024, arXiv
    2307.15196.
    """
    lr, momentum, curvature, noise_std = _broadcast(
        lr=lr, momentum=momentum, curvature=curvature, noise_std=noise_std
    )
    _all_nonnegative(lr=lr, noise_std=noise_std)
    _all_fractions(momentum=momentum)
    _all_positive(curvature=curvature)

    margin = 2 * (1 + momentum) - lr * curvature
    stable = margin > 0
    safe = np.where(stable, margin, 1)
    loss = lr * noise_std**2 * (1 + momentum) / (2 * (1 - momentum) * safe)
    return np.where(stable, loss, np.inf)


def max_stable_lr(curvature: ArrayLike, momentum: ArrayLike = 0.0, nesterov: bool = False) -> Array:
    r"""Return the learning rate from which on momentum does not converge on a quadratic.

    :math:`2(1+\mu)/h` for heavy ball, :math:`2(1+\mu)/((1+2\mu)h)` for Nesterov; both are
    :math:`2/h` for gradient descent. There :func:`spectral_radius` is 1.

    Parameters
    ----------
    curvature : array_like of float
        :math:`h > 0`, the largest eigenvalue of the Hessian.
    momentum : array_like of float, default: 0.0
        In [0, 1).
    nesterov : bool, default: False
        The form of momentum, as in :func:`sgd_step`.

    Returns
    -------
    array of float64, the broadcast shape
        The limit itself does not converge.

    Raises
    ------
    ValueError
        If a value is outside its range or not finite, or the shapes do not broadcast.

    References
    ----------
    Goh 2017, Distill, *Why Momentum Really Works*, for heavy ball; the chapter derives both.
    """
    curvature, momentum = _broadcast(curvature=curvature, momentum=momentum)
    _all_positive(curvature=curvature)
    _all_fractions(momentum=momentum)
    stretch = 1 + 2 * momentum if nesterov else 1.0
    return np.asarray(2 * (1 + momentum) / (stretch * curvature))


def trajectory(
    grad: Callable[[Array], Array], theta0: ArrayLike, step: Step, n_steps: int
) -> Array:
    """Follow an optimizer from a start and return every point.

    Parameters
    ----------
    grad : callable
        The gradient at a point; ``(D,)`` to ``(D,)``.
    theta0 : array_like of float, shape (D,)
        The start, finite.
    step : callable
        ``step(theta, grad, state) -> (theta, state)``, for example
        ``functools.partial(sgd_step, lr=0.1)``; the first state is ``None``.
    n_steps : int
        How many steps, at least 0.

    Returns
    -------
    array, shape (n_steps + 1, D)
        The start and the point after each step, in the dtype of ``theta0``. Fewer rows where
        a gradient or a point is not finite: the run stops there, so every row is finite.

    Raises
    ------
    ValueError
        If ``theta0`` has not one axis or is not finite, or ``n_steps`` is below 0.
    TypeError
        If ``theta0`` is not of floating dtype, or ``n_steps`` is no integer.
    """
    theta = checks.floating("theta0", theta0)
    if theta.ndim != 1 or not np.isfinite(theta).all():
        raise ValueError(f"theta0 must be finite with shape (D,), got {theta} of {theta.shape}")
    if operator.index(n_steps) < 0:
        raise ValueError(f"n_steps must be >= 0, got {n_steps}")

    points, state = [theta], None
    # A run that diverges is an answer here, so its overflow deserves no warning.
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(n_steps):
            slope = grad(theta.copy())
            if not np.isfinite(slope).all():
                break
            theta, state = step(theta, slope, state)
            if not np.isfinite(theta).all():
                break
            points.append(theta)
    return np.array(points)


def _arrays(theta: ArrayLike, grad: ArrayLike, **state: Array | None) -> tuple[Array, Array]:
    """Return parameters and gradient as arrays, after checking them and the state."""
    x, g = checks.floating("theta", theta), checks.floating("grad", grad)
    given = {"theta": x, "grad": g} | {
        name: checks.floating(name, array) for name, array in state.items() if array is not None
    }
    for name, array in given.items():
        if array.shape != x.shape:
            raise ValueError(f"{name} has shape {array.shape}, theta {x.shape}")
        if array.dtype != x.dtype:
            raise TypeError(f"{name} has dtype {array.dtype}, theta {x.dtype}")
        if count := np.count_nonzero(np.isnan(array)):
            raise ValueError(f"{name} has {count} NaN value{'s' if count > 1 else ''}")
    return x, g


def _broadcast(**values: ArrayLike) -> tuple[Array, ...]:
    arrays = [np.asarray(value, dtype=np.float64) for value in values.values()]
    try:
        shaped = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in zip(values, arrays, strict=True))
        raise ValueError(f"these shapes do not broadcast: {shapes}") from None
    for name, array in zip(values, arrays, strict=True):
        checks.demand(name, array, np.isfinite(array), "finite")
    return tuple(shaped)


def _all_nonnegative(**arrays: Array) -> None:
    for name, array in arrays.items():
        checks.demand(name, array, array >= 0, ">= 0")


def _all_positive(**arrays: Array) -> None:
    for name, array in arrays.items():
        checks.demand(name, array, array > 0, "> 0")


def _all_fractions(**arrays: Array) -> None:
    for name, array in arrays.items():
        checks.demand(name, array, (array >= 0) & (array < 1), "in [0, 1)")
