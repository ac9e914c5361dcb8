r"""Ridge, lasso, dropout, early stopping and what measures overfitting, in NumPy.

Conventions
    *Data*: ``X`` has shape (n, d), one row a sample; ``y`` has shape (n,). Real numbers of any
    dtype, computed in float64; NaN, infinite values and empty arrays are refused.
    *Objectives*: ridge :math:`\frac12\lVert y - Xw\rVert^2 + \frac\lambda2\lVert w\rVert^2`, lasso
    :math:`\frac1{2n}\lVert y - Xw\rVert^2 + \lambda\lVert w\rVert_1`. The first is a sum over the
    samples, the second a mean, as each is usually written: mind it when you compare strengths.
    *Arguments* are never written into.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlbook import checks
from dlbook.checks import Array

Vector = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def ridge(
    X: ArrayLike,  # noqa: N803
    y: ArrayLike,
    strength: float,
    *,
    fit_intercept: bool = False,
) -> Vector | tuple[Vector, float]:
    r"""Minimize :math:`\frac12\lVert y - Xw - b\rVert^2 + \frac\lambda2\lVert w\rVert^2`.

    The solution is :math:`(X^\top X + \lambda I)^{-1} X^\top y = X^\top (XX^\top + \lambda
    I)^{-1} y`: a system of d or of n equations, whichever is smaller. The intercept is not
    penalized: it is what centering ``X`` and ``y`` takes away.

    Parameters
    ----------
    X : array_like, shape (n, d)
    y : array_like, shape (n,)
    strength : float
        :math:`\lambda \ge 0`. With 0, the least-squares solution of the smallest norm.
    fit_intercept : bool, default: False
        Whether to fit :math:`b` too.

    Returns
    -------
    w : array of float64, shape (d,)
        The weights.
    b : float
        The intercept; only with ``fit_intercept``.

    Raises
    ------
    ValueError
        If the strength is negative or not finite, ``X`` is not of two dimensions or ``y`` not of
        one, their lengths differ, one is empty, or a value is not finite.
    TypeError
        If a dtype is not real.

    References
    ----------
    Hoerl and Kennard 1970, Technometrics 12.
    """
    (strength,) = checks.nonnegative(strength=strength)
    features, target = _data(X, y)
    if not fit_intercept:
        return _ridge(features, target, strength)
    center, mean = features.mean(axis=0), float(target.mean())
    w = _ridge(features - center, target - mean, strength)
    return w, mean - float(center @ w)


def _ridge(features: Vector, target: Vector, strength: float) -> Vector:
    n, d = features.shape
    eps = np.finfo(np.float64).eps * max(n, d)
    if strength <= eps * np.sum(features**2):
        # Lost to rounding in the sums below: filter the directions that the data determine.
        u, s, vt = np.linalg.svd(features, full_matrices=False)
        seen = s > eps * s[0]
        factors = np.divide(s, s**2 + strength, out=np.zeros_like(s), where=seen)
        w = vt.T @ (factors * (u.T @ target))
    elif d <= n:
        w = np.linalg.solve(features.T @ features + strength * np.eye(d), features.T @ target)
    else:
        w = features.T @ np.linalg.solve(features @ features.T + strength * np.eye(n), target)
    return np.asarray(w, dtype=np.float64)


def soft_threshold(z: ArrayLike, threshold: float) -> Array:
    r"""Return :math:`\operatorname{sign}(z)\max(|z| - \lambda, 0)`, as ``F.softshrink`` does.

    It minimizes :math:`\frac12(w - z)^2 + \lambda|w|` over :math:`w`: a constant is subtracted, and
    what is smaller becomes exactly 0.

    Parameters
    ----------
    z : array_like of float, any shape
        NaN stays NaN, infinite values stay infinite.
    threshold : float
        :math:`\lambda \ge 0`.

    Returns
    -------
    array, the shape and dtype of ``z``

    Raises
    ------
    ValueError
        If the threshold is negative or not finite.
    TypeError
        If the dtype is not floating.

    References
    ----------
    PyTorch, ``torch.nn.functional.softshrink``. Tibshirani 1996, J. R. Stat. Soc. B 58.
    """
    (threshold,) = checks.nonnegative(threshold=threshold)
    values = checks.floating("z", z)
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0)


def lasso(
    X: ArrayLike,  # noqa: N803
    y: ArrayLike,
    strength: float,
    *,
    max_iter: int = 1000,
    tol: float = 1e-10,
) -> Vector:
    r"""Minimize :math:`\frac1{2n}\lVert y - Xw\rVert^2 + \lambda\lVert w\rVert_1`.

    Coordinate descent: with the others fixed, the best weight of column :math:`j` is a soft
    threshold, :math:`w_j \leftarrow S_\lambda(X_j^\top r_j/n) / (\lVert X_j\rVert^2/n)`, where
    :math:`r_j` is the residual without column :math:`j`. All weights are 0 from
    :math:`\lambda_{\max} = \max_j |X_j^\top y|/n` on. Where columns are linearly dependent the
    solution need not be unique.

    Parameters
    ----------
    X : array_like, shape (n, d)
        The weight of a column of zeros stays 0.
    y : array_like, shape (n,)
    strength : float
        :math:`\lambda \ge 0`.
    max_iter : int, default: 1000
        The largest number of sweeps over all columns, at least 1.
    tol : float, default: 1e-10
        A sweep is the last if it changes no :math:`|X_j^\top r|/n` by more than this times
        :math:`\lambda_{\max}` by moving weight :math:`j`.

    Returns
    -------
    array of float64, shape (d,)
        The weights.

    Warns
    -----
    RuntimeWarning
        If ``max_iter`` sweeps were not enough.

    Raises
    ------
    ValueError
        If the strength or ``tol`` is negative or not finite, ``max_iter`` is below 1, or the data
        are unusable as in :func:`ridge`.
    TypeError
        If a dtype is not real, or ``max_iter`` not an integer.

    References
    ----------
    Tibshirani 1996, J. R. Stat. Soc. B 58.
    """
    strength, tol = checks.nonnegative(strength=strength, tol=tol)
    checks.count("max_iter", max_iter, least=1)
    features, target = _data(X, y)
    n, d = features.shape
    gram = features.T @ features / n
    # X_j'r/n for all columns at once; moving one weight shifts it by a column of the Gram matrix.
    correlation = features.T @ target / n
    scale = np.diag(gram)
    limit = tol * float(np.abs(correlation).max())
    w = np.zeros(d)
    for _ in range(max_iter):
        largest = 0.0
        for j in np.flatnonzero(scale):
            z = correlation[j] + scale[j] * w[j]
            new = math.copysign(max(abs(z) - strength, 0.0), z) / scale[j]
            if change := new - w[j]:
                w[j] = new
                correlation -= change * gram[j]
                largest = max(largest, abs(change) * scale[j])
        if largest <= limit:
            return w
    warnings.warn(
        f"lasso: {max_iter} sweeps were not enough for tol {tol:g}; the last one changed a "
        f"correlation by {largest:.2g}",
        RuntimeWarning,
        stacklevel=2,
    )
    return w


def dropout(
    x: ArrayLike, p: float, rng: np.random.Generator, *, training: bool = True
) -> tuple[Array, NDArray[np.bool_]]:
    r"""Zero each value with probability ``p`` and divide the others by :math:`1 - p`.

    The mean over masks is ``x``; the variance that they add is :math:`\frac p{1-p} x^2`.

    Parameters
    ----------
    x : array_like of float, any shape
    p : float
        The probability of *zeroing*, in [0, 1], as in PyTorch. (Srivastava et al. call the
        probability of keeping p.) With 1 everything is zero, even where ``x`` is not finite.
    rng : numpy.random.Generator
        Draws one uniform number for each value.
    training : bool, default: True
        In evaluation nothing is dropped and nothing drawn.

    Returns
    -------
    out : array, the shape and dtype of ``x``
        Never ``x`` itself.
    mask : array of bool, the shape of ``x``
        Which values were kept.

    Raises
    ------
    ValueError
        If ``p`` lies outside [0, 1].
    TypeError
        If the dtype is not floating, or ``rng`` no generator.

    References
    ----------
    PyTorch, ``torch.nn.Dropout``. Srivastava et al. 2014, JMLR 15.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in [0, 1], got {p}")
    values = checks.floating("x", x)
    _generator(rng)
    if not training or p == 0:
        return values.copy(), np.ones(values.shape, dtype=np.bool_)
    mask = rng.random(values.shape) >= p
    out = np.zeros_like(values)
    np.divide(values, 1 - float(p), out=out, where=mask)
    return out, mask


