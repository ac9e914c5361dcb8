"""The drills of chapter 2: other right solutions, and known mistakes in other people's code."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from dlbook import overfitting
from dlbook.drills import drill, grade

NAMES = ("kfold", "stop_step", "dropout_both_ways", "ridge_with_intercept", "ista")


# --- other right solutions ---


def folds_by_dealing(n: Any, k: Any, rng: Any) -> Any:
    """Deal shuffled samples to k hands, one after another."""
    hand = np.argsort(rng.random(n)) % k
    return tuple((np.flatnonzero(hand != i), np.flatnonzero(hand == i)) for i in range(k))


def folds_of_the_chapter(n: Any, k: Any, rng: Any) -> Any:
    return overfitting.kfold(n, k, rng)


def stop_by_class(losses: Any, patience: Any, min_delta: Any) -> Any:
    watch = overfitting.EarlyStopping(patience, min_delta)
    stop = next((i for i, loss in enumerate(losses) if watch.update(loss)), len(losses) - 1)
    return [stop, watch.best_step]


def stop_with_numpy_integers(losses: Any, patience: Any, min_delta: Any) -> Any:
    improved, lowest = [], np.inf
    for step in range(losses.size):
        if lowest - losses[step] > min_delta:
            improved, lowest = [*improved, step], losses[step]
        if step >= improved[-1] + patience:
            break
    return np.int64(step), np.int64(improved[-1])


def dropout_by_choice(x: Any, dout: Any, p: Any, rng: Any, training: Any) -> Any:
    scale = np.ones(len(x))
    if training:
        scale[:] = 0 if p == 1 else 1 / (1 - p)
        scale[rng.binomial(1, p, size=len(x)).astype(bool)] = 0
    return scale * x, scale * dout


def ridge_by_one_column_more(features: Any, target: Any, strength: Any) -> Any:
    """Penalize all columns but one, by lstsq without any centering."""
    n, d = features.shape
    if d >= n and not strength:
        return overfitting.ridge(features, target, strength, fit_intercept=True)
    rows = np.zeros((n + d, d + 1))
    rows[:n, :d], rows[:n, d] = features, 1
    rows[n:, :d] = strength**0.5 * np.identity(d)
    if not strength:
        return overfitting.ridge(features, target, 0, fit_intercept=True)
    out = np.linalg.lstsq(rows, np.r_[target, np.zeros(d)], rcond=None)[0]
    return [out[:d], float(out[d])]


def lasso_by_coordinates(features: Any, target: Any, strength: Any, steps: Any) -> Any:
    return overfitting.lasso(features, target, strength)


def lasso_by_clipping(features: Any, target: Any, strength: Any, steps: Any) -> Any:
    """Write the soft threshold as what clipping leaves."""
    gram = features.T @ features / len(target)
    slope = features.T @ target / len(target)
    rate = 1 / np.linalg.eigvalsh(gram)[-1]
    w = np.zeros(len(slope))
    for _ in range(steps):
        moved = w + rate * (slope - gram @ w)
        w = moved - np.clip(moved, -rate * strength, rate * strength)
    return w


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("kfold", folds_by_dealing),
        ("kfold", folds_of_the_chapter),
        ("stop_step", stop_by_class),
        ("stop_step", stop_with_numpy_integers),
        ("dropout_both_ways", dropout_by_choice),
        ("ridge_with_intercept", ridge_by_one_column_more),
        ("ista", lasso_by_coordinates),
        ("ista", lasso_by_clipping),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report


# --- known mistakes, written by somebody else ---


def parts_of(order: Any, bounds: Any) -> Any:
    vals = [order[a:b] for a, b in bounds]
    return [(np.setdiff1d(order, val), val) for val in vals]


def floor_sizes(count: Any, parts: Any, generator: Any) -> Any:
    order, each = np.argsort(generator.random(count)), int(count / parts)
    return parts_of(order, [(each * i, each * (i + 1)) for i in range(parts)])


def big_last(count: Any, parts: Any, generator: Any) -> Any:
    order, edges = np.argsort(generator.random(count)), [count // parts * i for i in range(parts)]
    return parts_of(order, zip(edges, [*edges[1:], count], strict=True))


def all_in_train(count: Any, parts: Any, generator: Any) -> Any:
    order = np.argsort(generator.random(count))
    return [(np.arange(count), order[i::parts]) for i in range(parts)]


def in_turn(count: Any, parts: Any, generator: Any) -> Any:
    edges = [round(count * i / parts) for i in range(parts + 1)]
    if max(np.diff(edges)) - min(np.diff(edges)) > 1:
        raise AssertionError("not balanced")
    return parts_of(np.arange(count), itertools.pairwise(edges))


def exchanged(count: Any, parts: Any, generator: Any) -> Any:
    order = np.argsort(generator.random(count))
    return [(order[i::parts], np.delete(order, slice(i, None, parts))) for i in range(parts)]


def unseeded(count: Any, parts: Any, generator: Any) -> Any:
    return overfitting.kfold(count, parts, np.random.default_rng())


def watch(curve: Any, wait: Any, gap: Any, better: Any, forget: bool = True) -> Any:
    """Go through a curve, with the rule ``better(value, best, before, gap)``."""
    best, at, bad, before = np.inf, 0, 0, np.inf
    for i, value in enumerate(curve):
        if better(value, best, before, gap):
            best, at = value, i
            if forget:
                bad = 0
        else:
            bad += 1
        before = value
        if bad == wait:
            return i, at
    return i, at


def ends_with_the_last(curve: Any, wait: Any, gap: Any) -> Any:
    end, _ = watch(curve, wait, gap, lambda v, best, before, gap: best - v > gap)
    return end, end


def never_forgets(curve: Any, wait: Any, gap: Any) -> Any:
    return watch(curve, wait, gap, lambda v, best, before, gap: best - v > gap, forget=False)


def generous(curve: Any, wait: Any, gap: Any) -> Any:
    return watch(curve, wait, gap, lambda v, best, before, gap: best - v >= gap)


def without_gap(curve: Any, wait: Any, gap: Any) -> Any:
    return watch(curve, wait, 0, lambda v, best, before, gap: v < best)


def short_memory(curve: Any, wait: Any, gap: Any) -> Any:
    return watch(curve, wait, gap, lambda v, best, before, gap: before - v > gap)


def patient(curve: Any, wait: Any, gap: Any) -> Any:
    return watch(curve, wait + 1, gap, lambda v, best, before, gap: best - v > gap)


def hindsight(curve: Any, wait: Any, gap: Any) -> Any:
    return stop_by_class(curve, wait, gap)[0], sorted(range(len(curve)), key=curve.__getitem__)[0]


def keep(x: Any, p: Any, generator: Any) -> Any:
    return generator.binomial(1, 1 - p, size=x.size)


def plain_mask(v: Any, up: Any, q: Any, generator: Any, learning: Any) -> Any:
    m = keep(v, q, generator) if learning else 1
    return v * m, up * m


def keeping_probability(v: Any, up: Any, q: Any, generator: Any, learning: Any) -> Any:
    if not learning:
        return v + 0, up + 0
    m = generator.binomial(1, q, size=v.size) / max(q, 1e-300)
    return v * m, up * m


def always_on(v: Any, up: Any, q: Any, generator: Any, learning: Any) -> Any:
    return dropout_by_choice(v, up, q, generator, True)


def as_published(v: Any, up: Any, q: Any, generator: Any, learning: Any) -> Any:
    m = keep(v, q, generator) if learning else np.full(v.shape, 1 - q)
    return m * v, m * up


def two_masks(v: Any, up: Any, q: Any, generator: Any, learning: Any) -> Any:
    return (
        dropout_by_choice(v, up, q, generator, learning)[0],
        dropout_by_choice(v, up, q, generator, learning)[1],
    )


def half_scaled(v: Any, up: Any, q: Any, generator: Any, learning: Any) -> Any:
    out, _ = dropout_by_choice(v, up, q, generator, learning)
    return out, np.where(out != 0, up, 0 * up)


def careless_division(v: Any, up: Any, q: Any, generator: Any, learning: Any) -> Any:
    if not learning:
        return v.copy(), up.copy()
    m = keep(v, q, generator) / np.array(1.0 - q)
    return v * m, up * m


def bordered(features: Any, target: Any, strength: Any) -> Any:
    wide = np.hstack([features, np.ones((len(target), 1))])
    fitted = overfitting.ridge(wide, target, strength)
    return fitted[:-1], fitted[-1]


def averaged(features: Any, target: Any, strength: Any) -> Any:
    return overfitting.ridge(features, target, strength * target.size, fit_intercept=True)


def diluted(features: Any, target: Any, strength: Any) -> Any:
    return overfitting.ridge(features, target, strength / target.size, fit_intercept=True)


def rows_without_root(features: Any, target: Any, strength: Any) -> Any:
    return overfitting.ridge(features, target, strength * strength, fit_intercept=True)


def level(features: Any, target: Any, strength: Any) -> Any:
    return ridge_by_one_column_more(features, target, strength)[0], np.mean(target)


def through_zero(features: Any, target: Any, strength: Any) -> Any:
    return overfitting.ridge(features, target, strength), 0.0


def descend(features: Any, target: Any, strength: Any, times: Any, rate: Any, rule: Any) -> Any:
    w = np.zeros(features.shape[1])
    rate = rate or 1 / np.linalg.eigvalsh(features.T @ features / len(target))[-1]
    for _ in range(times):
        w = rule(w, w - rate * (features.T @ (features @ w - target)) / len(target), rate)
    return w


def signs(features: Any, target: Any, strength: Any, times: Any) -> Any:
    return descend(
        features, target, strength, times, None, lambda w, z, rate: z - rate * strength * np.sign(w)
    )


def soft(z: Any, threshold: Any) -> Any:
    return z - np.clip(z, -threshold, threshold)


def thick(features: Any, target: Any, strength: Any, times: Any) -> Any:
    return descend(features, target, strength, times, None, lambda w, z, rate: soft(z, strength))


def unit(features: Any, target: Any, strength: Any, times: Any) -> Any:
    return descend(features, target, strength, times, 1.0, lambda w, z, rate: soft(z, strength))


def summed(features: Any, target: Any, strength: Any, times: Any) -> Any:
    return overfitting.lasso(features, target, strength / target.size)


def cut(features: Any, target: Any, strength: Any, times: Any) -> Any:
    return descend(
        features, target, strength, times, None,
        lambda w, z, rate: z * (np.abs(z) > rate * strength),
    )  # fmt: skip


MISTAKES = [
    ("kfold", floor_sizes, r"ind(ex|ices) [\d, …]+ in no validation fold: n // k .*"),
    ("kfold", big_last, r"the validation folds have sizes from \d+ to \d+: spread the rest .*"),
    ("kfold", all_in_train, r"index \d+ is in training and validation of fold 0: .*"),
    ("kfold", in_turn, "folds are consecutive: sorted labels would leak"),
    ("kfold", exchanged, "train and val are swapped: .*"),
    ("kfold", unseeded, "the same seed gives different folds: draw from rng alone"),
    (
        "stop_step",
        ends_with_the_last,
        r"returned step \d+; the best was step \d+: restore the best weights, not the last",
    ),
    ("stop_step", never_forgets, "the count goes on through an improvement: start it anew"),
    ("stop_step", generous, "a gain of exactly min_delta counts as improvement: .*"),
    ("stop_step", without_gap, "min_delta is ignored: .*"),
    ("stop_step", short_memory, "each loss is compared with the step before: .*"),
    ("stop_step", patient, "one step too late: .*"),
    ("stop_step", hindsight, r"step \d+ is the lowest of the whole run: .*"),
    ("dropout_both_ways", plain_mask, r"the mean over masks is 0?\.\d+ x, not 1\.00 x: .*"),
    (
        "dropout_both_ways",
        keeping_probability,
        r"\d+% of the values are kept, \d+% expected: p is the probability of zeroing, .*",
    ),
    ("dropout_both_ways", always_on, "evaluation drops too: .*"),
    ("dropout_both_ways", as_published, "evaluation multiplies by 1 - p: .*"),
    ("dropout_both_ways", two_masks, "gradient non-zero where the forward was zero: .*"),
    ("dropout_both_ways", half_scaled, r"the gradient lacks 1 / \(1 - p\): .*"),
    ("dropout_both_ways", careless_division, "NaN at p = 1, from 0 / 0: return zeros"),
    (
        "ridge_with_intercept",
        bordered,
        r"predictions change by [\d.]+, not 100, when y is shifted by 100: .*",
    ),
    ("ridge_with_intercept", averaged, "looks like strength · n: .*"),
    ("ridge_with_intercept", diluted, "looks like strength / n: .*"),
    ("ridge_with_intercept", rows_without_root, "looks like strength squared: .*"),
    ("ridge_with_intercept", level, "b is the mean of y: .*"),
    ("ridge_with_intercept", through_zero, "the fit goes through the origin: .*"),
    ("ista", signs, "no exact zeros: a subgradient step jumps over 0, .*"),
    ("ista", thick, r"looks like strength · [\d.]+: the threshold is step · strength, .*"),
    ("ista", unit, r"diverged at iteration \d+: with L = [\d.]+ the step is 1 / L, not 1"),
    ("ista", summed, "looks like strength / n: .*"),
    ("ista", cut, "zeros, but nothing else shrinks: subtract the threshold as well"),
]


@pytest.mark.parametrize(
    ("name", "function", "message"), MISTAKES, ids=[f.__name__ for _, f, _ in MISTAKES]
)
def test_a_mistake_is_named_whoever_wrote_it(name: str, function: Any, message: str) -> None:
    report = grade(name, function)
    assert not report.passed
    assert re.fullmatch(message, report.mistake or ""), report


def test_every_mistake_is_written_a_second_time() -> None:
    for name in NAMES:
        assert sum(entry[0] == name for entry in MISTAKES) == len(drill(name).wrong)


def test_solving_a_singular_system_is_shown_with_its_line() -> None:
    """Its own words say enough, so an exception needs no name."""

    def inverted(features: Any, target: Any, strength: Any) -> Any:
        center, mean = features.mean(axis=0), target.mean()
        gram = (features - center).T @ (features - center)
        gram += strength * np.eye(len(center))
        w = np.linalg.inv(gram) @ (features - center).T @ (target - mean)
        return w, mean - center @ w

    features = np.array([[1.0, 1.0], [-1.0, -1.0]])
    entry = drill("ridge_with_intercept")
    with pytest.raises(np.linalg.LinAlgError):
        inverted(features, np.ones(2), 0.0)
    report = grade("ridge_with_intercept", inverted)
    assert not report.passed
    assert report.failed_case is not None
    assert report.failed_case.inputs["strength"] == 0
    assert entry.reference(features, np.array([1.0, -1.0]), 0.0)[0] == pytest.approx([0.5, 0.5])


# --- the numbers in the messages ---


def test_lost_indices_are_those_of_the_split() -> None:
    def lossy(n: Any, k: Any, rng: Any) -> Any:
        order = np.arange(n - n % k)
        return parts_of(rng.permutation(order), [(n // k * i, n // k * (i + 1)) for i in range(k)])

    entry = drill("kfold")
    inputs: dict[str, Any] = {"n": 100, "k": 7, "seed": 0}
    facts = entry.facts(inputs, entry.call(lossy, inputs))
    assert facts["lost"] == "indices 98, 99 in no validation fold"


def test_step_seven_was_the_best_of_thirteen() -> None:
    losses = np.array([8, 7, 6, 5, 4, 3, 2, 1, 2, 2, 2, 2, 2, 0.0])
    inputs: dict[str, Any] = {"losses": losses, "patience": 5, "min_delta": 0.0}
    got = ends_with_the_last(*inputs.values())
    assert got == (12, 12)
    assert drill("stop_step").facts(inputs, got) == {"returned": "12", "best": "7"}


def test_the_mean_over_masks_is_a_half() -> None:
    entry = drill("dropout_both_ways")
    ones = np.ones(400)
    inputs: dict[str, Any] = {"x": ones, "dout": ones, "p": 0.5, "training": True, "seed": 0}
    got = entry.call(plain_mask, inputs)
    assert float(entry.facts(inputs, got)["mean"]) == pytest.approx(0.5, abs=0.06)


def test_how_far_a_penalized_intercept_follows_a_shift() -> None:
    inputs: dict[str, Any] = {
        "X": np.array([[-1.0], [0.0], [1.0]]),
        "y": np.zeros(3),
        "strength": 1.0,
    }
    assert drill("ridge_with_intercept").facts(inputs, None)["change"] == "75.0"  # 3 / (3 + 1)


def test_the_iteration_at_which_a_step_of_one_diverges() -> None:
    inputs: dict[str, Any] = {
        "X": np.array([[2.0]]), "y": np.array([2.0]), "strength": 0.5, "n_iter": 100,
    }  # fmt: skip
    facts = drill("ista").facts(inputs, None)
    assert facts["L"] == "4"
    w, count = 0.0, 0
    while abs(w) < 1e3:
        w, count = float(soft(np.array(w - (4 * w - 4)), 0.5)), count + 1
    assert facts["left"] == str(count)


# --- what the graders refuse, in words ---


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n, k, rng: [(np.arange(n), np.arange(n))] * (k + 1), r"\d+ folds, not \d+"),
        (lambda n, k, rng: [np.arange(n)] * k, r"a fold is an array .*, not a pair"),
        (lambda n, k, rng: [(np.arange(n), np.arange(n) + 1)] * k, r"index \d+ is outside 0 …"),
        (lambda n, k, rng: [(np.arange(n), [0])] * k, "a part is a list, not an array"),
    ],
)
def test_what_is_no_list_of_folds(answer: Any, said: str) -> None:
    report = grade("kfold", answer)
    assert report.failed_case is not None
    assert re.search(said, report.failed_case.reason)
    assert report.mistake is None


def test_a_mask_that_never_changes_is_found() -> None:
    def fixed(x: Any, dout: Any, p: Any, rng: Any, training: Any) -> Any:
        return dropout_by_choice(x, dout, p, np.random.default_rng(0), training)

    report = grade("dropout_both_ways", fixed)
    assert report.failed_case is not None
    assert re.search("all calls gave the same mask|of the values are kept", str(report))
    assert report.mistake is None


def test_parts_that_are_missing_are_counted() -> None:
    report = grade("stop_step", lambda losses, patience, min_delta: (1, 2, 3))
    assert report.failed_case is not None
    assert report.failed_case.reason == "it returned 3 parts, not the 2 parts stop, best"
    report = grade("ridge_with_intercept", lambda X, y, strength: X)  # noqa: N803
    assert report.failed_case is not None
    assert re.search(r"it returned an array .*, not the 2 parts w, b", report.failed_case.reason)


def test_a_weight_that_is_nearly_zero_is_not_zero() -> None:
    def blurred(features: Any, target: Any, strength: Any, times: Any) -> Any:
        w = overfitting.lasso(features, target, strength)
        return w + 1e-9 * (w == 0)

    report = grade("ista", blurred)
    assert report.failed_case is not None
    assert re.fullmatch(r"w\[\d\] is 1e-09, not exactly 0", report.failed_case.reason)
