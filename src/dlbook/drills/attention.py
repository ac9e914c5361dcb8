"""The drills of chapter 10: a mask, attention, heads, decoding with a cache, online softmax.

Each drill is its reference, its typical wrong solutions, and its record. The names with a leading
underscore are wrong on purpose, or make cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbook.drills import compare, shrink, storage
from dlbook.drills.record import Drill, FollowUp, Function, Inputs

Array = NDArray[np.floating[Any]]
Bool = NDArray[np.bool_]


def _kept(candidates: Iterator[Inputs], allowed: Callable[[Inputs], bool]) -> Iterator[Inputs]:
    """Yield the candidates that keep what the task promises."""
    return (inputs for inputs in candidates if allowed(inputs))


def _softmax(z: Array, axis: int = -1) -> Array:
    """Return the softmax along an axis; zeros where all is -inf."""
    largest = z.max(axis, keepdims=True)
    grown = np.exp(z - np.where(np.isneginf(largest), 0.0, largest))
    total = grown.sum(axis, keepdims=True)
    return np.asarray(grown / np.where(total == 0, 1.0, total))


# --- causal_mask ---


def causal_mask(L: int, S: int) -> Bool:  # noqa: N803
    """Return which keys each query may see, when the queries are the last tokens.

    Parameters
    ----------
    L : int
        Queries, the last tokens of the sequence.
    S : int
        Keys, all tokens; at least ``L``.

    Returns
    -------
    array of bool, shape (L, S)
        True = may attend.
    """
    return np.tril(np.ones((L, S), dtype=bool), S - L)


def _top_left(L: int, S: int) -> Bool:  # noqa: N803
    return np.tril(np.ones((L, S), dtype=bool))


def _upside_down(L: int, S: int) -> Bool:  # noqa: N803
    return np.triu(np.ones((L, S), dtype=bool), S - L)


def _not_itself(L: int, S: int) -> Bool:  # noqa: N803
    return np.tril(np.ones((L, S), dtype=bool), S - L - 1)


def _inverted(L: int, S: int) -> Bool:  # noqa: N803
    return np.triu(np.ones((L, S), dtype=bool), S - L + 1)


def _call_with_sizes(function: Function, inputs: Inputs) -> Any:
    return function(inputs["L"], inputs["S"])


def _mask_answer(inputs: Inputs) -> NDArray[np.int_]:
    """Return the mask as 0 and 1: cases are stored as numbers."""
    return causal_mask(inputs["L"], inputs["S"]).astype(int)


def _check_mask(inputs: Inputs, expected: Any, got: Any) -> str | None:
    if isinstance(got, np.ndarray) and got.dtype == bool:
        return compare.difference(inputs, expected, got.astype(int))
    reason = compare.difference(inputs, expected, got)
    if reason is None or "values differ" in reason:
        return "it returned integers, not booleans"
    return reason


def _display_mask(inputs: Inputs, expected: Any, got: Any) -> tuple[str, str]:
    return compare.display(inputs, np.asarray(expected, dtype=bool), got)


def _mask_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    queries, keys = inputs["L"], inputs["S"]
    first = keys - queries
    what = f"query 0 sees key {first + 1}, which lies in its future"
    if queries == 1:
        what = "the query sees no key of its past"
    return {"L": str(queries), "S": str(keys), "first": str(first), "what": what}


def _draw_mask(rng: np.random.Generator) -> Inputs:
    queries = int(rng.integers(1, 5))
    return {"L": queries, "S": queries + int(rng.integers(0, 5))}


def _smaller_mask(inputs: Inputs) -> Iterator[Inputs]:
    if inputs["L"] > 1:
        yield {"L": inputs["L"] - 1, "S": inputs["S"] - 1}
    if inputs["S"] > inputs["L"]:
        yield {"L": inputs["L"], "S": inputs["S"] - 1}


CAUSAL_MASK = Drill(
    name="causal_mask",
    chapter="attention",
    level="screening",
    task=(
        "`S` tokens are known, and the last `L` of them are queries; the keys of the others are in "
        "a cache. Return the causal mask, a boolean array of shape `(L, S)`. True means *may "
        "attend*. The last query sees every key."
    ),
    signature="causal_mask(L, S) -> array of bool (L, S)",
    hints=(
        "Query `i` is token number `S - L + i`.",
        "It may see the keys `j <= S - L + i`.",
        "That is a lower triangle aligned at the bottom right: `np.tril` with `k = S - L`.",
    ),
    reference=causal_mask,
    wrong={
        "L={L}, S={S}: the last query sees {L} of {S} keys; with more keys than queries align the "
        "triangle bottom-right": _top_left,
        "the triangle is upside down: {what}": _upside_down,
        "query 0 does not see itself, key {first}": _not_itself,
        "every entry is inverted: here True means may attend, in nn.MultiheadAttention it means "
        "left out": _inverted,
    },
    draw=_draw_mask,
    smaller=_smaller_mask,
    cases=storage.path("causal_mask"),
    follow_up=FollowUp(
        "What does `is_causal=True` do with one query and five keys?",
        "PyTorch aligns it top-left, so the query sees key 0 alone. Pass no mask for a single new "
        "token: all keys in the cache are its past.",
    ),
    call=_call_with_sizes,
    answer=_mask_answer,
    check=_check_mask,
    facts=_mask_facts,
    display=_display_mask,
)


# --- attention ---


def attention(q: Array, k: Array, v: Array, mask: Bool) -> Array:
    """Return scaled dot-product attention.

    Parameters
    ----------
    q : array of float64, shape (L, d)
        Queries.
    k : array of float64, shape (S, d)
        Keys.
    v : array of float64, shape (S, dv)
        Values.
    mask : array of bool, shape (L, S)
        True = may attend.

    Returns
    -------
    array of float64, shape (L, dv)
        Zeros for a query that may attend to nothing.
    """
    z = np.where(mask, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    largest = z.max(axis=1, keepdims=True)
    weights = np.exp(z - np.where(mask.any(axis=1, keepdims=True), largest, 0.0))
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.where(total == 0, 1.0, total) @ v)


def _logits(q: Array, k: Array, mask: Bool, hidden: float = -np.inf) -> Array:
    return np.where(mask, q @ k.T / np.sqrt(q.shape[1]), hidden)


def _unscaled(q: Array, k: Array, v: Array, mask: Bool) -> Array:
    return np.asarray(_softmax(np.where(mask, q @ k.T, -np.inf)) @ v)


def _masked_after(q: Array, k: Array, v: Array, mask: Bool) -> Array:
    return np.asarray(_softmax(_logits(q, k, np.ones_like(mask))) * mask @ v)


def _over_queries(q: Array, k: Array, v: Array, mask: Bool) -> Array:
    return np.asarray(_softmax(_logits(q, k, mask), axis=0) @ v)


def _plain_softmax(q: Array, k: Array, v: Array, mask: Bool) -> Array:
    z = _logits(q, k, mask)
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True) @ v)


def _large_negative(q: Array, k: Array, v: Array, mask: Bool) -> Array:
    return np.asarray(_softmax(_logits(q, k, mask, -1e9)) @ v)


def _mask_inverted(q: Array, k: Array, v: Array, mask: Bool) -> Array:
    return np.asarray(_softmax(_logits(q, k, ~mask)) @ v)


def _call_with_mask(function: Function, inputs: Inputs) -> Any:
    return function(inputs["q"], inputs["k"], inputs["v"], inputs["mask"].astype(bool))


def _attention_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    mask = inputs["mask"].astype(bool)
    kept = (_softmax(_logits(inputs["q"], inputs["k"], np.ones_like(mask))) * mask).sum(axis=1)
    partial_rows = np.flatnonzero(mask.any(axis=1) & ~mask.all(axis=1))
    row = int(partial_rows[0]) if len(partial_rows) else 0
    dead = np.flatnonzero(~mask.any(axis=1))
    return {
        "factor": f"{inputs['q'].shape[1] ** 0.5:.3g}",
        "row": str(row),
        "total": f"{kept[row]:.2f}",
        "dead": str(int(dead[0]) if len(dead) else 0),
    }


def _draw_attention(rng: np.random.Generator) -> Inputs:
    queries, keys, width_v = (int(n) for n in rng.integers((1, 1, 1), (5, 6, 4)))
    width = int(rng.choice([1, 3, 4, 64]))
    mask = (rng.random((queries, keys)) < rng.choice([0.3, 0.7])).astype(int)
    if rng.random() < 0.5:
        mask[int(rng.integers(queries))] = 0
    return {
        "q": rng.normal(size=(queries, width)),
        "k": rng.normal(size=(keys, width)),
        "v": rng.normal(size=(keys, width_v)),
        "mask": mask,
    }


def _smaller_attention(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, q=0, mask=0)
    yield from shrink.dropped(inputs, k=0, v=0, mask=1)
    yield from shrink.dropped(inputs, v=1)
    if inputs["q"].shape[1] > 4:
        yield dict(inputs) | {"q": inputs["q"][:, :4], "k": inputs["k"][:, :4]}
    for name in ("q", "k", "v"):
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


ATTENTION = Drill(
    name="attention",
    chapter="attention",
    level="core",
    task=(
        "Write scaled dot-product attention with a mask. `q` has shape `(L, d)`, `k` `(S, d)`, `v` "
        "`(S, dv)`, and `mask`, boolean, `(L, S)`: True means *may attend*. A query that may "
        "attend to nothing gets zeros. Return an array of shape `(L, dv)`."
    ),
    signature="attention(q, k, v, mask) -> array (L, dv)",
    hints=(
        "Logits are `q @ k.T` over the root of `d`. What value must a logit have so that its "
        "weight is 0 and the others still sum to 1?",
        "Put -inf where the mask is False, before the softmax over the keys, the last axis. "
        "Subtract each row's maximum.",
        "A row that is -inf throughout has the maximum -inf, and -inf - -inf is NaN: take 0 for "
        "the maximum there, and 1 for the sum.",
    ),
    reference=attention,
    wrong={
        "logits are {factor} times too large: scale by d**-0.5": _unscaled,
        "row {row} sums to {total}: mask the logits with −inf, before the softmax": _masked_after,
        "columns sum to 1, rows do not: the softmax goes over the keys, the last axis": (
            _over_queries
        ),
        "row {dead} may attend to nothing: define its output": _plain_softmax,
        "row {dead} may attend to nothing, and yours averages all that is masked: use −inf and not "
        "a large number": _large_negative,
        "the mask is inverted: True means may attend": _mask_inverted,
    },
    draw=_draw_attention,
    smaller=_smaller_attention,
    cases=storage.path("attention"),
    follow_up=FollowUp(
        "Why subtract the maximum, and over which entries must it be taken?",
        "So that exp does not overflow; the result is the same for any shift of a row. Any number "
        "that is at least near the largest unmasked logit of the row will do, so a maximum over "
        "masked ones too is dangerous: if it is far above, all that is left underflows to 0.",
    ),
    call=_call_with_mask,
    setting="`mask` is passed as booleans.",
    facts=_attention_facts,
)


# --- multi_head ---


def multi_head(x: Array, w_qkv: Array, w_proj: Array, h: int) -> Array:
    """Return multi-head self-attention without biases and mask.

    Parameters
    ----------
    x : array of float64, shape (B, N, C)
        Tokens.
    w_qkv : array of float64, shape (3 C, C)
        The rows of the query weights, then those of the keys, then those of the values.
    w_proj : array of float64, shape (C, C)
        The last projection.
    h : int
        Heads; divides C.

    Returns
    -------
    array of float64, shape (B, N, C)
        What ``torch.nn.MultiheadAttention`` gives.
    """
    batch, tokens, width = x.shape
    qkv = (x @ w_qkv.T).reshape(batch, tokens, 3, h, width // h)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # (B, h, N, d) each
    weights = _softmax(q @ k.swapaxes(-1, -2) / np.sqrt(width // h))
    out = (weights @ v).transpose(0, 2, 1, 3).reshape(batch, tokens, width)
    return np.asarray(out @ w_proj.T)


def _multi_head_with(
    x: Array,
    w_qkv: Array,
    w_proj: Array,
    h: int,
    *,
    split: str = "right",
    merge: bool = True,
    by_dim: bool = False,
    transposed: bool = True,
) -> Array:
    """Do what :func:`multi_head` does, with one thing changed."""
    batch, tokens, width = x.shape
    y = x @ w_qkv.T
    if split == "reshape":
        parts = [part.reshape(batch, h, tokens, width // h) for part in np.split(y, 3, axis=-1)]
    elif split == "order":
        parts = list(y.reshape(batch, tokens, h, 3, width // h).transpose(3, 0, 2, 1, 4))
    else:
        parts = list(y.reshape(batch, tokens, 3, h, width // h).transpose(2, 0, 3, 1, 4))
    q, k, v = parts
    weights = _softmax(q @ k.swapaxes(-1, -2) / np.sqrt(width if by_dim else width // h))
    out = weights @ v
    out = (out.transpose(0, 2, 1, 3) if merge else out).reshape(batch, tokens, width)
    return np.asarray(out @ (w_proj.T if transposed else w_proj))


def _head_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    width, heads = len(inputs["w_proj"]), inputs["h"]
    kind, head = divmod(3, heads)  # where (h, 3, d) puts q of head 1, counted in heads
    return {
        "h": str(heads),
        "held": f"{'qkv'[kind] if kind < 3 else 'nothing'} of head {head}",
        "d": str(width // heads),
        "C": str(width),
    }


def _draw_multi_head(rng: np.random.Generator) -> Inputs:
    batch, tokens = (int(n) for n in rng.integers((1, 1), (3, 5)))
    heads = int(rng.choice([1, 2, 3]))
    width = heads * int(rng.integers(1, 4))
    return {
        "x": rng.normal(size=(batch, tokens, width)),
        "w_qkv": rng.normal(size=(3 * width, width)),
        "w_proj": rng.normal(size=(width, width)),
        "h": heads,
    }


def _smaller_multi_head(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, x=0)
    yield from shrink.dropped(inputs, x=1)
    for name in ("w_proj", "w_qkv", "x"):
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


MULTI_HEAD = Drill(
    name="multi_head",
    chapter="attention",
    level="core",
    task=(
        "Write multi-head self-attention without biases, mask and dropout. `x` has shape "
        "`(B, N, C)`. `w_qkv` `(3C, C)` holds the rows of the query weights, then of the key "
        "weights, then of the value weights, as PyTorch's `in_proj_weight`; `w_proj` is `(C, C)`. "
        "`h` heads divide `C`. Return an array of shape `(B, N, C)`."
    ),
    signature="multi_head(x, w_qkv, w_proj, h) -> array (B, N, C)",
    hints=(
        "A linear layer is `x @ w.T`. Its last axis, 3C numbers, is to be read as (3, h, d).",
        "`reshape(B, N, 3, h, d)`, and then move axes so that each of q, k and v is (B, h, N, d). "
        "A reshape alone never moves an axis.",
        "The scale is the root of d = C / h. On the way back, first transpose (B, h, N, d) to "
        "(B, N, h, d), and then reshape to (B, N, C).",
    ),
    reference=multi_head,
    wrong={
        "right for h=1, wrong for h={h}: tokens leak between heads, as a reshape alone moves no "
        "axis": partial(_multi_head_with, split="reshape"),
        "the last axis is (3, h, d), not (h, 3, d): your q of head 1 holds {held}": partial(
            _multi_head_with, split="order"
        ),
        "token 0 of the output is built from head 0 of token 1: transpose before the heads are "
        "merged": partial(_multi_head_with, merge=False),
        "scale is per head: the root of d = {d}, not of C = {C}": partial(
            _multi_head_with, by_dim=True
        ),
        "w_proj is not transposed: a linear layer is x @ w.T": partial(
            _multi_head_with, transposed=False
        ),
    },
    draw=_draw_multi_head,
    smaller=_smaller_multi_head,
    cases=storage.path("multi_head"),
    follow_up=FollowUp(
        "How many parameters does it have, and how does that depend on h?",
        "4C², and 4C more with biases, for every number of heads.",
    ),
    facts=_head_facts,
)


# --- decode ---


class Projections:
    """The part of a small decoder that a token passes on its own; counts what it is asked.

    Parameters
    ----------
    w_q, w_k, w_v : array of float64, shape (C, C)
        Weights.
    positions : array of float64, shape (N, C)
        What is added to a token at each position.
    """

    def __init__(self, w_q: Array, w_k: Array, w_v: Array, positions: Array) -> None:
        self._weights = (w_q, w_k, w_v)
        self._positions = positions
        self._left = len(positions)

    def qkv(self, token: Array, position: int) -> tuple[Array, Array, Array]:
        """Return query, key and value of one token, each of shape (C,).

        Raises
        ------
        ValueError
            If it is not one token, or there is no such position.
        RuntimeError
            If it is asked more often than there are tokens.
        """
        count, width = self._positions.shape
        if np.shape(token) != (width,):
            raise ValueError(f"qkv takes one token of shape ({width},), got {np.shape(token)}")
        if not 0 <= position < count:
            raise ValueError(f"position {position} is not within 0 … {count - 1}")
        if self._left == 0:
            raise RuntimeError(f"all {count} tokens are projected: keep their keys and values")
        self._left -= 1
        q, k, v = (weight @ (token + self._positions[position]) for weight in self._weights)
        return q, k, v


def decode(model: Projections, x: Array) -> Array:
    """Decode token by token, with a cache of keys and values.

    Parameters
    ----------
    model : Projections
        ``model.qkv(token, position)`` gives a token's query, key and value.
    x : array of float64, shape (N, C)
        The tokens, one a step.

    Returns
    -------
    array of float64, shape (N, C)
        What each token makes of itself and those before it.
    """
    keys: list[Array] = []
    values: list[Array] = []
    out = []
    for position, token in enumerate(x):
        q, k, v = model.qkv(token, position)
        keys.append(k)
        values.append(v)
        weights = _softmax(np.stack(keys) @ q / np.sqrt(len(q)))
        out.append(weights @ np.stack(values))
    return np.array(out)


def _decode_top_left(model: Projections, x: Array) -> Array:
    values = [model.qkv(token, position)[2] for position, token in enumerate(x)]
    return np.array([values[0]] * len(x))


def _decode_append_late(model: Projections, x: Array) -> Array:
    parts = [model.qkv(token, position) for position, token in enumerate(x)]
    out = [np.zeros_like(x[0])]
    for step in range(1, len(x)):
        keys, values = (np.stack([part[i] for part in parts[:step]]) for i in (1, 2))
        q = parts[step][0]
        out.append(_softmax(keys @ q / np.sqrt(len(q))) @ values)
    return np.array(out)


class _AtStart:
    """The same projections, but that every token is said to be the first."""

    def __init__(self, model: Projections) -> None:
        self._model = model

    def qkv(self, token: Array, position: int) -> tuple[Array, Array, Array]:
        return self._model.qkv(token, 0)


def _decode_restarting(model: Projections, x: Array) -> Array:
    return decode(_AtStart(model), x)  # type: ignore[arg-type]


def _decode_replacing(model: Projections, x: Array) -> Array:
    return np.array([model.qkv(token, position)[2] for position, token in enumerate(x)])


def _decode_unscaled(model: Projections, x: Array) -> Array:
    out, parts = [], []
    for position, token in enumerate(x):
        parts.append(model.qkv(token, position))
        keys, values = (np.stack([part[i] for part in parts]) for i in (1, 2))
        out.append(_softmax(keys @ parts[-1][0]) @ values)
    return np.array(out)


def _model_of(inputs: Inputs) -> Projections:
    return Projections(inputs["w_q"], inputs["w_k"], inputs["w_v"], inputs["positions"])


def _call_with_model(function: Function, inputs: Inputs) -> Any:
    return function(_model_of(inputs), inputs["x"])


def _decode_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    expected = decode(_model_of(inputs), inputs["x"])
    step = 0
    if np.shape(got) == expected.shape:
        off = np.flatnonzero(~np.isclose(got, expected, rtol=1e-7, atol=1e-10).all(axis=1))
        step = int(off[0]) if len(off) else 0
    return {"step": str(step), "factor": f"{inputs['x'].shape[1] ** 0.5:.3g}"}


def _draw_decode(rng: np.random.Generator) -> Inputs:
    tokens, width = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    inputs = {name: rng.normal(size=(width, width)) for name in ("w_q", "w_k", "w_v")}
    return {
        **inputs,
        "positions": rng.normal(size=(tokens, width)),
        "x": rng.normal(size=(tokens, width)),
    }


def _smaller_decode(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, x=0, positions=0)
    for name in ("w_q", "w_k", "w_v", "positions", "x"):
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


DECODE = Drill(
    name="decode",
    chapter="attention",
    level="senior",
    task=(
        "Decode with a KV cache. `x` has shape `(N, C)`, one token a step. "
        "`model.qkv(token, position)` gives query, key and value of *one* token, each of shape "
        "`(C,)`, and refuses to be called more often than there are tokens. At each step, let the "
        "new query attend, with scale, to all keys so far, its own included. Return the outputs "
        "of all steps, shape `(N, C)`."
    ),
    signature="decode(model, x) -> array (N, C)",
    hints=(
        "Which of q, k and v of earlier tokens are needed again? Their queries are not.",
        "Keep two lists. At each step append the new key and value first, then attend.",
        "`weights = softmax(K @ q / sqrt(C))` over the keys so far needs no mask: all of them are "
        "past. Pass the step as `position`.",
    ),
    reference=decode,
    wrong={
        "step {step} differs: the query sees key 0 only, as with is_causal=True": _decode_top_left,
        "step 0 has no key: append before you attend": _decode_append_late,
        "step 1 gets position 0: the cache has moved on, and so must the position": (
            _decode_restarting
        ),
        "step {step} sees its own key only: append to the cache, do not replace it": (
            _decode_replacing
        ),
        "logits are {factor} times too large: scale by C**-0.5": _decode_unscaled,
    },
    draw=_draw_decode,
    smaller=_smaller_decode,
    cases=storage.path("decode"),
    follow_up=FollowUp(
        "What does the cache cost, and what does a step?",
        "Two vectors a token for each layer and key/value head. A step's attention takes work "
        "proportional to the tokens so far, and it has to read the whole cache, so it is bound by "
        "memory bandwidth.",
    ),
    call=_call_with_model,
    setting="`model.qkv(token, position)` is `w @ (token + positions[position])` for each of "
    "`w_q`, `w_k`, `w_v`.",
    facts=_decode_facts,
)


# --- online_attention ---


def online_attention(q: Array, k: Array, v: Array, block: int) -> Array:
    """Return attention without a mask, visiting the keys block by block.

    Parameters
    ----------
    q : array of float64, shape (L, d)
        Queries.
    k : array of float64, shape (S, d)
        Keys.
    v : array of float64, shape (S, dv)
        Values.
    block : int
        How many keys at a time.

    Returns
    -------
    array of float64, shape (L, dv)
        The same for every block size.
    """
    largest = np.full((len(q), 1), -np.inf)
    total = np.zeros((len(q), 1))
    out = np.zeros((len(q), v.shape[1]))
    for start in range(0, len(k), block):
        z = q @ k[start : start + block].T / np.sqrt(q.shape[1])
        higher = np.maximum(largest, z.max(axis=1, keepdims=True))
        weights, fade = np.exp(z - higher), np.exp(largest - higher)
        total = fade * total + weights.sum(axis=1, keepdims=True)
        out = fade * out + weights @ v[start : start + block]
        largest = higher
    return np.asarray(out / total)


def _online_with(
    q: Array,
    k: Array,
    v: Array,
    block: int,
    *,
    fade_sum: bool = True,
    fade_out: bool = True,
    subtract: bool = True,
) -> Array:
    """Do what :func:`online_attention` does, with one thing changed."""
    largest = np.full((len(q), 1), -np.inf if subtract else 0.0)
    total, out = np.zeros((len(q), 1)), np.zeros((len(q), v.shape[1]))
    for start in range(0, len(k), block):
        z = q @ k[start : start + block].T / np.sqrt(q.shape[1])
        higher = np.maximum(largest, z.max(axis=1, keepdims=True)) if subtract else largest
        weights, fade = np.exp(z - higher), np.exp(largest - higher)
        total = (fade if fade_sum else 1) * total + weights.sum(axis=1, keepdims=True)
        out = (fade if fade_out else 1) * out + weights @ v[start : start + block]
        largest = higher
    return np.asarray(out / total)


def _block_averages(q: Array, k: Array, v: Array, block: int) -> Array:
    parts = [
        _softmax(q @ k[start : start + block].T / np.sqrt(q.shape[1])) @ v[start : start + block]
        for start in range(0, len(k), block)
    ]
    return np.asarray(np.mean(parts, axis=0))


def _online_facts(inputs: Inputs, got: Any) -> Mapping[str, str]:
    z = inputs["q"] @ inputs["k"].T / np.sqrt(inputs["q"].shape[1])
    over = z.max() > 709
    return {
        "what": f"overflow at logit {z.max():.0f}" if over else f"underflow at logit {z.min():.0f}"
    }


def _draw_online(rng: np.random.Generator) -> Inputs:
    queries, keys = (int(n) for n in rng.integers((1, 1), (4, 8)))
    width, width_v = (int(n) for n in rng.integers(1, 4, size=2))
    size = float(rng.choice([1.0, 30.0, 600.0]))
    return {
        "q": size * rng.normal(size=(queries, width)),
        "k": rng.normal(size=(keys, width)),
        "v": rng.normal(size=(keys, width_v)),
        "block": int(rng.integers(1, keys + 2)),
    }


def _smaller_online(inputs: Inputs) -> Iterator[Inputs]:
    yield from shrink.dropped(inputs, q=0)
    yield from shrink.dropped(inputs, k=0, v=0)
    yield from shrink.dropped(inputs, q=1, k=1)
    yield from shrink.dropped(inputs, v=1)
    for name in ("k", "v", "q"):
        yield from shrink.plainer(inputs, name, 0.0, 1.0)


ONLINE_ATTENTION = Drill(
    name="online_attention",
    chapter="attention",
    level="senior",
    task=(
        "Attention without a mask, but the keys come in blocks of `block`, the last perhaps "
        "smaller, and at no time may you hold the weights of all keys. `q` has shape `(L, d)`, "
        "`k` `(S, d)`, `v` `(S, dv)`; scale by the root of `d`. Logits reach some 1,000 either "
        "way. Return an array of shape `(L, dv)`."
    ),
    signature="online_attention(q, k, v, block) -> array (L, dv)",
    hints=(
        "Keep three things for each query: the largest logit so far, the sum of exponentials, and "
        "the weighted sum of values.",
        "Exponentials are taken relative to the largest logit so far. What happens to the old sum "
        "when a larger one comes?",
        "With the new maximum m', both old sums are multiplied by `exp(m - m')` before the block's "
        "own are added. Divide once, at the end.",
    ),
    reference=online_attention,
    wrong={
        "right with one block, wrong with two: rescale the old sum and the old values by "
        "exp(m − m′)": partial(_online_with, fade_sum=False, fade_out=False),
        "the old values are rescaled, the old sum is not: both fade by exp(m − m′)": partial(
            _online_with, fade_sum=False
        ),
        "the old sum is rescaled, the old values are not: both fade by exp(m − m′)": partial(
            _online_with, fade_out=False
        ),
        "{what}: subtract the largest logit so far": partial(_online_with, subtract=False),
        "that is the average of block averages: blocks count by their sums, so divide once at the "
        "end": _block_averages,
    },
    draw=_draw_online,
    smaller=_smaller_online,
    cases=storage.path("online_attention"),
    follow_up=FollowUp(
        "What does FlashAttention add to this?",
        "It does the same for blocks of queries and keys in fast on-chip memory, so that the "
        "weights never travel to slow memory, and for the backward pass it keeps one number a "
        "row and computes the weights again.",
    ),
    facts=_online_facts,
)

DRILLS = (CAUSAL_MASK, ATTENTION, MULTI_HEAD, DECODE, ONLINE_ATTENTION)