def bias_variance(
    predictions: ArrayLike, truth: ArrayLike, noise_var: float = 0.0
) -> tuple[float, float, float]:
    r"""Split the expected squared error into squared bias, variance and noise.

    With :math:`\bar f` the mean prediction over training sets,
    :math:`\mathbb E[(y - \hat f)^2] = (\bar f - f)^2 + \operatorname{Var}\hat f + \sigma^2`, each
    term averaged over the inputs. The first two add up to the measured error against ``truth``
    exactly. The mean of R predictions is itself uncertain: the squared bias is too large by the
    true variance divided by R, on average, and the variance too small by as much.

    Parameters
    ----------
    predictions : array_like, shape (R, M)
        Predictions at M inputs by models fitted to R training sets, at least two.
    truth : array_like, shape (M,)
        The noise-free target there.
    noise_var : float, default: 0.0
        :math:`\sigma^2 \ge 0`, known; it is returned as it is.

    Returns
    -------
    bias2, variance, noise : float

    Raises
    ------
    ValueError
        If there are fewer than two training sets, the numbers of inputs differ, an array is empty
        or has the wrong rank, a value is not finite, or ``noise_var`` is negative.
    TypeError
        If a dtype is not real.

    References
    ----------
    Geman, Bienenstock and Doursat 1992, Neural Computation 4.
    """
    (noise_var,) = checks.nonnegative(noise_var=noise_var)
    fits = checks.finite("predictions", predictions, ndim=2)
    target = checks.finite("truth", truth, ndim=1)
    if len(fits) < 2:
        raise ValueError(f"predictions of at least 2 training sets are needed, got {len(fits)}")
    if fits.shape[1] != len(target):
        raise ValueError(f"predictions has {fits.shape[1]} inputs, truth {len(target)}")
    bias2 = float(np.mean((fits.mean(axis=0) - target) ** 2))
    return bias2, float(fits.var(axis=0).mean()), noise_var


