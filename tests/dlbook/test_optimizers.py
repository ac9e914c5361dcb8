"""Each step against ``torch.optim``, step for step; and what a step refuses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from dlbook.optimizers import (
    AdamState,
    RMSPropState,
    adagrad_step,
    adam_step,
    rmsprop_step,
    sgd_step,
    trajectory,
)

STEPS = 12
#: Loading torch can make the first example slow; the same examples in every run.
explore = settings(deadline=None, derandomize=True, max_examples=150)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
lrs = st.floats(0, 2)
fractions = st.floats(0, 0.999)
decays = st.sampled_from([0.0, 0.01, 0.3])


def gradients_of(magnitudes: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    signed = st.builds(math.copysign, magnitudes, st.sampled_from([-1.0, 1.0]))
    return shapes.flatmap(
        lambda shape: hnp.arrays(np.float64, (STEPS, *shape), elements=signed, fill=st.nothing())
    )


#: Not every magnitude: where a gradient squared underflows, a quotient amplifies its rounding.
gradients = gradients_of(st.just(0.0) | st.floats(1e-6, 1e3))


def ours(step: Callable[..., Any], start: Any, grads: Any) -> Iterator[tuple[Any, Any]]:
    """Yield parameters and state after each step."""
    theta, state = start, None
    for grad in grads:
        theta, state = step(theta, grad, state)
        yield theta, state


def torchs(make: Callable[..., torch.optim.Optimizer], start: Any, grads: Any) -> Iterator[Any]:
    """Yield PyTorch's parameters and state after each step."""
    theta = torch.tensor(start, requires_grad=True)
    optimizer = make([theta])
    for grad in grads:
        theta.grad = torch.tensor(grad)
        optimizer.step()
        yield theta.detach().numpy().copy(), optimizer.state[theta]


def start_for(grads: Any) -> Any:
    return np.asarray(np.random.default_rng(0).normal(size=grads.shape[1:]))


def compare(
    step: Callable[..., Any],
    make: Callable[..., torch.optim.Optimizer],
    grads: Any,
    scale: float,
    rtol: float = 1e-13,
) -> None:
    """Compare all steps; ``scale`` is the largest distance a coordinate may travel."""
    start = start_for(grads)
    pairs = zip(ours(step, start, grads), torchs(make, start, grads), strict=True)
    for (theta, _), (expected, _) in pairs:
        assert_allclose(theta, expected, rtol=rtol, atol=rtol * scale)


@explore
@given(gradients, lrs, fractions, st.floats(0, 1), st.booleans(), decays)
@example(np.ones((STEPS, 2)), 0.1, 0.9, 0.5, False, 0.0)
def test_sgd_is_torchs(
    grads: Any, lr: float, momentum: float, dampening: float, nesterov: bool, weight_decay: float
) -> None:
    if nesterov:
        dampening = 0.0
        assume(momentum > 0)
    options: dict[str, Any] = {
        "lr": lr, "momentum": momentum, "dampening": dampening, "nesterov": nesterov,
        "weight_decay": weight_decay,
    }  # fmt: skip
    travel = (1 + lr) ** STEPS * (1 + np.abs(grads).sum()) * STEPS
    make = partial(torch.optim.SGD, **options)
    compare(partial(sgd_step, **options), make, grads, travel, rtol=1e-15)


@explore
@given(gradients, lrs, st.floats(1e-12, 1e-3))
def test_adagrad_is_torchs(grads: Any, lr: float, eps: float) -> None:
    make = partial(torch.optim.Adagrad, lr=lr, eps=eps)
    compare(partial(adagrad_step, lr=lr, eps=eps), make, grads, lr * STEPS)


def test_adagrad_is_torchs_to_the_last_bits_over_50_steps() -> None:
    grads = np.random.default_rng(1).normal(size=(50, 7))
    start = start_for(grads)
    pairs = zip(
        ours(partial(adagrad_step, lr=0.1), start, grads),
        torchs(partial(torch.optim.Adagrad, lr=0.1), start, grads),
        strict=True,
    )
    # Not to the very last: where the processor can, torch squares and adds with one rounding.
    for (theta, sum_sq), (expected, state) in pairs:
        assert_allclose(theta, expected, rtol=0, atol=5e-16)
        assert_allclose(sum_sq, state["sum"].numpy(), rtol=1e-15)


