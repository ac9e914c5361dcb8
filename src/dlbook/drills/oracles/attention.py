"""Edge cases of chapter 10, answered by ``torch.nn``."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbook.drills.attention import Array
from dlbook.drills.oracles import Oracle
from dlbook.drills.record import Inputs

Noted = list[tuple[str, Inputs]]


def causal_mask(L: int, S: int) -> Any:  # noqa: N803
    """Return which keys have weight under ``causal_lower_right``, as 0 and 1."""
    import torch
    from torch.nn import functional
    from torch.nn.attention.bias import causal_lower_right

    q, k, eye = torch.zeros(1, 1, L, S), torch.zeros(1, 1, S, S), torch.eye(S)[None, None]
    weights = functional.scaled_dot_product_attention(q, k, eye, causal_lower_right(L, S))
    return (weights[0, 0] > 0).numpy().astype(int)


def attention(q: Array, k: Array, v: Array, mask: Any) -> Array:
    """Return what ``torch.nn.functional.scaled_dot_product_attention`` gives."""
    import torch
    from torch.nn import functional

    allowed = torch.tensor(mask, dtype=torch.bool)
    arguments = [_tensor(array)[None, None] for array in (q, k, v)]
    return _array(functional.scaled_dot_product_attention(*arguments, attn_mask=allowed)[0, 0])


def multi_head(x: Array, w_qkv: Array, w_proj: Array, h: int) -> Array:
    """Return what ``torch.nn.MultiheadAttention`` gives."""
    import torch

    module = torch.nn.MultiheadAttention(
        x.shape[-1], h, bias=False, batch_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        module.in_proj_weight.copy_(_tensor(w_qkv))
        module.out_proj.weight.copy_(_tensor(w_proj))
    tokens = _tensor(x)
    return _array(module(tokens, tokens, tokens)[0])


def decode(w_q: Array, w_k: Array, w_v: Array, positions: Array, x: Array) -> Array:
    """Return one causal pass over all tokens."""
    from torch.nn import functional

    tokens = _tensor(x + positions)[None, None]
    q, k, v = (tokens @ _tensor(w).T for w in (w_q, w_k, w_v))
    return _array(functional.scaled_dot_product_attention(q, k, v, is_causal=True)[0, 0])


def online_attention(q: Array, k: Array, v: Array, block: int) -> Array:
    """Return attention over all keys at once."""
    from torch.nn import functional

    arguments = [_tensor(array)[None, None] for array in (q, k, v)]
    return _array(functional.scaled_dot_product_attention(*arguments)[0, 0])


def _tensor(array: Array) -> Any:
    import torch

    return torch.tensor(array, dtype=torch.float64)


def _array(tensor: Any) -> Array:
    return np.asarray(tensor.detach().numpy())


def _noise(seed: int, *shape: int) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


def _mask_cases() -> Noted:
    sizes = [
        ("one query, five keys: a step with a cache", 1, 5),
        ("as many keys as queries", 4, 4),
        ("two new queries", 2, 5),
        ("one token", 1, 1),
        ("one key more", 3, 4),
        ("many keys", 2, 9),
        ("a long prompt", 8, 8),
        ("half are new", 3, 6),
        ("two keys", 1, 2),
        ("two of two", 2, 2),
        ("almost all new", 5, 6),
    ]
    return [(note, {"L": queries, "S": keys}) for note, queries, keys in sizes]


def _attention_case(seed: int, mask: Any, d: int = 4, dv: int = 3, size: float = 1.0) -> Inputs:
    queries, keys = np.shape(mask)
    return {
        "q": size * _noise(seed, queries, d),
        "k": _noise(100 + seed, keys, d),
        "v": _noise(200 + seed, keys, dv),
        "mask": np.array(mask, dtype=int),
    }


def _attention_cases() -> Noted:
    some = (_noise(50, 4, 6) > 0).astype(int)
    some[2] = 0
    return [
        ("no mask", _attention_case(1, np.ones((3, 3)))),
        ("causal", _attention_case(2, np.tri(4))),
        ("a row that may attend to nothing", _attention_case(3, [[1, 1], [0, 0]])),
        ("no row may", _attention_case(4, np.zeros((2, 3)))),
        ("more keys than queries", _attention_case(5, np.ones((2, 6)))),
        ("more queries than keys", _attention_case(6, np.ones((6, 2)))),
        ("64 wide, where the scale counts", _attention_case(7, np.ones((3, 4)), d=64)),
        ("one component, where it does not", _attention_case(8, np.ones((3, 4)), d=1)),
        ("one key", _attention_case(9, np.ones((3, 1)))),
        ("one key left in each row", _attention_case(10, np.eye(3))),
        ("padding", _attention_case(11, np.ones((3, 5)) * [1, 1, 1, 0, 0])),
        ("any mask, one empty row", _attention_case(12, some)),
        ("large logits", _attention_case(13, np.tri(3), size=1e3)),
    ]


def _head_case(seed: int, batch: int, tokens: int, width: int, heads: int) -> Inputs:
    return {
        "x": _noise(seed, batch, tokens, width),
        "w_qkv": _noise(100 + seed, 3 * width, width) / width**0.5,
        "w_proj": _noise(200 + seed, width, width) / width**0.5,
        "h": heads,
    }


def _head_cases() -> Noted:
    return [
        ("one head, where wrong reshapes are right", _head_case(1, 2, 3, 4, 1)),
        ("two heads", _head_case(2, 2, 3, 4, 2)),
        ("three heads", _head_case(3, 2, 5, 6, 3)),
        ("as many heads as channels", _head_case(4, 1, 3, 4, 4)),
        ("one token", _head_case(5, 2, 1, 4, 2)),
        ("two tokens, two heads", _head_case(6, 1, 2, 4, 2)),
        ("as many tokens as heads", _head_case(7, 2, 3, 6, 3)),
        ("more heads than tokens", _head_case(8, 1, 2, 8, 4)),
        ("one channel", _head_case(9, 2, 3, 1, 1)),
        ("a batch of three", _head_case(10, 3, 4, 6, 2)),
        ("wide", _head_case(11, 1, 3, 12, 2)),
    ]


def _decode_case(seed: int, tokens: int, width: int, **changed: Array) -> Inputs:
    weights = {
        name: _noise(100 * (i + 1) + seed, width, width)
        for i, name in enumerate(("w_q", "w_k", "w_v"))
    }
    inputs = {
        **weights,
        "positions": _noise(400 + seed, tokens, width),
        "x": _noise(seed, tokens, width),
    }
    return {**inputs, **changed}


def _decode_cases() -> Noted:
    return [
        ("one step", _decode_case(1, 1, 3)),
        ("two steps", _decode_case(2, 2, 3)),
        ("ordinary", _decode_case(3, 5, 4)),
        ("twelve steps", _decode_case(4, 12, 4)),
        ("one component", _decode_case(5, 4, 1)),
        ("no positions", _decode_case(6, 4, 3, positions=np.zeros((4, 3)))),
        ("the same token throughout", _decode_case(7, 4, 3, x=np.ones((4, 3)))),
        ("positions alone", _decode_case(8, 4, 3, x=np.zeros((4, 3)))),
        ("queries zero: averages", _decode_case(9, 4, 3, w_q=np.zeros((3, 3)))),
        ("values are tokens", _decode_case(10, 4, 3, w_v=np.eye(3))),
        ("large logits", _decode_case(11, 4, 3, w_q=300 * np.eye(3))),
    ]


def _online_case(
    seed: int, queries: int, keys: int, block: int, size: float = 1.0, d: int = 3
) -> Inputs:
    return {
        "q": size * _noise(seed, queries, d),
        "k": _noise(100 + seed, keys, d),
        "v": _noise(200 + seed, keys, 2),
        "block": block,
    }


def _rising(seed: int, sign: int) -> Inputs:
    return {
        "q": np.array([[1.0]]),
        "k": sign * np.linspace(-900, 900, 7)[:, None],
        "v": _noise(seed, 7, 2),
        "block": 2,
    }


def _online_cases() -> Noted:
    return [
        ("one block", _online_case(1, 3, 4, 4)),
        ("two blocks", _online_case(2, 3, 4, 2)),
        ("key by key", _online_case(3, 3, 5, 1)),
        ("a smaller last block", _online_case(4, 3, 7, 3)),
        ("a block larger than all", _online_case(5, 2, 3, 10)),
        ("one key", _online_case(6, 3, 1, 1)),
        ("the maximum rises to 900", _rising(7, 1)),
        ("the maximum comes first", _rising(8, -1)),
        ("large logits", _online_case(9, 3, 6, 2, size=500.0)),
        ("all logits near −900", {"q": np.full((1, 1), 30.0), "k": -30 + 0.01 * _noise(10, 4, 1),
                                  "v": _noise(11, 4, 1), "block": 2}),
        ("all logits equal", _online_case(12, 2, 6, 4, size=0.0)),
        ("wide", _online_case(13, 2, 8, 3, d=64)),
    ]  # fmt: skip


ORACLES = {
    "causal_mask": Oracle("torch.nn.attention.bias.causal_lower_right", _mask_cases, causal_mask),
    "attention": Oracle(
        "torch.nn.functional.scaled_dot_product_attention in float64", _attention_cases, attention
    ),
    "multi_head": Oracle("torch.nn.MultiheadAttention in float64", _head_cases, multi_head),
    "decode": Oracle(
        "torch.nn.functional.scaled_dot_product_attention, causal, in float64",
        _decode_cases,
        decode,
    ),
    "online_attention": Oracle(
        "torch.nn.functional.scaled_dot_product_attention in float64",
        _online_cases,
        online_attention,
    ),
}