def gd_filter(singular_values: ArrayLike, lr: float, steps: int) -> Vector:
    r"""Return :math:`1 - (1 - \eta s^2)^t`: how far gradient descent has fitted each direction.

    Gradient descent from zero on :math:`\frac12\lVert y - Xw\rVert^2` has, after :math:`t` steps,
    this share of the least-squares solution along each right singular vector of ``X``.

    Parameters
    ----------
    singular_values : array_like, shape (r,)
        Of ``X``, at least 0.
    lr : float
        :math:`\eta \ge 0`, with :math:`\eta s^2 < 2` for the largest :math:`s`.
    steps : int
        :math:`t \ge 0`.

    Returns
    -------
    array of float64, shape (r,)

    Raises
    ------
    ValueError
        If gradient descent diverges at this learning rate, a singular value is negative or not
        finite, there is none, or ``lr`` or ``steps`` is negative.
    TypeError
        If ``steps`` is not an integer.

    References
    ----------
    Ali, Kolter and Tibshirani 2019, arXiv:1810.10082.
    """
    (lr,) = checks.nonnegative(lr=lr)
    steps = checks.count("steps", steps, least=0)
    rates = lr * _singular_values(singular_values) ** 2
    if rates.max() >= 2:
        raise ValueError(f"gradient descent diverges: lr * s_max**2 = {rates.max():g}, not < 2")
    # For small rates 1 - rate would lose the digits that many steps then magnify.
    small = np.minimum(rates, 0.5)
    return np.where(
        rates < 0.5, -np.expm1(steps * np.log1p(-small)), 1 - (1 - rates) ** float(steps)
    )


def ridge_filter(singular_values: ArrayLike, strength: float) -> Vector:
    r"""Return :math:`s^2 / (s^2 + \lambda)`: how far ridge fits each direction.

    Parameters
    ----------
    singular_values : array_like, shape (r,)
        Of ``X``, at least 0.
    strength : float
        :math:`\lambda \ge 0`.

    Returns
    -------
    array of float64, shape (r,)
        0 where :math:`s = 0`, also at strength 0: the solution of the smallest norm.

    Raises
    ------
    ValueError
        If a singular value is negative or not finite, there is none, or the strength is negative.

    References
    ----------
    Hoerl and Kennard 1970, Technometrics 12.
    """
    (strength,) = checks.nonnegative(strength=strength)
    squares = _singular_values(singular_values) ** 2
    return np.divide(squares, squares + strength, out=np.zeros_like(squares), where=squares > 0)


def effective_dof(filter_factors: ArrayLike) -> float:
    r"""Return the effective degrees of freedom, the sum of the filter factors.

    For a linear fit :math:`\hat y = Hy` it is :math:`\operatorname{tr}H`: the number of columns for
    least squares, and less the more a fit is restrained.

    Parameters
    ----------
    filter_factors : array_like, shape (r,)
        From :func:`ridge_filter` or :func:`gd_filter`.

    Raises
    ------
    ValueError
        If there is none, or one is not finite.
    """
    return float(checks.finite("filter_factors", filter_factors, ndim=1).sum())