@explore
@given(gradients, lrs, fractions, st.floats(1e-9, 1e-3), fractions)
def test_rmsprop_is_torchs(
    grads: Any, lr: float, alpha: float, eps: float, momentum: float
) -> None:
    options: dict[str, Any] = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum}
    travel = lr * STEPS**2 / math.sqrt(1 - alpha)
    make = partial(torch.optim.RMSprop, **options)
    compare(partial(rmsprop_step, **options), make, grads, travel)


@explore
@given(gradients, lrs, st.floats(0.5, 0.99), fractions)
def test_centered_rmsprop_is_torchs(grads: Any, lr: float, alpha: float, momentum: float) -> None:
    # The variance is a difference, whose rounding the root and the quotient amplify.
    options: dict[str, Any] = {
        "lr": lr,
        "alpha": alpha,
        "eps": 1e-3,
        "momentum": momentum,
        "centered": True,
    }
    travel = lr * STEPS**2 * (1 + np.abs(grads).max(initial=0)) / 1e-3
    make = partial(torch.optim.RMSprop, **options)
    compare(partial(rmsprop_step, **options), make, grads, travel, rtol=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"centered": True, "momentum": 0.9}], ids=["plain", "centered, momentum"]
)
def test_rmsprop_is_torchs_on_noise(options: dict[str, Any]) -> None:
    grads = np.random.default_rng(2).normal(size=(300, 5))
    make = partial(torch.optim.RMSprop, **options)
    compare(partial(rmsprop_step, **options), make, grads, scale=1, rtol=1e-14)


