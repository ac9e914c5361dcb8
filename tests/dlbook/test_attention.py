"""The functions of chapter 10 against PyTorch: forward, gradients, masks, heads, caches."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn.attention.bias import causal_lower_right
from torch.utils.flop_counter import FlopCounterMode

from dlbook.attention import (
    KVCache,
    alibi_bias,
    attention_backward,
    attention_flops,
    causal_mask,
    head_groups,
    kv_cache_bytes,
    merge_heads,
    online_softmax_attention,
    padding_mask,
    repeat_kv,
    rope,
    scaled_dot_product_attention,
    sinusoidal_positions,
    softmax,
    split_qkv,
    to_mha_mask,
)
from dlbook.attention_layer import MultiHeadSelfAttention

explore = settings(deadline=None, derandomize=True, max_examples=80)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 5)


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def tensor(array: Any, *, grad: bool = False) -> torch.Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64, requires_grad=grad)


def close(ours: Any, theirs: torch.Tensor, rtol: float = 1e-12, atol: float = 1e-13) -> None:
    assert_allclose(ours, theirs.detach().numpy(), rtol=rtol, atol=atol)


def random_mask(seed: int, *shape: int) -> Any:
    """Return a mask of which some rows are likely empty."""
    rng = np.random.default_rng(seed)
    return rng.random(shape) < rng.choice([0.15, 0.5, 0.9])


# --- softmax ---


@explore
@given(seeds, st.lists(st.integers(0, 4), min_size=1, max_size=3), st.sampled_from([1.0, 1e3]))
def test_softmax(seed: int, shape: list[int], size: float) -> None:
    z = size * normal(seed, *shape)
    z[random_mask(seed + 1, *shape)] = -np.inf
    for axis in range(-len(shape), len(shape)):
        theirs: Any = torch._safe_softmax(tensor(z), axis)
        close(softmax(z, axis), theirs)


def test_softmax_at_its_edges() -> None:
    assert softmax(np.zeros((0, 3))).shape == (0, 3)
    assert softmax(np.zeros((3, 0))).shape == (3, 0)
    assert_array_equal(softmax([-np.inf, -np.inf]), [0, 0])
    assert np.isnan(softmax([0.0, np.nan])).all()
    assert np.isnan(softmax([0.0, np.inf])).any()
    assert_allclose(softmax([0.0, 1000.0]), [0, 1])
    assert softmax(np.zeros(2, np.float32)).dtype == np.float64
    z = np.array([1.0, 2.0])
    softmax(z)
    assert_array_equal(z, [1, 2])
    with pytest.raises(ValueError, match=r"axis 1 is out of bounds for z of shape \(2,\)"):
        softmax(z, 1)
    with pytest.raises(ValueError, match="out of bounds"):
        softmax(np.float64(1))
    with pytest.raises(TypeError, match="z has dtype int64"):
        softmax(np.array([1, 2]))


# --- masks ---


@given(st.integers(0, 6), st.integers(0, 6))
def test_causal_masks(queries: int, keys: int) -> None:
    ones = torch.ones(queries, keys, dtype=torch.bool)
    assert_array_equal(causal_mask(queries, keys), ones.tril(0).numpy())
    expected = ones.tril(keys - queries).numpy()
    assert_array_equal(causal_mask(queries, keys, "bottom-right"), expected)
    assert causal_mask(queries).shape == (queries, queries)
    if 0 < queries <= keys:
        q, k, v = (tensor(normal(i, 1, 1, n, 2)) for i, n in enumerate((queries, keys, keys)))
        theirs = F.scaled_dot_product_attention(q, k, v, causal_lower_right(queries, keys))
        ours = scaled_dot_product_attention(q.numpy(), k.numpy(), v.numpy(), causal="bottom-right")
        close(ours, theirs)


def test_causal_mask_refuses() -> None:
    words = "align must be 'top-left' or 'bottom-right', got 'left'"
    with pytest.raises(ValueError, match=re.escape(words)):
        causal_mask(2, 3, "left")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="L must be >= 0, got -1"):
        causal_mask(-1)
    with pytest.raises(ValueError, match="S must be >= 0, got -2"):
        causal_mask(1, -2)
    with pytest.raises(TypeError, match=r"L must be an integer, got 2\.5"):
        causal_mask(2.5)  # type: ignore[arg-type]


def test_padding_mask() -> None:
    mask = padding_mask([3, 0, 2], 3)
    assert mask.shape == (3, 1, 1, 3)
    assert mask[:, 0, 0].tolist() == [[True] * 3, [False] * 3, [True, True, False]]
    assert padding_mask([], 4).shape == (0, 1, 1, 4)
    words = "length 7 of sequence 2 is not within 0 … 5"
    with pytest.raises(ValueError, match=words):
        padding_mask([1, 2, 7], 5)
    with pytest.raises(ValueError, match="length -1 of sequence 0"):
        padding_mask([-1], 5)
    with pytest.raises(TypeError, match="lengths must be integers, got float64"):
        padding_mask([1.0], 5)
    with pytest.raises(ValueError, match=r"lengths must have shape \(B,\), got \(1, 1\)"):
        padding_mask([[1]], 5)


def test_masks_of_the_module_are_the_other_way_round() -> None:
    assert to_mha_mask([True, False]).tolist() == [False, True]
    words = "mask must be bool (True = may attend), got int64"
    with pytest.raises(TypeError, match=re.escape(words)):
        to_mha_mask(np.array([1, 0]))
    module = nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    x = tensor(normal(0, 1, 5, 4))
    mask = torch.tensor(to_mha_mask(causal_mask(5)))
    _, weights = module(x, x, x, attn_mask=mask)
    assert_array_equal(weights[0].detach().numpy() > 0, causal_mask(5))


# --- attention ---


@explore
@given(seeds, sizes, sizes, sizes, sizes, st.booleans())
def test_attention_and_its_gradients(
    seed: int, queries: int, keys: int, width: int, width_v: int, masked: bool
) -> None:
    q, k = normal(seed, 2, 3, queries, width), normal(seed + 1, 2, 3, keys, width)
    v, d_out = normal(seed + 2, 2, 3, keys, width_v), normal(seed + 3, 2, 3, queries, width_v)
    mask = random_mask(seed, 2, 1, queries, keys) if masked else None
    before = [a.copy() for a in (q, k, v)]
    out, weights = scaled_dot_product_attention(q, k, v, mask=mask, return_weights=True)
    gradients = attention_backward(q, k, v, d_out, mask=mask)
    for ours, was in zip((q, k, v), before, strict=True):
        assert_array_equal(ours, was)

    leaves = [tensor(array, grad=True) for array in (q, k, v)]
    given_mask = None if mask is None else torch.tensor(mask)
    theirs = F.scaled_dot_product_attention(*leaves, attn_mask=given_mask)
    close(out, theirs)
    theirs.backward(tensor(d_out))
    for gradient, leaf in zip(gradients, leaves, strict=True):
        assert leaf.grad is not None
        close(gradient, leaf.grad, rtol=1e-10, atol=1e-12)
    alive = (
        np.ones((2, 3, queries), bool) if mask is None else mask.any(-1) & np.ones((2, 3, 1), bool)
    )
    assert_allclose(weights.sum(-1), alive, atol=1e-14)
    assert not out[~alive].any()
    assert not gradients[0][~alive].any()


@explore
@given(seeds, sizes, st.integers(0, 7), st.integers(1, 9), st.sampled_from([1.0, 1e3]))
def test_online_softmax_for_every_block(
    seed: int, queries: int, keys: int, block: int, size: float
) -> None:
    q, k = size * normal(seed, 2, queries, 3), normal(seed + 1, 2, keys, 3)
    v, mask = normal(seed + 2, 2, keys, 2), random_mask(seed, queries, keys)
    for chosen in (None, mask):
        whole = scaled_dot_product_attention(q, k, v, mask=chosen)
        assert_allclose(
            online_softmax_attention(q, k, v, block, mask=chosen), whole, rtol=1e-11, atol=1e-13
        )


def test_online_softmax_with_first_blocks_masked() -> None:
    q, k, v = normal(0, 4, 3), normal(1, 6, 3), normal(2, 6, 2)
    mask = np.zeros((4, 6), bool)
    mask[1:, 4:] = True
    expected = scaled_dot_product_attention(q, k, v, mask=mask)
    assert_allclose(online_softmax_attention(q, k, v, 2, mask=mask), expected, atol=1e-15)
    with pytest.raises(ValueError, match="block must be >= 1, got 0"):
        online_softmax_attention(q, k, v, 0)


def test_gradients_of_what_was_broadcast() -> None:
    q, k, v = normal(0, 2, 3, 4, 5), normal(1, 1, 6, 5), normal(2, 2, 1, 6, 3)
    d_out = normal(3, 2, 3, 4, 3)
    leaves = [tensor(array, grad=True) for array in (q, k, v)]
    logits = leaves[0] @ leaves[1].mT / math.sqrt(5)
    (logits.softmax(-1) @ leaves[2]).backward(tensor(d_out))
    for ours, leaf in zip(attention_backward(q, k, v, d_out), leaves, strict=True):
        assert leaf.grad is not None
        close(ours, leaf.grad, rtol=1e-10)


def test_backward_by_gradcheck() -> None:
    """Gradients of our forward, as PyTorch's finite differences see them."""

    class Ours(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arrays: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(*arrays)
            out = scaled_dot_product_attention(*(a.numpy() for a in arrays), mask=mask)
            return torch.tensor(out)

        @staticmethod
        def backward(ctx: Any, *d_out: torch.Tensor) -> Any:
            arrays = [a.numpy() for a in ctx.saved_tensors]
            found = attention_backward(arrays[0], arrays[1], arrays[2], d_out[0].numpy(), mask=mask)
            return tuple(torch.tensor(a) for a in found)

    mask = causal_mask(4, 3, "bottom-right")  # the first row is empty
    leaves = [tensor(normal(i, 2, n, 3), grad=True) for i, n in enumerate((4, 3, 3))]
    assert torch.autograd.gradcheck(Ours.apply, leaves)


def test_attention_at_its_edges() -> None:
    q, k, v = normal(0, 2, 3), np.zeros((0, 3)), np.zeros((0, 4))
    assert_array_equal(scaled_dot_product_attention(q, k, v), np.zeros((2, 4)))
    theirs = F.scaled_dot_product_attention(*(tensor(a)[None, None] for a in (q, k, v)))
    assert_array_equal(theirs[0, 0].numpy(), np.zeros((2, 4)))
    dq, dk, dv = attention_backward(q, k, v, np.ones((2, 4)))
    assert not dq.any() and dk.shape == (0, 3) and dv.shape == (0, 4)
    none = scaled_dot_product_attention(np.zeros((0, 3)), q, q)
    assert none.shape == (0, 3)
    single = scaled_dot_product_attention(*(a.astype(np.float32) for a in (q, q, q)))
    assert single.dtype == np.float64


def test_nan() -> None:
    q, k, v = normal(0, 3, 2), normal(1, 3, 2), normal(2, 3, 2)
    q[1] = np.nan
    assert_array_equal(np.isnan(scaled_dot_product_attention(q, k, v)).all(-1), [0, 1, 0])
    allowed = causal_mask(3)
    q, k = normal(0, 3, 2), k.copy()
    k[2] = np.nan  # masked for all rows but the last
    out = scaled_dot_product_attention(q, k, v, mask=allowed)
    assert_array_equal(np.isnan(out).any(-1), [0, 0, 1])
    v[2, 0] = np.nan  # a masked value is not harmless: 0 · NaN
    out = scaled_dot_product_attention(q, normal(1, 3, 2), v, mask=allowed)
    assert_array_equal(np.isnan(out), [[1, 0]] * 3)


def test_scale_and_causal() -> None:
    q, k, v = normal(0, 1, 1, 3, 4), normal(1, 1, 1, 5, 4), normal(2, 1, 1, 5, 2)
    arguments = [tensor(a) for a in (q, k, v)]
    close(
        scaled_dot_product_attention(q, k, v, scale=0.3),
        F.scaled_dot_product_attention(*arguments, scale=0.3),
    )
    close(
        scaled_dot_product_attention(q, k, v, causal="top-left"),
        F.scaled_dot_product_attention(*arguments, is_causal=True),
    )
    some = random_mask(5, 3, 5)
    both = scaled_dot_product_attention(q, k, v, mask=some, causal="top-left")
    assert_array_equal(both, scaled_dot_product_attention(q, k, v, mask=some & causal_mask(3, 5)))


A = normal(0, 2, 4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: scaled_dot_product_attention(A, normal(0, 2, 5), A), ValueError,
         "query has head_dim 4 but key has 5"),
        (lambda: scaled_dot_product_attention(A, normal(0, 3, 4), normal(0, 4, 4)), ValueError,
         "key has 3 tokens but value has 4"),
        (lambda: scaled_dot_product_attention(A, normal(0, 3, 4), normal(0, 3, 4),
                                              mask=np.ones((3, 2), bool)), ValueError,
         "mask (3, 2) does not broadcast to weights (2, 3)"),
        (lambda: scaled_dot_product_attention(A, A, A, mask=np.ones((5, 2, 2), bool)), ValueError,
         "mask (5, 2, 2) does not broadcast to weights (2, 2)"),
        (lambda: scaled_dot_product_attention(A, A, A, mask=np.ones((2, 2))), TypeError,
         "mask must be bool (True = may attend), got float64"),
        (lambda: scaled_dot_product_attention(A.astype(int), A, A), TypeError,
         "query has dtype int64"),
        (lambda: scaled_dot_product_attention(A, A, A.astype(int)), TypeError,
         "value has dtype int64"),
        (lambda: scaled_dot_product_attention(A, A, A, scale=math.nan), ValueError,
         "scale must be finite, got nan"),
        (lambda: scaled_dot_product_attention(A, A, A, causal="left"),  # type: ignore[arg-type]
         ValueError,
         "causal must be 'top-left' or 'bottom-right', got 'left'"),
        (lambda: scaled_dot_product_attention(A[0], A, A), ValueError,
         "query must have at least 2 axes, got shape (4,)"),
        (lambda: scaled_dot_product_attention(A[:, :0], A[:, :0], A), ValueError,
         "head_dim is 0"),
        (lambda: scaled_dot_product_attention(normal(0, 2, 1, 4), normal(0, 3, 1, 4), A[:1]),
         ValueError, "leading axes do not broadcast"),
        (lambda: attention_backward(A, A, A, A[:1]), ValueError,
         "grad_out must have shape (2, 4), got (1, 4)"),
        (lambda: online_softmax_attention(A, A, A, 1.5), TypeError,  # type: ignore[arg-type]
         "block must be an integer, got 1.5"),
    ],
)  # fmt: skip
def test_attention_refuses(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()


# --- heads and the layer ---


@given(seeds, st.integers(0, 3), st.integers(0, 4), st.integers(1, 3), st.integers(1, 3))
def test_splitting_and_merging(seed: int, batch: int, tokens: int, heads: int, width: int) -> None:
    y = normal(seed, batch, tokens, 3 * heads * width)
    parts = tensor(y).reshape(batch, tokens, 3, heads, width).permute(2, 0, 3, 1, 4)
    for ours, theirs in zip(split_qkv(y, heads), parts, strict=True):
        assert_array_equal(ours, theirs.numpy())
    thirds = np.split(y, 3, axis=-1)
    for ours, third in zip(split_qkv(y, heads), thirds, strict=True):
        assert_array_equal(merge_heads(ours), third)


def test_heads_refuse() -> None:
    with pytest.raises(ValueError, match="dim 10 is not divisible by num_heads 3"):
        split_qkv(np.zeros((1, 2, 30)), 3)
    with pytest.raises(ValueError, match=r"last axis 35 is not 3 \* dim"):
        split_qkv(np.zeros((1, 2, 35)), 5)
    with pytest.raises(ValueError, match=r"y must be \(B, N, 3 \* dim\), got \(2, 36\)"):
        split_qkv(np.zeros((2, 36)), 3)
    with pytest.raises(ValueError, match=r"o must be \(B, h, N, d\), got \(2, 2\)"):
        merge_heads(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="num_heads must be >= 1, got 0"):
        split_qkv(np.zeros((1, 2, 36)), 0)
    with pytest.raises(ValueError, match="8 query heads are not a multiple of 3 key/value heads"):
        head_groups(8, 3)
    with pytest.raises(ValueError, match=r"k must be \(B, h_kv, S, d\), got \(2,\)"):
        repeat_kv(np.zeros(2), 2)
    with pytest.raises(ValueError, match="groups must be >= 1, got 0"):
        repeat_kv(np.zeros((1, 1, 1, 1)), 0)


def test_grouped_heads() -> None:
    q, k, v = normal(0, 2, 8, 5, 4), normal(1, 2, 2, 5, 4), normal(2, 2, 2, 5, 4)
    groups = head_groups(8, 2)
    assert groups == 4
    ours = scaled_dot_product_attention(q, repeat_kv(k, groups), repeat_kv(v, groups))
    arguments = [tensor(a) for a in (q, k, v)]
    close(ours, F.scaled_dot_product_attention(*arguments, enable_gqa=True))
    assert_array_equal(repeat_kv(k, 4), tensor(k).repeat_interleave(4, dim=1).numpy())
    tiled = [np.tile(a, (1, 4, 1, 1)) for a in (k, v)]
    assert np.abs(scaled_dot_product_attention(q, *tiled) - ours).max() > 0.5


def pair(dim: int, heads: int, **options: Any) -> tuple[MultiHeadSelfAttention, Any]:
    """Return our layer and PyTorch's, with the same weights."""
    torch.manual_seed(0)
    ours = MultiHeadSelfAttention(dim, heads, qkv_bias=True, **options).double()
    theirs = nn.MultiheadAttention(dim, heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        ours.qkv.bias.normal_()
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.proj.weight)
        theirs.out_proj.bias.copy_(ours.proj.bias)
    return ours, theirs


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("masked", [False, True])
def test_layer_against_torch(heads: int, masked: bool) -> None:
    ours, theirs = pair(12, heads)
    x, y = tensor(normal(1, 2, 5, 12), grad=True), tensor(normal(1, 2, 5, 12), grad=True)
    mask = torch.tensor(causal_mask(5)) if masked else None
    out, weights = ours(x, mask)
    hidden = None if mask is None else ~mask
    expected, expected_weights = theirs(y, y, y, attn_mask=hidden, average_attn_weights=False)
    close(out.detach(), expected)
    close(weights.detach(), expected_weights)
    fused, nothing = theirs(y, y, y, attn_mask=hidden, need_weights=False)
    assert nothing is None
    close(out.detach(), fused)
    (out**2).sum().backward()
    (expected**2).sum().backward()
    assert x.grad is not None and y.grad is not None
    close(x.grad, y.grad, rtol=1e-10, atol=1e-11)
    close(ours.qkv.weight.grad, theirs.in_proj_weight.grad, rtol=1e-10, atol=1e-11)
    close(ours.proj.weight.grad, theirs.out_proj.weight.grad, rtol=1e-10, atol=1e-11)

    q, k, v = split_qkv(ours.qkv(x).detach().numpy(), heads)
    plain = merge_heads(
        scaled_dot_product_attention(q, k, v, mask=None if mask is None else mask.numpy())
    )
    close(plain @ ours.proj.weight.detach().numpy().T + ours.proj.bias.detach().numpy(), out)


def test_layer_with_rows_without_a_key() -> None:
    ours, _ = pair(12, 3)
    x = tensor(normal(1, 2, 5, 12), grad=True)
    mask = torch.tensor(padding_mask([5, 0], 5))
    out, weights = ours(x, mask)
    assert_array_equal(weights.detach().numpy().sum(-1).round(12)[1], np.zeros((3, 5)))
    close(out[1].detach(), ours.proj.bias.expand(5, 12))
    (out**2).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert not x.grad[1].any()


def test_layer_at_its_edges() -> None:
    ours, _ = pair(12, 3)
    for shape in ((0, 5, 12), (2, 0, 12)):
        out, weights = ours(torch.zeros(shape, dtype=torch.float64))
        assert out.shape == shape
        assert weights.shape == (shape[0], 3, shape[1], shape[1])
    assert MultiHeadSelfAttention(12, 3).qkv.bias is None


def test_weights_of_the_layer_are_those_before_dropout() -> None:
    ours, theirs = pair(12, 3, attn_drop=0.5)
    theirs.dropout = 0.5
    x = tensor(normal(1, 2, 5, 12))
    assert_allclose(ours.train()(x)[1].sum(-1).detach(), np.ones((2, 3, 5)))
    sums = theirs.train()(x, x, x, average_attn_weights=False)[1].sum(-1)
    assert (sums - 1).abs().max() > 0.2
    close(ours.eval()(x)[0].detach(), theirs.eval()(x, x, x)[0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: MultiHeadSelfAttention(10, 3), ValueError,
         "dim 10 is not divisible by num_heads 3"),
        (lambda: MultiHeadSelfAttention(12, 0), ValueError, "num_heads must be >= 1, got 0"),
        (lambda: MultiHeadSelfAttention(12, 3, attn_drop=1.0), ValueError,
         "attn_drop must be in [0, 1), got 1.0"),
        (lambda: MultiHeadSelfAttention(12, 3, proj_drop=-0.1), ValueError,
         "proj_drop must be in [0, 1), got -0.1"),
        (lambda: MultiHeadSelfAttention(12, 3)(torch.zeros(5, 12)), ValueError,
         "x must be (B, N, 12), got (5, 12)"),
        (lambda: MultiHeadSelfAttention(12, 3)(torch.zeros(1, 5, 8)), ValueError,
         "x must be (B, N, 12), got (1, 5, 8)"),
        (lambda: MultiHeadSelfAttention(12, 3)(torch.zeros(1, 5, 12), torch.ones(5, 5)), TypeError,
         "mask must be bool (True = may attend), got torch.float32"),
        (lambda: MultiHeadSelfAttention(12, 3)(
            torch.zeros(1, 5, 12), torch.ones(4, 5, dtype=torch.bool)), ValueError,
         "mask (4, 5) does not broadcast to weights (1, 3, 5, 5)"),
    ],
)  # fmt: skip
def test_layer_refuses(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()


# --- cache and cost ---


def test_cached_decoding_equals_the_causal_pass() -> None:
    q, k, v = (normal(i, 2, 3, 12, 4) for i in range(3))
    whole = scaled_dot_product_attention(q, k, v, causal="top-left")
    cache = KVCache(1, 2, 3, 4, 12, np.float64)
    for t in range(12):
        keys, values = cache.append(0, k[:, :, t : t + 1], v[:, :, t : t + 1])
        assert cache.tokens == t + 1
        step = scaled_dot_product_attention(q[:, :, t : t + 1], keys, values)
        assert_allclose(step, whole[:, :, t : t + 1], rtol=1e-12, atol=1e-14)
    words = "cache holds 12 tokens; appending 1 exceeds max_tokens 12"
    with pytest.raises(ValueError, match=re.escape(words)):
        cache.append(0, k[:, :, :1], v[:, :, :1])
    assert cache.tokens == 12


def test_cache() -> None:
    cache = KVCache(2, 1, 2, 4, 6, np.float16)
    assert cache.nbytes == kv_cache_bytes(2, 2, 4, 2, 6) == 2 * 2 * 2 * 4 * 2 * 6
    keys, values = cache.append(1, normal(0, 1, 2, 3, 4), normal(1, 1, 2, 3, 4))
    assert cache.tokens == 0  # layer 0 has none yet
    assert keys.dtype == np.float16 and values.shape == (1, 2, 3, 4)
    was = keys.copy()
    with pytest.raises(ValueError, match="read-only"):
        keys[...] = 0
    cache.append(0, normal(0, 1, 2, 3, 4), normal(1, 1, 2, 3, 4))
    assert cache.tokens == 3
    cache.append(1, normal(2, 1, 2, 3, 4), normal(3, 1, 2, 3, 4))
    assert_array_equal(keys, was)
    for call, words in (
        (lambda: cache.append(2, was, was), "layer 2 does not exist: the cache has 2"),
        (lambda: cache.append(0, was[0], was), "k must have shape (1, 2, n, 4), got (2, 3, 4)"),
        (lambda: cache.append(0, was, was[:, :, :1]),
         "v must have shape (1, 2, n, 4), got (1, 2, 1, 4)"),
        (lambda: KVCache(1, 1, 0, 4, 6), "kv_heads must be >= 1, got 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(words)):
            call()
    with pytest.raises(TypeError, match="dtype must be floating, got int64"):
        KVCache(1, 1, 1, 1, 1, np.int64)


@pytest.mark.parametrize(
    ("model", "kib"),
    [
        ((12, 12, 64, 2), 36),  # GPT-2 small
        ((32, 32, 128, 2), 512),  # Llama 2 7B
        ((32, 8, 128, 2), 128),  # Llama 3 8B
        ((80, 8, 128, 2), 320),  # Llama 2 70B
        ((80, 64, 128, 2), 2560),  # the same without shared heads
    ],
)
def test_bytes_a_token(model: tuple[int, int, int, int], kib: int) -> None:
    assert kv_cache_bytes(*model, tokens=1) == kib * 1024
    assert kv_cache_bytes(*model, tokens=10, batch=3) == 30 * kib * 1024
    with pytest.raises(ValueError, match="layers must be >= 1, got 0"):
        kv_cache_bytes(0, *model[1:], tokens=1)


@pytest.mark.parametrize(("tokens", "dim"), [(64, 64), (10, 24), (32, 8)])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_flops_as_torch_counts_them(tokens: int, dim: int, heads: int) -> None:
    layer = MultiHeadSelfAttention(dim, heads)
    ffn = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))
    x = torch.zeros(1, tokens, dim)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() == attention_flops(tokens, dim)["total"]
    with FlopCounterMode(display=False) as counter:
        ffn(layer(x)[0])
    assert counter.get_total_flops() == attention_flops(tokens, dim, ffn_multiple=4)["total"]


def test_flops() -> None:
    assert attention_flops(64, 64)["total"] == 3_145_728
    at = attention_flops(2 * 512, 512)
    assert at["projections"] == at["scores"] + at["values"]
    at = attention_flops(6 * 512, 512, ffn_multiple=4)
    assert at["projections"] + at["ffn"] == at["scores"] + at["values"]
    assert attention_flops(0, 8)["total"] == 0
    with pytest.raises(ValueError, match="dim must be >= 1, got 0"):
        attention_flops(3, 0)


# --- positions ---


def test_sinusoidal_positions() -> None:
    table = sinusoidal_positions(50, 16)
    position, i = torch.arange(50.0).double()[:, None], torch.arange(8).double()
    angles = position / 10_000 ** (2 * i / 16)
    close(table[:, 0::2], angles.sin())
    close(table[:, 1::2], angles.cos())
    products = table @ table.T
    for offset in range(50):  # constant along each diagonal
        assert np.ptp(np.diagonal(products, offset)) < 1e-13
    with pytest.raises(ValueError, match="d must be even, got 7"):
        sinusoidal_positions(3, 7)
    with pytest.raises(ValueError, match="base must be > 0 and finite, got 0"):
        sinusoidal_positions(3, 8, base=0)
    assert sinusoidal_positions(0, 4).shape == (0, 4)


@explore
@given(seeds, st.integers(1, 4), st.integers(-50, 50))
def test_rope_is_relative_and_keeps_norms(seed: int, half: int, shift: int) -> None:
    q, k = normal(seed, 3, 5, 2 * half), normal(seed + 1, 3, 5, 2 * half)
    places = np.arange(5)
    here = rope(q, places) @ rope(k, places).swapaxes(-1, -2)
    there = rope(q, places + shift) @ rope(k, places + shift).swapaxes(-1, -2)
    assert_allclose(here, there, atol=1e-12)
    assert_allclose((rope(q, places) ** 2).sum(-1), (q**2).sum(-1), rtol=1e-12)
    pairs = torch.view_as_complex(tensor(q).reshape(3, 5, half, 2))
    angles = torch.tensor(places)[:, None] * 10_000.0 ** (-torch.arange(half).double() / half)
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles))
    close(rope(q, places), turned.reshape(q.shape), atol=1e-12)


