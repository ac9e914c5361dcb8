"""The drills of chapter 2: k-fold, early stopping, dropout, ridge with intercept, the lasso.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import compare, parts, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs
from dlbook.overfitting import lasso, soft_threshold

Array = NDArray[np.floating[Any]]
Indices = NDArray[np.integer[Any]]
Folds = list[tuple[Indices, Indices]]
Rng = np.random.Generator


class _Repeated(NamedTuple):
    """Calls in a row with one generator, and once more with another of the same seed."""

    first: list[Any]
    again: list[Any]


class _Verdict(NamedTuple):
    """What is wrong with the calls: each symptom with its words, the first one first."""

    found: dict[str, str]
    shown: Any

    @property
    def reason(self) -> str | None:
        return next(iter(self.found.values()), None)


def _seeded(function: Callable[[Rng], Any], seed: int, count: int) -> _Repeated:
    """Call a function several times with one generator, and all of it twice."""
    first, again = (
        [function(rng) for _ in range(count)]
        for rng in (np.random.default_rng(seed) for _ in range(2))
    )
    return _Repeated(first, again)


# --- kfold ---


def kfold(n: int, k: int, rng: Rng) -> Folds:
    """Split ``n`` samples into ``k`` shuffled folds.

    Parameters
    ----------
    n : int
        At least ``k``.
    k : int
        At least 2.
    rng : numpy.random.Generator
        Draws the order.

    Returns
    -------
    list of (train, val)
        Arrays of int. Each index is validated once; the sizes of ``val`` differ by at most 1.
    """
    order = rng.permutation(n)
    folds = np.array_split(order, k)
    return [(np.concatenate(folds[:i] + folds[i + 1 :]), folds[i]) for i in range(k)]


def _without(order: Indices, val: Indices) -> Indices:
    return order[~np.isin(order, val)]


def _rest_lost(n: int, k: int, rng: Rng) -> Folds:
    order, size = rng.permutation(n), n // k
    vals = [order[i * size : (i + 1) * size] for i in range(k)]
    return [(_without(order, val), val) for val in vals]


def _rest_in_the_last(n: int, k: int, rng: Rng) -> Folds:
    order, size = rng.permutation(n), n // k
    vals = [order[i * size : (i + 1) * size if i < k - 1 else n] for i in range(k)]
    return [(_without(order, val), val) for val in vals]


def _trained_on_everything(n: int, k: int, rng: Rng) -> Folds:
    order = rng.permutation(n)
    return [(order, val) for val in np.array_split(order, k)]


def _folds_in_order(n: int, k: int, rng: Rng) -> Folds:
    order = np.arange(n)
    return [(_without(order, val), val) for val in np.array_split(order, k)]


def _parts_swapped(n: int, k: int, rng: Rng) -> Folds:
    return [(val, train) for train, val in kfold(n, k, rng)]


def _folds_of_own_generator(n: int, k: int, rng: Rng) -> Folds:
    return kfold(n, k, np.random.default_rng())


def _draw_folds(function: Function, inputs: Inputs) -> _Repeated:
    # Few samples often come in the same order by chance: then two calls are not enough.
    count = 2 if inputs["n"] >= 12 else 20
    return _seeded(lambda rng: function(inputs["n"], inputs["k"], rng), inputs["seed"], count)


def _fold_sizes(inputs: Inputs) -> Indices:
    size, rest = divmod(inputs["n"], inputs["k"])
    return np.array([size + 1] * rest + [size] * (inputs["k"] - rest))


def _judge_folds(inputs: Inputs, sizes: Indices, got: _Repeated) -> _Verdict:
    n = inputs["n"]
    for folds in (*got.first, *got.again):
        if reason := _not_folds(folds, inputs["k"]):
            return _Verdict({"form": reason}, folds)
        if reason := _outside(folds, n):
            return _Verdict({"outside": reason}, folds)
    found: dict[str, str] = {}
    for folds in got.first:
        for symptom, words in _bad_folds(n, sizes, folds).items():
            found.setdefault(symptom, words)
    if n > 2:
        found |= _bad_shuffling(got)
    return _Verdict(found, got.first[0])


def _not_folds(folds: Any, k: int) -> str | None:
    if not isinstance(folds, list | tuple):
        return f"it returned {compare.described(folds)}, not a list of (train, val)"
    for fold in folds:
        if not isinstance(fold, list | tuple) or len(fold) != 2:
            return f"a fold is {compare.described(fold)}, not a pair (train, val)"
        for part in fold:
            if not isinstance(part, np.ndarray) or part.ndim != 1:
                return f"a part is {compare.described(part)}, not an array with one axis"
            if part.size and part.dtype.kind not in "iu":
                kind = compare.KINDS.get(part.dtype.kind, "objects")
                return f"a part holds {kind}, not integers"
    return None if len(folds) == k else f"it returned {len(folds)} folds, not {k}"


def _outside(folds: Folds, n: int) -> str | None:
    for part in (part for fold in folds for part in fold):
        if part.size and not 0 <= part.min() <= part.max() < n:
            bad = part.min() if part.min() < 0 else part.max()
            return f"index {bad} is outside 0 … {n - 1}"
    return None


def _bad_folds(n: int, sizes: Indices, folds: Folds) -> dict[str, str]:
    """Return what is wrong with one list of folds."""
    found: dict[str, str] = {}
    for number, (train, val) in enumerate(folds):
        both = np.intersect1d(train, val)
        if both.size:
            words = f"index {both[0]} is in training and validation of fold {number}"
            found.setdefault("overlap", words)
        if np.union1d(train, val).size < n:
            found.setdefault("absent", f"fold {number} lacks samples altogether")
    validated = np.bincount(_joined([val for _, val in folds]), minlength=n)
    if validated.min() == 0:
        found["never validated"] = f"{_some(validated == 0)} in no validation fold"
    if validated.max() > 1:
        found["validated twice"] = f"{_some(validated > 1)} in several validation folds"
    if sorted(len(val) for _, val in folds) != sorted(sizes):
        lengths = [len(val) for _, val in folds]
        found["sizes"] = f"the validation folds have sizes {_range(lengths)}"
    return found


def _bad_shuffling(got: _Repeated) -> dict[str, str]:
    found: dict[str, str] = {}
    orders = [_validation_sets(folds) for folds in got.first]
    if all(order == orders[0] for order in orders):
        found["same"] = "two calls gave the same folds"
        if all(max(val, default=0) - min(val, default=0) < max(len(val), 1) for val in orders[0]):
            found = {"consecutive": "folds are consecutive"} | found
    if orders != [_validation_sets(folds) for folds in got.again]:
        found["not repeatable"] = "the same seed gave other folds"
    return found


def _validation_sets(folds: Folds) -> list[tuple[int, ...]]:
    return [tuple(sorted(int(i) for i in val)) for _, val in folds]


def _joined(arrays: list[Indices]) -> Indices:
    """Join index arrays; ``intp`` is what counting takes, and has 32 bits in a web page."""
    return np.concatenate([np.arange(0), *arrays]).astype(np.intp)


def _some(condition: NDArray[np.bool_]) -> str:
    """Name the indices at which something holds, at most three of them."""
    where = [str(i) for i in np.flatnonzero(condition)]
    listed = ", ".join(where[:3]) + (", …" if len(where) > 3 else "")
    return f"{'index' if len(where) == 1 else 'indices'} {listed}"


def _range(lengths: list[int]) -> str:
    low, high = min(lengths), max(lengths)
    return str(low) if low == high else f"from {low} to {high}"


def _fold_facts(inputs: Inputs, got: _Repeated) -> Mapping[str, str]:
    found = _judge_folds(inputs, _fold_sizes(inputs), got).found
    return {
        "lost": found.get("never validated", ""),
        "overlap": found.get("overlap", ""),
        "sizes": found.get("sizes", ""),
    }


def _display_folds(inputs: Inputs, sizes: Indices, got: _Repeated | None) -> tuple[str, str]:
    lengths = _range([int(size) for size in sizes])
    wanted = f"each index in one of {len(sizes)} validation folds, of size {lengths}, shuffled"
    if got is None:
        return wanted, ""
    folds = _judge_folds(inputs, sizes, got).shown
    if _not_folds(folds, len(folds) if isinstance(folds, list | tuple) else 0):
        return wanted, compare.text(folds)
    lists = [f"{[int(i) for i in train]} | {[int(i) for i in val]}" for train, val in folds]
    return wanted, "\n".join(lists[:6] + ["…"] * (len(lists) > 6))


def _draw_kfold(rng: Rng) -> Inputs:
    # From 12 samples on, two random splits are never alike by chance.
    n = int(rng.integers(12, 31))
    return {"n": n, "k": int(rng.integers(2, 7)), "seed": int(rng.integers(1000))}


def _smaller_kfold(inputs: Inputs) -> Iterator[Inputs]:
    n, k, seed = inputs["n"], inputs["k"], inputs["seed"]
    for fewer, folds in ((n // 2, k), (n, k // 2), (n - 1, k), (n, k - 1), (n - 1, k - 1)):
        if (fewer, folds) != (n, k) and fewer >= folds >= 2:
            yield {"n": fewer, "k": folds, "seed": seed}
    if seed:
        yield dict(inputs) | {"seed": 0}


KFOLD = Drill(
    name="kfold",
    chapter="overfitting",
    level="screening",
    task=(
        "Split the indices 0 … `n - 1` into `k` folds for cross-validation. Return a list of `k` "
        "pairs `(train, val)` of one-dimensional integer arrays. Each index is in exactly one "
        "`val`, and in `train` of all other folds; the sizes of the `val` parts differ by at most "
        "1. `rng` (a `numpy.random.Generator`) shuffles the samples anew at each call."
    ),
    signature="kfold(n, k, rng) -> list of (train, val)",
    hints=(
        "When the samples are sorted by label, what does a fold of consecutive indices hold?",
        "Permute once, then cut the permutation into `k` parts. What becomes of `n % k` samples?",
        "`np.array_split(rng.permutation(n), k)` makes parts whose sizes differ by at most 1. Each "
        "in turn is `val`; `np.concatenate` of the others is `train`.",
    ),
    reference=kfold,
    wrong={
        "{lost}: n // k samples a fold lose the rest": _rest_lost,
        "{sizes}: spread the rest over the folds, one each": _rest_in_the_last,
        "{overlap}: the model has seen what it is tested on": _trained_on_everything,
        "folds are consecutive: sorted labels would leak": _folds_in_order,
        "train and val are swapped: a fold validates on one part and trains on the "
        "others": _parts_swapped,
        "the same seed gives different folds: draw from rng alone": _folds_of_own_generator,
    },
    draw=_draw_kfold,
    smaller=_smaller_kfold,
    cases=storage.path("kfold"),
    follow_up=FollowUp(
        "Several samples come from each patient. What has to change?",
        "Split patients, not samples: all samples of one patient go into the same fold "
        "(grouped k-fold). Otherwise the model is tested on people whom it knows.",
    ),
    call=_draw_folds,
    setting="rng = np.random.default_rng(seed), for several calls one after another",
    answer=_fold_sizes,
    check=lambda inputs, sizes, got: _judge_folds(inputs, sizes, got).reason,
    agree=lambda inputs, one, other: (
        _judge_folds(inputs, _fold_sizes(inputs), one).found.keys()
        == _judge_folds(inputs, _fold_sizes(inputs), other).found.keys()
    ),
    facts=_fold_facts,
    display=_display_folds,
)


# --- stop_step ---


def stop_step(losses: Array, patience: int, min_delta: float) -> tuple[int, int]:
    """Return where early stopping ends a run, and the step whose weights to restore.

    Parameters
    ----------
    losses : array of float64, shape (T,)
        The validation loss of each step.
    patience : int
        At least 1.
    min_delta : float
        At least 0.

    Returns
    -------
    stop, best : int
        The first step at which ``patience`` steps in a row were no improvement, else the last
        step; and the last step that improved on the best so far by more than ``min_delta``.
    """
    lowest, best = math.inf, 0
    for step, loss in enumerate(losses):
        if loss < lowest - min_delta:
            lowest, best = loss, step
        elif step - best >= patience:
            return step, best
    return len(losses) - 1, best


def _stopped(
    improves: Callable[[float, float, float], bool],
    losses: Array,
    patience: int,
    min_delta: float,
    *,
    reset: bool = True,
    previous: bool = False,
    late: int = 0,
) -> tuple[int, int]:
    lowest, best, waited = math.inf, 0, 0
    for step, loss in enumerate(losses):
        if improves(loss, lowest, min_delta):
            best, waited = step, 0 if reset else waited
        else:
            waited += 1
            if waited >= patience + late:
                return step, best
        if previous or best == step:
            lowest = loss
    return len(losses) - 1, best


def _by_more(loss: float, lowest: float, min_delta: float) -> bool:
    return loss < lowest - min_delta


def _by_as_much(loss: float, lowest: float, min_delta: float) -> bool:
    return loss <= lowest - min_delta


def _any_gain(loss: float, lowest: float, min_delta: float) -> bool:
    return loss < lowest


def _last_weights(losses: Array, patience: int, min_delta: float) -> tuple[int, int]:
    stop, _ = stop_step(losses, patience, min_delta)
    return stop, stop


def _overall_minimum(losses: Array, patience: int, min_delta: float) -> tuple[int, int]:
    stop, _ = stop_step(losses, patience, min_delta)
    return stop, int(np.argmin(losses))


_STOP = ("stop", "best")


def _stop_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    _, best = stop_step(**inputs)
    returned = got[1] if isinstance(got, tuple | list) and len(got) == 2 else "?"
    return {"returned": str(returned), "best": str(best)}


def _draw_stop(rng: Rng) -> Inputs:
    # Eighths, so that differences are exact and some equal min_delta.
    steps = int(rng.integers(6, 16))
    fall = np.cumsum(rng.choice([-2, -1, 0, 1, 2], size=steps, p=[0.25, 0.3, 0.15, 0.2, 0.1]))
    return {
        "losses": (fall - fall.min() + int(rng.integers(1, 5))) / 8,
        "patience": int(rng.integers(1, 5)),
        "min_delta": float(rng.choice([0.0, 0.125, 0.25])),
    }


def _smaller_stop(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, losses=0)
    if inputs["patience"] > 1:
        yield dict(inputs) | {"patience": inputs["patience"] - 1}
    yield from shrink.plainer(inputs, "min_delta", 0.0)
    yield from shrink.plainer(inputs, "losses", 1.0, 2.0, 0.5)


STOP_STEP = Drill(
    name="stop_step",
    chapter="overfitting",
    level="screening",
    task=(
        "`losses` `(T,)` holds the validation loss after each step, counted from 0. A step is an "
        "improvement if its loss is lower than the best so far by more than `min_delta`; the first "
        "step always is. Training ends at the first step at which `patience` steps in a row were "
        "no improvement, else at the last one. Return two integers: the step at which it ends, "
        "and the step of the last improvement, whose weights are to be restored."
    ),
    signature="stop_step(losses, patience, min_delta) -> (stop, best)",
    hints=(
        "What has to be remembered from step to step? Two things are enough.",
        "Remember the lowest loss that counted and its step. What the present step is compared "
        "with is that loss, not the one of the step before.",
        "If `loss < lowest - min_delta`, note loss and step. Otherwise it is time to stop once "
        "`step - best >= patience`.",
    ),
    reference=stop_step,
    wrong={
        "returned step {returned}; the best was step {best}: restore the best weights, not the "
        "last": _last_weights,
        "the count goes on through an improvement: start it anew": partial(
            _stopped, _by_more, reset=False
        ),
        "a gain of exactly min_delta counts as improvement: it has to be more": partial(
            _stopped, _by_as_much
        ),
        "min_delta is ignored: a smaller gain is no improvement": partial(_stopped, _any_gain),
        "each loss is compared with the step before: compare with the best so far": partial(
            _stopped, _by_more, previous=True
        ),
        "one step too late: stop at the step that makes patience steps": partial(
            _stopped, _by_more, late=1
        ),
        "step {returned} is the lowest of the whole run: training may have ended before it, or "
        "it gained too little": _overall_minimum,
    },
    draw=_draw_stop,
    smaller=_smaller_stop,
    cases=storage.path("stop_step"),
    follow_up=FollowUp(
        "You report the validation loss of the best step. Is it an honest estimate?",
        "No. It is the minimum of many noisy values, so it is too low, and the step was chosen by "
        "it. Report the loss on a test set that played no part.",
    ),
    check=partial(parts.difference, _STOP),
    agree=lambda inputs, one, other: parts.same(one, other),
    facts=_stop_facts,
    display=lambda inputs, expected, got: parts.display(_STOP, expected, got),
)


# --- dropout_both_ways ---


def dropout_both_ways(
    x: Array, dout: Array, p: float, rng: Rng, training: bool
) -> tuple[Array, Array]:
    """Apply inverted dropout, and send a gradient back through it.

    Parameters
    ----------
    x, dout : array of float64, shape (D,)
        The input, and the gradient of the loss with respect to the output.
    p : float
        The probability of zeroing, in [0, 1].
    rng : numpy.random.Generator
        Draws the mask.
    training : bool
        In evaluation nothing is dropped.

    Returns
    -------
    out, dx : array of float64, shape (D,)
        The output, and the gradient with respect to the input.
    """
    if not training:
        return x.copy(), dout.copy()
    if p == 1:
        return np.zeros_like(x), np.zeros_like(x)
    factor = (rng.random(x.shape) >= p) / (1 - p)
    return x * factor, dout * factor


def _kept(x: Array, p: float, rng: Rng) -> Any:
    return rng.random(x.shape) >= p


def _never_scaled(x: Array, dout: Array, p: float, rng: Rng, training: bool) -> tuple[Array, Array]:
    mask = _kept(x, p, rng) if training else np.ones(x.shape)
    return x * mask, dout * mask


def _keeps_with_p(x: Array, dout: Array, p: float, rng: Rng, training: bool) -> tuple[Array, Array]:
    return dropout_both_ways(x, dout, 1 - p, rng, training)


def _drops_in_evaluation(
    x: Array, dout: Array, p: float, rng: Rng, training: bool
) -> tuple[Array, Array]:
    return dropout_both_ways(x, dout, p, rng, training=True)


def _scaled_in_evaluation(
    x: Array, dout: Array, p: float, rng: Rng, training: bool
) -> tuple[Array, Array]:
    factor = _kept(x, p, rng) if training else 1 - p
    return x * factor, dout * factor


def _mask_drawn_again(
    x: Array, dout: Array, p: float, rng: Rng, training: bool
) -> tuple[Array, Array]:
    out, _ = dropout_both_ways(x, dout, p, rng, training)
    _, dx = dropout_both_ways(x, dout, p, rng, training)
    return out, dx


def _gradient_unscaled(
    x: Array, dout: Array, p: float, rng: Rng, training: bool
) -> tuple[Array, Array]:
    out, dx = dropout_both_ways(x, dout, p, rng, training)
    return out, dx * (1 - p) if training else dx


def _zero_by_zero(x: Array, dout: Array, p: float, rng: Rng, training: bool) -> tuple[Array, Array]:
    factor = _kept(x, p, rng) / np.float64(1 - p) if training else 1.0
    return x * factor, dout * factor


def _call_dropout(function: Function, inputs: Inputs) -> _Repeated:
    x, dout, p, training = (inputs[name] for name in ("x", "dout", "p", "training"))
    # Enough values that the share of zeros tells p from 1 - p.
    count = -(-400 // len(x))
    return _seeded(
        lambda rng: function(x.copy(), dout.copy(), p, rng, training), inputs["seed"], count
    )


def _kept_shares(inputs: Inputs) -> Array:
    """Return what a mask multiplies a kept value by, and the share of values that it keeps."""
    p = inputs["p"]
    if not inputs["training"]:
        return np.array([1.0, 1.0])
    return np.array([0.0 if p == 1 else 1 / (1 - p), 1 - p])


def _judge_dropout(inputs: Inputs, got: _Repeated) -> _Verdict:
    x = inputs["x"]
    for call in (*got.first, *got.again):
        if reason := parts.difference(("out", "dx"), inputs, (x, x), call, atol=np.inf):
            return _Verdict({"NaN" if "NaN" in reason else "form": reason}, call)
    out, dx = (np.array([call[part] for call in got.first]) for part in (0, 1))
    judge = _bad_training if inputs["training"] else _bad_evaluation
    found = judge(inputs, out, dx)
    seen = [[(call[0] != 0).tolist() for call in calls] for calls in got]
    if seen[0] != seen[1]:
        found["not repeatable"] = "the same seed gave other masks"
    return _Verdict(found, got.first[0])


def _bad_evaluation(inputs: Inputs, out: Array, dx: Array) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, got, right in (("out", out, inputs["x"]), ("dx", dx, inputs["dout"])):
        if not np.allclose(got, right):
            dropped = bool(np.any((got == 0) & (right != 0)))
            scaled = np.allclose(got, right * (1 - inputs["p"]))
            kind = "scaled" if scaled else "dropped" if dropped else "other"
            found[f"{name} {kind} in evaluation"] = f"in evaluation {name} is not what came in"
    return found


def _bad_training(inputs: Inputs, out: Array, dx: Array) -> dict[str, str]:
    x, dout, p = inputs["x"], inputs["dout"], inputs["p"]
    factor, share = _kept_shares(inputs)
    known = x != 0
    kept = out[:, known] != 0
    found: dict[str, str] = {}
    if not np.allclose(out, np.where(out != 0, x * factor, 0)):
        kind = "unscaled" if np.allclose(out, np.where(out != 0, x, 0)) else "other"
        found[f"values {kind}"] = f"a kept value is not x / (1 - p) = {factor:.4g} x"
    spread = 6 * math.sqrt(p * (1 - p) * kept.size) + 1e-9
    if abs(kept.sum() - share * kept.size) > spread:
        found["share"] = f"{kept.mean():.0%} of the values are kept, {share:.0%} expected"
    if len(kept) > 1 and 0.05 < p < 0.95 and (kept == kept[0]).all():
        found["same mask"] = "all calls gave the same mask"
    mine, right = dx[:, known], dout[known]
    if np.any((mine != 0) & ~kept):
        found["gradient where dropped"] = "the gradient is not 0 where the output is"
    elif not np.allclose(mine, np.where(kept, right * factor, 0)):
        kind = "unscaled" if np.allclose(mine, np.where(kept, right, 0)) else "other"
        found[f"gradient {kind}"] = "the gradient differs where the value was kept"
    return found


def _same_dropout(inputs: Inputs, one: _Repeated, other: _Repeated) -> bool:
    return _judge_dropout(inputs, one).found.keys() == _judge_dropout(inputs, other).found.keys()


def _dropout_facts(inputs: Inputs, got: _Repeated) -> Mapping[str, str]:
    out = np.array([np.asarray(call[0], dtype=float) for call in got.first])
    known = inputs["x"] != 0
    ratio = out[:, known] / inputs["x"][known]
    return {
        "mean": f"{ratio.mean():.2f}",
        "kept": f"{(ratio != 0).mean():.0%}",
        "share": f"{_kept_shares(inputs)[1]:.0%}",
    }


def _display_dropout(inputs: Inputs, expected: Array, got: _Repeated | None) -> tuple[str, str]:
    factor, share = expected
    wanted = "out = x and dx = dout"
    if inputs["training"]:
        wanted = (
            f"{share:.0%} of the values kept; out = {factor:.4g} x and dx = {factor:.4g} dout "
            "there, both 0 elsewhere"
        )
    if got is None:
        return wanted, ""
    call = _judge_dropout(inputs, got).shown
    return wanted, parts.display(("out", "dx"), (inputs["x"], inputs["x"]), call)[1]


def _draw_dropout(rng: Rng) -> Inputs:
    size = int(rng.integers(20, 41))
    values = rng.uniform(0.5, 2, size=(2, size)) * rng.choice([-1.0, 1.0], size=(2, size))
    return {
        "x": values[0],
        "dout": values[1],
        "p": float(rng.choice([0.1, 0.2, 0.3, 0.5, 0.8])),
        "training": bool(rng.random() < 0.75),
        "seed": int(rng.integers(1000)),
    }


def _smaller_dropout(inputs: Inputs) -> Iterator[Inputs]:
    size = len(inputs["x"])
    for part in (slice(size // 2), slice(size - 1)):
        if 1 <= len(inputs["x"][part]) < size:
            yield dict(inputs) | {name: inputs[name][part] for name in ("x", "dout")}
    if inputs["seed"]:
        yield dict(inputs) | {"seed": 0}
    yield from shrink.plainer(inputs, "p", 0.5, 0.2)
    for name in ("x", "dout"):
        yield from shrink.plainer(inputs, name, 1.0)


DROPOUT_BOTH_WAYS = Drill(
    name="dropout_both_ways",
    chapter="overfitting",
    level="core",
    task=(
        "Write inverted dropout, forward and backward. `x` `(D,)` is the input and `dout` `(D,)` "
        "the gradient of the loss with respect to the output. `p` is the probability of *zeroing*, "
        "from 0 to 1, and `rng` (a `numpy.random.Generator`) draws a mask anew at each call. "
        "Return the output and the gradient with respect to `x`, both new arrays `(D,)`. With "
        "`training=False` nothing is dropped. `p = 1` drops everything and must not give NaN."
    ),
    signature="dropout_both_ways(x, dout, p, rng, training) -> (out, dx)",
    hints=(
        "The mean of the output over masks should be `x`. What must a kept value be multiplied by?",
        "For a fixed mask the layer multiplies each value by a number. What is then its gradient?",
        "`factor = (rng.random(x.shape) >= p) / (1 - p)` is 0 with probability `p`; multiply both "
        "`x` and `dout` by it. At `p = 1` it is 0 / 0, so return zeros before.",
    ),
    reference=dropout_both_ways,
    wrong={
        "the mean over masks is {mean} x, not 1.00 x: divide what is kept by 1 - p": _never_scaled,
        "{kept} of the values are kept, {share} expected: p is the probability of zeroing, as in "
        "torch": _keeps_with_p,
        "evaluation drops too: return x and dout as they are": _drops_in_evaluation,
        "evaluation multiplies by 1 - p: with inverted dropout training divides, and evaluation "
        "does nothing": _scaled_in_evaluation,
        "gradient non-zero where the forward was zero: use the same mask both "
        "ways": _mask_drawn_again,
        "the gradient lacks 1 / (1 - p): it passes through the same factor": _gradient_unscaled,
        "NaN at p = 1, from 0 / 0: return zeros": _zero_by_zero,
    },
    draw=_draw_dropout,
    smaller=_smaller_dropout,
    cases=storage.path("dropout_both_ways"),
    follow_up=FollowUp(
        "The mean over masks is right. Is the variance too?",
        "No. Training adds `p / (1 - p) * x**2` to it, which evaluation lacks. A batch norm after "
        "the dropout stores the larger variance and is off in evaluation.",
    ),
    call=_call_dropout,
    setting="rng = np.random.default_rng(seed), for several calls one after another",
    answer=_kept_shares,
    check=lambda inputs, expected, got: _judge_dropout(inputs, got).reason,
    agree=_same_dropout,
    facts=_dropout_facts,
    display=_display_dropout,
)


# --- ridge_with_intercept ---


def ridge_with_intercept(
    X: Array,  # noqa: N803
    y: Array,
    strength: float,
) -> tuple[Array, float]:
    """Minimize half the squared error plus half the strength times the squared weights.

    Parameters
    ----------
    X : array of float64, shape (n, d)
    y : array of float64, shape (n,)
    strength : float
        At least 0. With 0, the solution of the smallest norm.

    Returns
    -------
    w : array of float64, shape (d,)
    b : float
        The intercept, not penalized.
    """
    center, mean = X.mean(axis=0), y.mean()
    d = X.shape[1]
    rows = np.vstack([X - center, np.sqrt(strength) * np.eye(d)])
    w = np.linalg.lstsq(rows, np.append(y - mean, np.zeros(d)), rcond=None)[0]
    return w, mean - center @ w


def _solved(features: Array, target: Array, strength: float) -> Any:
    gram = features.T @ features + strength * np.eye(features.shape[1])
    return np.linalg.pinv(gram, rcond=1e-12, hermitian=True) @ (features.T @ target)


def _intercept_penalized(X: Array, y: Array, strength: float) -> tuple[Array, float]:  # noqa: N803
    w = _solved(np.column_stack([X, np.ones(len(X))]), y, strength)
    return w[:-1], w[-1]


def _mean_for_sum(X: Array, y: Array, strength: float) -> tuple[Array, float]:  # noqa: N803
    return ridge_with_intercept(X, y, strength * len(y))


def _divided_by_n(X: Array, y: Array, strength: float) -> tuple[Array, float]:  # noqa: N803
    return ridge_with_intercept(X, y, strength / len(y))


def _strength_squared(X: Array, y: Array, strength: float) -> tuple[Array, float]:  # noqa: N803
    return ridge_with_intercept(X, y, strength**2)


def _intercept_is_the_mean(X: Array, y: Array, strength: float) -> tuple[Array, float]:  # noqa: N803
    w, _ = ridge_with_intercept(X, y, strength)
    return w, y.mean()


def _no_intercept(X: Array, y: Array, strength: float) -> tuple[Array, float]:  # noqa: N803
    return _solved(X, y, strength), 0.0


_RIDGE = ("w", "b")
_RIDGE_RTOL, _RIDGE_ATOL = 1e-6, 1e-8


def _ridge_answer(inputs: Inputs) -> Array:
    w, b = ridge_with_intercept(**inputs)
    return np.append(w, b)


def _shift_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    X, y, strength = inputs["X"], inputs["y"], inputs["strength"]  # noqa: N806
    moved = _intercept_penalized(X, y + 100, strength)
    stayed = _intercept_penalized(X, y, strength)
    change = float(np.mean(X @ (moved[0] - stayed[0])) + moved[1] - stayed[1])
    return {"change": f"{change:.1f}", "n": str(len(y))}


def _draw_ridge(rng: Rng) -> Inputs:
    n, d = int(rng.integers(4, 9)), int(rng.integers(1, 4))
    inputs: Inputs = {
        "X": rng.normal(size=(n, d)) + rng.uniform(-2, 2, size=d),
        "y": rng.normal(size=n) + rng.uniform(-5, 5),
        "strength": float(rng.choice([0.0, 0.1, 0.5, 2.0, 10.0], p=[0.1, 0.2, 0.3, 0.2, 0.2])),
    }
    return inputs if _determined(inputs) else _draw_ridge(rng)


def _determined(inputs: Inputs) -> bool:
    """Tell whether no direction is left open, whatever a solver does about it."""
    centered = inputs["X"] - inputs["X"].mean(axis=0)
    gram = centered.T @ centered + inputs["strength"] * np.eye(centered.shape[1])
    eigenvalues = np.linalg.eigvalsh(gram)
    return bool(eigenvalues[0] > 1e-4 * max(1.0, eigenvalues[-1]))


def _smaller_ridge(inputs: Inputs) -> Iterator[Inputs]:
    for smaller in _simpler_data(inputs):
        if _determined(smaller) and len(smaller["y"]) > 1:
            yield smaller


def _simpler_data(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, X=0, y=0)
    yield from shrink.dropped(inputs, X=1)
    yield from shrink.plainer(inputs, "strength", 0.5, 2.0)
    yield from shrink.plainer(inputs, "y", 0.0, 1.0)
    yield from shrink.plainer(inputs, "X", 0.0, 1.0)


RIDGE_WITH_INTERCEPT = Drill(
    name="ridge_with_intercept",
    chapter="overfitting",
    level="core",
    task=(
        "Fit `X @ w + b` to `y` by ridge regression: minimize half the *sum* of squared errors "
        "plus `strength / 2` times the squared norm of `w`. The intercept `b` is not penalized. "
        "`X` has shape `(n, d)`, `y` `(n,)`. Return `w` `(d,)` and the number `b`. With "
        "`strength` 0 and more columns than samples, return the `w` of the smallest norm. Leave "
        "the arguments as they are."
    ),
    signature="ridge_with_intercept(X, y, strength) -> (w, b)",
    hints=(
        "For a given `w`, which `b` is best? Put it into the objective: what has happened to the "
        "data?",
        "Center the columns of `X`, and `y`; fit without an intercept; then "
        "`b = y.mean() - X.mean(axis=0) @ w`.",
        "Ridge is least squares with `d` further rows, `np.sqrt(strength) * np.eye(d)` with "
        "targets 0. `np.linalg.lstsq` copes with a singular matrix, `inv` and `solve` do not.",
    ),
    reference=ridge_with_intercept,
    wrong={
        "predictions change by {change}, not 100, when y is shifted by 100: do not penalize the "
        "intercept": _intercept_penalized,
        "looks like strength · n: the squared errors are summed, not averaged": _mean_for_sum,
        "looks like strength / n: the squared errors are summed, not averaged": _divided_by_n,
        "looks like strength squared: the extra rows are sqrt(strength)": _strength_squared,
        "b is the mean of y: right only if the columns of X have mean 0": _intercept_is_the_mean,
        "the fit goes through the origin: center X and y first": _no_intercept,
    },
    draw=_draw_ridge,
    smaller=_smaller_ridge,
    cases=storage.path("ridge_with_intercept"),
    follow_up=FollowUp(
        "A column is measured in meters, then in millimeters. Do the predictions change?",
        "Yes, with any strength above 0: its weight becomes a thousand times smaller and so almost "
        "free of penalty. Least squares would not change. So standardize the columns first.",
    ),
    check=partial(parts.difference, _RIDGE, rtol=_RIDGE_RTOL, atol=_RIDGE_ATOL),
    agree=lambda inputs, one, other: parts.same(one, other, rtol=_RIDGE_RTOL, atol=_RIDGE_ATOL),
    answer=_ridge_answer,
    facts=_shift_facts,
    display=lambda inputs, expected, got: parts.display(_RIDGE, expected, got),
)


# --- ista ---


def ista(X: Array, y: Array, strength: float, n_iter: int) -> Array:  # noqa: N803
    """Minimize the lasso's objective by proximal gradient steps.

    Parameters
    ----------
    X : array of float64, shape (n, d)
    y : array of float64, shape (n,)
    strength : float
        At least 0; the squared error is divided by ``2 n``.
    n_iter : int
        The number of steps.

    Returns
    -------
    array of float64, shape (d,)
    """
    n, d = X.shape
    step = n / np.linalg.norm(X, ord=2) ** 2
    w = np.zeros(d)
    for _ in range(n_iter):
        z = w - step * X.T @ (X @ w - y) / n
        w = np.sign(z) * np.maximum(np.abs(z) - step * strength, 0)
    return w


def _proximal(
    move: Callable[[Array, Array, float, float], Array],
    X: Array,  # noqa: N803
    y: Array,
    strength: float,
    n_iter: int,
    *,
    unit_step: bool = False,
) -> Array:
    """Repeat ``w = move(w, gradient, step, strength)`` from zero."""
    n, d = X.shape
    step = 1.0 if unit_step else float(n / np.linalg.norm(X, ord=2) ** 2)
    w: Array = np.zeros(d)
    for _ in range(n_iter):
        w = move(w, X.T @ (X @ w - y) / n, step, strength)
    return w


def _shrunk(w: Array, gradient: Array, step: float, strength: float) -> Array:
    z = w - step * gradient
    return np.sign(z) * np.maximum(np.abs(z) - step * strength, 0)


def _subgradient(w: Array, gradient: Array, step: float, strength: float) -> Array:
    return np.asarray(w - step * (gradient + strength * np.sign(w)))


def _whole_threshold(w: Array, gradient: Array, step: float, strength: float) -> Array:
    return soft_threshold(w - step * gradient, strength)


def _hard(w: Array, gradient: Array, step: float, strength: float) -> Array:
    z = w - step * gradient
    return np.where(np.abs(z) > step * strength, z, 0.0)


def _sum_for_mean(X: Array, y: Array, strength: float, n_iter: int) -> Array:  # noqa: N803
    return ista(X, y, strength / len(y), n_iter)


def _lasso_answer(inputs: Inputs) -> Array:
    return lasso(inputs["X"], inputs["y"], inputs["strength"], tol=1e-13)


_LASSO_RTOL, _LASSO_ATOL = 1e-5, 1e-6


def _check_lasso(inputs: Inputs, expected: Array, got: Any) -> str | None:
    reason = compare.difference(inputs, expected, got, rtol=_LASSO_RTOL, atol=_LASSO_ATOL)
    if reason:
        return reason
    blurred = np.flatnonzero((expected == 0) & (got != 0))
    return f"w[{blurred[0]}] is {got[blurred[0]]:.2g}, not exactly 0" if blurred.size else None


def _same_lasso(inputs: Inputs, one: Any, other: Any) -> bool:
    if _diverged(one) or _diverged(other):
        return _diverged(one) and _diverged(other)
    if compare.same(one, other, rtol=_LASSO_RTOL, atol=_LASSO_ATOL):
        return True
    return _trembles(inputs, one) and _trembles(inputs, other)


def _diverged(answer: Any) -> bool:
    return isinstance(answer, np.ndarray) and not bool(np.all(np.abs(answer) < 1e6))


def _trembles(inputs: Inputs, answer: Any) -> bool:
    """Tell whether an answer is close to the right one without an exact zero."""
    right = _lasso_answer(inputs)
    if not isinstance(answer, np.ndarray) or answer.shape != right.shape or (answer == 0).any():
        return False
    step = len(inputs["y"]) / np.linalg.norm(inputs["X"], ord=2) ** 2
    return bool(np.abs(answer - right).max() <= 4 * step * inputs["strength"])


def _lasso_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    X, y = inputs["X"], inputs["y"]  # noqa: N806
    lipschitz = float(np.linalg.norm(X, ord=2) ** 2 / len(y))
    w, left = np.zeros(X.shape[1]), 0
    while left < 1000 and np.abs(w).max() < 1e3:
        w = _shrunk(w, X.T @ (X @ w - y) / len(y), 1.0, inputs["strength"])
        left += 1
    return {"times": f"{lipschitz:.3g}", "left": str(left), "L": f"{lipschitz:.3g}"}


def _draw_lasso(rng: Rng) -> Inputs:
    n, d = int(rng.integers(4, 9)), int(rng.integers(2, 5))
    u, _, vt = np.linalg.svd(rng.normal(size=(n, d)), full_matrices=False)
    # A narrow range of curvatures, so that 100 steps settle; L between 0.3 and 12.
    s = rng.uniform(1, 2, size=len(vt)) * math.sqrt(n * rng.choice([0.3, 1.0, 3.0]))
    X = (u * s) @ vt  # noqa: N806
    truth = rng.normal(size=d) * (rng.random(d) < 0.6) * 2
    y = X @ truth + 0.3 * rng.normal(size=n)
    largest = float(np.abs(X.T @ y).max() / n)
    inputs: Inputs = {
        "X": X,
        "y": y,
        "strength": largest * float(rng.choice([0.1, 0.3, 0.6])),
        "n_iter": 100,
    }
    return inputs if _settles(inputs) else _draw_lasso(rng)


def _settles(inputs: Inputs) -> bool:
    """Tell whether proximal steps have arrived, and no weight is close to becoming zero."""
    X, y, strength = inputs["X"], inputs["y"], inputs["strength"]  # noqa: N806
    s = np.linalg.svd(X, compute_uv=False)
    if len(y) < X.shape[1] or s[0] == 0 or s[-1] < 0.45 * s[0]:
        return False
    w = _lasso_answer(inputs)
    slack = strength - np.abs(X.T @ (X @ w - y)) / len(y)
    kept = w != 0
    return bool(np.all(slack[~kept] > 0.02 * strength) and np.all(np.abs(w[kept]) > 1e-3))


def _smaller_lasso(inputs: Inputs) -> Iterator[Inputs]:
    for smaller in _simpler_lasso(inputs):
        if _settles(smaller):
            yield smaller


def _simpler_lasso(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, X=0, y=0)
    yield from shrink.dropped(inputs, X=1)
    yield from shrink.plainer(inputs, "strength", 0.5, 0.1)
    yield from shrink.plainer(inputs, "y", 0.0, 1.0)
    yield from shrink.plainer(inputs, "X", 0.0, 1.0, 2.0)


ISTA = Drill(
    name="ista",
    chapter="overfitting",
    level="senior",
    task=(
        "Solve the lasso by proximal gradient descent: minimize the squared error divided by "
        "`2 n`, plus `strength` times the sum of `abs(w)`. `X` has shape `(n, d)`, `y` `(n,)`. "
        "Start at zero and take `n_iter` steps of length `1 / L`, with `L` the largest eigenvalue "
        "of `X.T @ X / n`; that is enough to arrive. Return `w` `(d,)`; weights that vanish have "
        "to be exactly 0. Leave the arguments as they are."
    ),
    signature="ista(X, y, strength, n_iter) -> array (d,)",
    hints=(
        "Split the objective: a smooth part that has a gradient, and `abs`, which has none at 0. "
        "Which of the two can you minimize exactly?",
        "Take a gradient step on the squared error alone, then apply the soft threshold: subtract "
        "a constant from each `abs`, and set to 0 what would change its sign.",
        "With `step = n / np.linalg.norm(X, ord=2) ** 2`: `z = w - step * X.T @ (X @ w - y) / n`, "
        "then `w = np.sign(z) * np.maximum(np.abs(z) - step * strength, 0)`.",
    ),
    reference=ista,
    wrong={
        "no exact zeros: a subgradient step jumps over 0, so shrink by the soft threshold": partial(
            _proximal, _subgradient
        ),
        "looks like strength · {times}: the threshold is step · strength, not strength": partial(
            _proximal, _whole_threshold
        ),
        "diverged at iteration {left}: with L = {L} the step is 1 / L, not 1": partial(
            _proximal, _shrunk, unit_step=True
        ),
        "looks like strength / n: the squared error is divided by n, its gradient "
        "too": _sum_for_mean,
        "zeros, but nothing else shrinks: subtract the threshold as well": partial(
            _proximal, _hard
        ),
    },
    draw=_draw_lasso,
    smaller=_smaller_lasso,
    cases=storage.path("ista"),
    follow_up=FollowUp(
        "From which strength on is every weight zero?",
        "From `max(abs(X.T @ y)) / n` on: at `w = 0` that is the steepest slope of the squared "
        "error, and the penalty is steeper.",
    ),
    answer=_lasso_answer,
    check=_check_lasso,
    agree=_same_lasso,
    facts=_lasso_facts,
)

DRILLS = (KFOLD, STOP_STEP, DROPOUT_BOTH_WAYS, RIDGE_WITH_INTERCEPT, ISTA)