@explore
@given(
    gradients, lrs, fractions, fractions, st.floats(1e-9, 1e-3), decays, st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_adam_is_torchs(
    grads: Any,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    amsgrad: bool,
) -> None:
    shared: dict[str, Any] = {
        "lr": lr,
        "eps": eps,
        "weight_decay": weight_decay,
        "amsgrad": amsgrad,
    }
    step = partial(adam_step, beta1=beta1, beta2=beta2, decoupled=decoupled, **shared)
    make = partial(
        torch.optim.Adam, betas=(beta1, beta2), decoupled_weight_decay=decoupled, **shared
    )
    # With beta1**2 > beta2 a step is not bounded, and nor is what rounding becomes.
    travel = lr * STEPS / math.sqrt(1 - beta2) if beta1**2 < beta2 else lr * 1e9
    compare(step, make, grads, travel + 1, rtol=1e-12)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_and_adamw_are_torchs_on_noise(name: str, amsgrad: bool) -> None:
    grads = np.random.default_rng(3).normal(size=(300, 5))
    shared: dict[str, Any] = {"lr": 0.05, "weight_decay": 0.1, "amsgrad": amsgrad}
    step = partial(adam_step, decoupled=name == "AdamW", **shared)
    make = partial(getattr(torch.optim, name), **shared)
    compare(step, make, grads, scale=1, rtol=1e-13)


def test_amsgrad_takes_the_maximum_of_uncorrected_averages() -> None:
    grads = np.array([3, 0.1, 0.1, 0.1, 2, 0.1])
    *_, (theta, state) = ours(partial(adam_step, amsgrad=True), np.array(0.0), grads)
    *_, (expected, _) = torchs(
        partial(torch.optim.Adam, lr=1e-3, amsgrad=True), np.array(0.0), grads
    )
    assert_allclose(theta, expected, rtol=1e-13)
    assert round(float(theta), 5) == -0.00393
    assert state.max_exp_avg_sq >= state.exp_avg_sq


# --- what the brief of the chapter says about the steps ---


def steps_of_adam(grads: Any, **options: Any) -> Any:
    """Return the size of each step of a scalar, in units of the learning rate."""
    thetas = [theta for theta, _ in ours(partial(adam_step, lr=1.0, **options), 0.0, grads)]
    return np.abs(np.diff([0.0, *thetas]))


def test_velocity_becomes_ten_gradients() -> None:
    *_, (before, _), (after, _) = ours(partial(sgd_step, lr=0.1, momentum=0.9), 0.0, np.ones(100))
    assert float(before - after) == pytest.approx(0.99997, abs=5e-6)


def test_rmsprop_starts_ten_times_too_large() -> None:
    theta, _ = rmsprop_step(0.0, 1.0, lr=1.0)
    assert float(theta) == pytest.approx(-9.999999, abs=1e-6)


def test_adam_without_first_moment_nears_rmsprop() -> None:
    adam = partial(adam_step, lr=0.01, beta1=0, beta2=0.99)
    rmsprop = partial(rmsprop_step, lr=0.01)
    grads = np.random.default_rng(4).normal(size=300)
    first = [abs(float(step(0.0, 1.0, None)[0])) for step in (adam, rmsprop)]
    assert_allclose(first, [0.01, 0.1], rtol=1e-6)
    # Late, the only difference is the root of the correction.
    sizes = [
        np.diff([float(theta) for theta, _ in ours(step, 0.0, grads)])[-1]
        for step in (adam, rmsprop)
    ]
    assert sizes[1] / sizes[0] == pytest.approx(1, abs=0.026)


def test_bias_correction_of_constant_gradients() -> None:
    corrected = steps_of_adam(np.ones(100), eps=0.0)
    assert_allclose(corrected, 1, rtol=1e-12)
    raw = steps_of_adam(np.ones(2400), bias_correction=False, eps=0.0)
    assert raw[[0, 11, 99, 999]] == pytest.approx([3.162, 6.57, 3.24, 1.26], abs=0.005)
    assert raw.argmax() == 11
    assert int(np.argmax(raw < 1.05)) + 1 == 2375
    short = steps_of_adam(np.ones(100), beta2=0.95, bias_correction=False, eps=0.0)
    assert short[0] == pytest.approx(0.447, abs=5e-4)
    assert short.max() == pytest.approx(1.10, abs=0.005)


def test_eps_stands_outside_the_root() -> None:
    assert steps_of_adam([1e-8])[0] == pytest.approx(0.5, rel=1e-6)


def test_step_of_unbounded_adam_grows_after_the_gradient_stops() -> None:
    grads = np.r_[np.ones(20), np.zeros(200)]
    steps = steps_of_adam(grads, beta1=0.9, beta2=0.8, eps=0.0)
    assert steps[[19, 49, 99, 219]] == pytest.approx([1.00, 1.07, 1.45, 3.06], abs=0.005)
    with_eps = steps_of_adam(grads, beta1=0.9, beta2=0.8)
    assert with_eps[219] == pytest.approx(0.06, abs=0.005)


def test_weight_decay_in_the_velocity_is_not_decoupled_decay() -> None:
    zeros = np.zeros(200)

    def left(momentum: float) -> float:
        step = partial(sgd_step, lr=0.01, momentum=momentum, weight_decay=0.1)
        *_, (theta, _) = ours(step, 1.0, zeros)
        return float(theta)

    assert left(0.9) == pytest.approx(0.120, abs=5e-4)
    assert left(0.0) == pytest.approx((1 - 0.01 * 0.1) ** 200, rel=1e-12)
    assert left(0.0) == pytest.approx(0.819, abs=5e-4)


def test_torchs_nesterov_stores_the_look_ahead_point() -> None:
    curvature, lr, momentum = np.array([1.0, 20.0]), 0.03, 0.8
    theta, u = np.array([-9.0, 1.5]), np.zeros(2)
    stored = trajectory(
        lambda x: curvature * x, theta, partial(sgd_step, lr=lr, momentum=momentum, nesterov=True),
        50,
    )  # fmt: skip
    for k in range(51):
        ahead = theta + momentum * u
        assert_allclose(stored[k], ahead, atol=1e-15)
        u = momentum * u - lr * curvature * ahead
        theta = theta + u


# --- arrays: never written, never shared, dtype and shape kept ---

STEP_OF = {
    "sgd": partial(sgd_step, lr=0.1),
    "sgd with momentum": partial(sgd_step, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": partial(sgd_step, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": adagrad_step,
    "rmsprop": partial(rmsprop_step, momentum=0.9),
    "centered rmsprop": partial(rmsprop_step, momentum=0.9, centered=True),
    "adam": adam_step,
    "adamw": partial(adam_step, weight_decay=0.1, decoupled=True),
    "adam with l2, amsgrad": partial(adam_step, weight_decay=0.1, amsgrad=True),
}


#: AdaGrad's state is not optional, so every test passes ``None`` where a run begins.
@pytest.fixture(params=list(STEP_OF.values()), ids=list(STEP_OF))
def step(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param  # type: ignore[no-any-return]


def arrays_in(state: Any) -> list[Any]:
    if isinstance(state, tuple):
        return [part for part in state if not isinstance(part, int)]
    return [] if state is None else [state]


def test_nothing_is_written_or_shared(step: Callable[..., Any]) -> None:
    rng = np.random.default_rng(5)
    theta, state = rng.normal(size=(2, 3)), None
    for _ in range(3):
        grad = rng.normal(size=(2, 3))
        given = [theta, grad, *arrays_in(state)]
        before = [array.copy() for array in given]
        for array in given:
            array.flags.writeable = False
        new_theta, new_state = step(theta, grad, state)
        results = [new_theta, *arrays_in(new_state)]
        for array, copy in zip(given, before, strict=True):
            assert_array_equal(array, copy)
            assert not any(np.shares_memory(array, result) for result in results)
        for k, result in enumerate(results):
            assert result.flags.writeable
            assert not any(np.shares_memory(result, other) for other in results[k + 1 :])
        theta, state = new_theta, new_state


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (3,), (2, 1, 3)])
def test_dtype_and_shape_stay(step: Callable[..., Any], dtype: Any, shape: Any) -> None:
    theta, state = np.ones(shape, dtype), None
    for _ in range(3):
        theta, state = step(theta, np.full(shape, 0.5, dtype), state)
        for array in [theta, *arrays_in(state)]:
            assert array.dtype == dtype
            assert array.shape == shape


def test_numpy_hyper_parameters_do_not_widen(step: Callable[..., Any]) -> None:
    theta, _ = step(np.ones(2, np.float32), np.ones(2, np.float32), None, lr=np.float64(0.1))
    assert theta.dtype == np.float32


@pytest.mark.parametrize(
    ("step", "make"),
    [
        (partial(sgd_step, lr=0.1, momentum=0.9), partial(torch.optim.SGD, lr=0.1, momentum=0.9)),
        (partial(adam_step, lr=0.1), partial(torch.optim.Adam, lr=0.1)),
    ],
    ids=["sgd", "adam"],
)
def test_float32_is_torchs_float32(step: Callable[..., Any], make: Callable[..., Any]) -> None:
    grads = np.random.default_rng(6).normal(size=(20, 4)).astype(np.float32)
    start = np.ones(4, np.float32)
    for (theta, _), (expected, _) in zip(
        ours(step, start, grads), torchs(make, start, grads), strict=True
    ):
        assert theta.dtype == expected.dtype == np.float32
        assert_allclose(theta, expected, rtol=1e-5, atol=1e-6)


def test_zero_dimensional_is_a_scalar_of_numpy() -> None:
    theta, velocity = sgd_step(1.0, 2.0, lr=0.5, momentum=0.9)
    assert isinstance(theta, np.float64)
    assert float(theta) == 0.0
    assert velocity is not None
    assert velocity.shape == ()


def test_infinite_gradients_pass_as_in_torch() -> None:
    theta, _ = sgd_step(np.zeros(2), np.array([np.inf, 1.0]), lr=0.1)
    assert_array_equal(theta, [-np.inf, -0.1])


def test_gradient_descent_keeps_no_velocity() -> None:
    assert sgd_step(np.ones(2), np.ones(2), lr=0.1)[1] is None
    assert sgd_step(np.ones(2), np.ones(2), np.ones(2), lr=0.1)[1] is None


@pytest.mark.parametrize("step", [adagrad_step, rmsprop_step, adam_step])
def test_without_eps_a_coordinate_without_gradient_becomes_nan(step: Callable[..., Any]) -> None:
    with np.errstate(invalid="ignore"):
        theta, _ = step(np.ones(2), np.array([0.0, 1.0]), None, eps=0.0)
    assert_array_equal(np.isnan(theta), [True, False])


# --- what is refused, before any work ---


def test_bad_arrays_are_refused(step: Callable[..., Any]) -> None:
    good, nan = np.ones(2), np.array([1, np.nan, np.nan])
    with pytest.raises(ValueError, match=r"^grad has shape \(3,\), theta \(2,\)$"):
        step(good, np.ones(3), None)
    with pytest.raises(ValueError, match=r"^grad has shape \(\), theta \(2,\)$"):
        step(good, 1.0, None)
    with pytest.raises(ValueError, match=r"^grad has 2 NaN values$"):
        step(np.ones(3), nan, None)
    with pytest.raises(ValueError, match=r"^grad has 1 NaN value$"):
        step(np.ones(2), nan[:2], None)
    with pytest.raises(ValueError, match=r"^theta has 2 NaN values$"):
        step(nan, np.ones(3), None)
    with pytest.raises(TypeError, match=r"^theta has dtype int64: use a floating dtype"):
        step(np.ones(2, int), good, None)
    with pytest.raises(TypeError, match=r"^grad has dtype int64: use a floating dtype"):
        step(good, [1, 2], None)
    with pytest.raises(TypeError, match=r"^theta has dtype complex128"):
        step(good + 0j, good, None)
    with pytest.raises(TypeError, match=r"^grad has dtype float32, theta float64$"):
        step(good, good.astype(np.float32), None)


@pytest.mark.parametrize(
    ("step", "state", "name"),
    [
        (partial(sgd_step, lr=1, momentum=0.9), np.ones(3), "velocity"),
        (partial(sgd_step, lr=1), np.ones(3), "velocity"),
        (adagrad_step, np.ones(3), "sum_sq"),
        (rmsprop_step, RMSPropState(np.ones(2), np.ones(3), np.ones(2)), "grad_avg"),
        (adam_step, AdamState(1, np.ones(2), np.ones(3), np.ones(2)), "exp_avg_sq"),
    ],
)
def test_a_foreign_state_is_refused(step: Callable[..., Any], state: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} has shape \(3,\), theta \(2,\)$"):
        step(np.ones(2), np.ones(2), state)


#: For each step, the parameters at least 0 and those in [0, 1).
RANGES: dict[Callable[..., Any], tuple[list[str], list[str]]] = {
    sgd_step: (["lr", "dampening", "weight_decay"], ["momentum"]),
    adagrad_step: (["lr", "eps"], []),
    rmsprop_step: (["lr", "eps"], ["alpha", "momentum"]),
    adam_step: (["lr", "eps", "weight_decay"], ["beta1", "beta2"]),
}
OUTSIDE = [
    (step, name, value, message)
    for step, (sizes, parts) in RANGES.items()
    for names, values in (
        (sizes, [(-0.1, ">= 0, got -0.1"), (math.nan, ">= 0, got nan")]),
        (sizes, [(math.inf, "finite, got inf")]),
        (parts, [(v, rf"in [0, 1), got {v}") for v in (-0.1, 1.0, 1.5, math.nan, math.inf)]),
    )
    for name in names
    for value, message in values
]


@pytest.mark.parametrize(
    ("step", "name", "value", "message"),
    OUTSIDE,
    ids=[f"{step.__name__}-{name}-{value}" for step, name, value, _ in OUTSIDE],
)
def test_hyper_parameters_outside_their_range_are_refused(
    step: Callable[..., Any], name: str, value: float, message: str
) -> None:
    options: dict[str, Any] = {"lr": 0.1, name: value}
    with pytest.raises(ValueError) as raised:
        # The gradient is bad as well: the hyper-parameter is named first, before any work.
        step(np.ones(2), np.ones(3), None, **options)
    assert str(raised.value) == f"{name} must be {message}"


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_and_no_dampening(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Nesterov momentum requires"):
        torch.optim.SGD([torch.zeros(1)], lr=0.1, nesterov=True, **options)
    with pytest.raises(ValueError, match=r"^nesterov requires momentum > 0 and dampening = 0, got"):
        sgd_step(np.ones(2), np.ones(2), lr=0.1, nesterov=True, **options)


# --- trajectory ---


def test_trajectory_follows_every_optimizer(step: Callable[..., Any]) -> None:
    curvature, start = np.array([1.0, 20.0]), np.array([-9.0, 1.5])
    points = trajectory(lambda theta: curvature * theta, start, step, 5)
    theta, state = start, None
    for point in points:
        assert_array_equal(point, theta)
        theta, state = step(theta, curvature * theta, state)
    assert points.shape == (6, 2)


def test_trajectory_stops_before_the_first_value_that_is_not_finite() -> None:
    step = partial(sgd_step, lr=1e100)
    points = trajectory(lambda theta: -theta, np.array([1.0, 0.0]), step, 10)
    assert_array_equal(points, [[1, 0], [1e100, 0], [1e200, 0], [1e300, 0]])
    with np.errstate(divide="ignore"):
        points = trajectory(lambda theta: 1 / theta, np.array([0.0]), step, 10)
    assert_array_equal(points, [[0.0]])
    points = trajectory(lambda theta: theta * np.nan, np.array([1.0]), step, 10)
    assert_array_equal(points, [[1.0]])


@pytest.mark.filterwarnings("error")
def test_trajectory_diverges_without_a_warning() -> None:
    points = trajectory(lambda t: 20 * t, np.array([1.0]), partial(sgd_step, lr=9.0), 1000)
    assert len(points) < 1000
    assert np.isfinite(points).all()


def test_trajectory_protects_its_arrays() -> None:
    def spoil(theta: Any) -> Any:
        grad = theta.copy()
        theta[:] = 99
        return grad

    start = np.ones(2)
    points = trajectory(spoil, start, partial(sgd_step, lr=0.5), 2)
    assert_array_equal(points, [[1, 1], [0.5, 0.5], [0.25, 0.25]])
    points[0] = 7
    assert_array_equal(start, [1, 1])


def test_trajectory_of_nothing() -> None:
    step = partial(sgd_step, lr=0.1)
    assert trajectory(lambda t: t, np.ones(3), step, 0).shape == (1, 3)
    assert trajectory(lambda t: t, np.ones(0), step, 4).shape == (5, 0)
    points = trajectory(lambda t: t, np.ones(3, np.float32), step, 4)
    assert points.dtype == np.float32


def test_trajectory_refuses() -> None:
    step = partial(sgd_step, lr=0.1)

    def never(theta: Any) -> Any:
        raise AssertionError(f"worked on {theta}")

    with pytest.raises(ValueError, match=r"^theta0 must be finite with shape \(D,\)"):
        trajectory(never, 1.0, step, 3)
    with pytest.raises(ValueError, match=r"^theta0 must be finite with shape \(D,\)"):
        trajectory(never, [1.0, np.nan], step, 3)
    with pytest.raises(TypeError, match=r"^theta0 has dtype int64"):
        trajectory(never, [1, 2], step, 3)
    with pytest.raises(ValueError, match=r"^n_steps must be >= 0, got -1$"):
        trajectory(never, [1.0], step, -1)
    with pytest.raises(TypeError, match=r"float"):
        trajectory(never, [1.0], step, 2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^grad has shape \(1,\), theta \(2,\)$"):
        trajectory(lambda theta: theta[:1], [1.0, 2.0], step, 3)