class EarlyStopping:
    """Stop when a value has not improved for a number of steps.

    Parameters
    ----------
    patience : int
        How many steps in a row may pass without improvement; at the last of them it is time to
        stop. At least 1.
    min_delta : float, default: 0.0
        An improvement must be larger than this, at least 0.
    mode : {"min", "max"}, default: "min"
        Whether smaller or larger values are better.

    Attributes
    ----------
    best : float
        The best value so far; infinite, on the bad side, before any.
    best_step : int or None
        The step at which it came, counted from 0: restore the weights of that step.

    Raises
    ------
    ValueError
        If ``patience`` is below 1, ``min_delta`` negative, or the mode another.
    TypeError
        If ``patience`` is not an integer.

    References
    ----------
    Prechelt 1998, *Early stopping, but when?*
    """

    def __init__(
        self, patience: int, min_delta: float = 0.0, mode: Literal["min", "max"] = "min"
    ) -> None:
        self.patience = checks.count("patience", patience, least=1)
        (self.min_delta,) = checks.nonnegative(min_delta=min_delta)
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        self.mode = mode
        self.best = math.inf if mode == "min" else -math.inf
        self.best_step: int | None = None
        self._steps = 0
        self._waited = 0

    def update(self, value: float) -> bool:
        """Take the value of the next step and return whether it is time to stop.

        Parameters
        ----------
        value : float
            NaN counts as no improvement.
        """
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:
            self.best, self.best_step, self._waited = float(value), self._steps, 0
        else:
            self._waited += 1
        self._steps += 1
        return self._waited >= self.patience


def kfold(n: int, k: int, rng: np.random.Generator) -> list[Fold]:
    """Split n samples into k folds, shuffled; each sample is validated exactly once.

    Parameters
    ----------
    n : int
        The number of samples.
    k : int
        The number of folds, from 2 to n.
    rng : numpy.random.Generator
        Shuffles the samples.

    Returns
    -------
    list of (train, val)
        Indices as int64, sorted. The sizes of the validation parts differ by at most 1.

    Raises
    ------
    ValueError
        If k is below 2 or above n.
    TypeError
        If ``n`` or ``k`` is not an integer, or ``rng`` no generator.
    """
    n, k = checks.count("n", n, least=0), checks.count("k", k, least=2)
    if k > n:
        raise ValueError(f"k = {k} folds for n = {n} samples")
    _generator(rng)
    parts = np.array_split(rng.permutation(n).astype(np.int64), k)
    everything = np.arange(n, dtype=np.int64)
    return [(np.delete(everything, part), np.sort(part)) for part in parts]


def mixup(
    x: ArrayLike, y_onehot: ArrayLike, weight: float, permutation: ArrayLike
) -> tuple[Array, Array]:
    r"""Mix each sample with another: :math:`a x_i + (1 - a) x_j`, and the labels alike.

    Parameters
    ----------
    x : array_like of float, shape (N, ...)
    y_onehot : array_like of float, shape (N, C)
        Labels as probabilities.
    weight : float
        :math:`a` in [0, 1]; in the paper it is drawn from a Beta distribution.
    permutation : array_like of int, shape (N,)
        The partner :math:`j` of each sample.

    Returns
    -------
    x, y : array
        Of the shapes and dtypes given.

    Raises
    ------
    ValueError
        If the weight lies outside [0, 1], the numbers of samples differ, or ``permutation`` is
        none.
    TypeError
        If ``x`` or ``y_onehot`` is not floating, or ``permutation`` not of integers.

    References
    ----------
    Zhang et al. 2018, arXiv:1710.09412.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight must be in [0, 1], got {weight}")
    values, labels = checks.floating("x", x), checks.floating("y_onehot", y_onehot)
    if values.ndim == 0 or labels.ndim != 2 or len(values) != len(labels):
        raise ValueError(
            f"x needs shape (N, ...) and y_onehot (N, C), got {values.shape} and {labels.shape}"
        )
    partner = np.asarray(permutation)
    if partner.size and partner.dtype.kind not in "iu":
        raise TypeError(f"permutation has dtype {partner.dtype}: use integers")
    if partner.ndim != 1 or not np.array_equal(np.sort(partner), np.arange(len(values))):
        raise ValueError(f"permutation must hold each of 0 … N - 1 once, got {partner}")
    partner = partner.astype(np.int64)
    a = float(weight)
    return a * values + (1 - a) * values[partner], a * labels + (1 - a) * labels[partner]


def _data(X: ArrayLike, y: ArrayLike) -> tuple[Vector, Vector]:  # noqa: N803
    features = checks.finite("X", X, ndim=2)
    target = checks.finite("y", y, ndim=1)
    if len(features) != len(target):
        raise ValueError(f"X has {len(features)} rows, y {len(target)} values")
    return features, target


def _singular_values(values: ArrayLike) -> Vector:
    array = checks.finite("singular_values", values, ndim=1)
    checks.demand("singular_values", array, array >= 0, ">= 0")
    return array


def _generator(rng: Any) -> None:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {rng!r}")