def test_rope_refuses() -> None:
    with pytest.raises(ValueError, match="d must be even, got 3"):
        rope(np.zeros((2, 3)), [0, 1])
    with pytest.raises(ValueError, match=r"positions must have shape \(2,\), got \(3,\)"):
        rope(np.zeros((2, 4)), [0, 1, 2])
    with pytest.raises(ValueError, match=r"x must be \(\.\.\., N, d\), got \(4,\)"):
        rope(np.zeros(4), [0])
    with pytest.raises(ValueError, match="positions must be finite, got nan"):
        rope(np.zeros((1, 4)), [np.nan])
    assert rope(np.zeros((2, 0, 4)), []).shape == (2, 0, 4)


def test_alibi() -> None:
    bias = alibi_bias(8, 3, 5)
    assert bias.shape == (8, 3, 5)
    assert_array_equal(-bias[:, 2, 3], 2.0 ** -np.arange(1, 9))  # one step back: 1/2 … 1/256
    assert_array_equal(bias[0], [[-1, -0.5, 0, -0.5, -1], [-1.5, -1, -0.5, 0, -0.5],
                                 [-2, -1.5, -1, -0.5, 0]])  # fmt: skip
    with pytest.raises(ValueError, match="num_heads 6 is not a power of two"):
        alibi_bias(6, 2, 2)
    with pytest.raises(ValueError, match="L must be >= 0, got -1"):
        alibi_bias(4, -1, 2)
