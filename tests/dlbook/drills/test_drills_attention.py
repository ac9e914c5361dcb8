"""The drills of chapter 10: other right solutions, and known mistakes in other people's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dlbook import attention as reference
from dlbook.drills import drill, grade

# --- other right solutions ---


def mask_by_comparison(queries: Any, keys: Any) -> Any:
    return np.arange(keys) <= np.arange(queries)[:, None] + keys - queries


def attention_by_torch(q: Any, k: Any, v: Any, mask: Any) -> Any:
    given = [torch.tensor(a)[None, None] for a in (q, k, v, mask)]
    return functional.scaled_dot_product_attention(*given[:3], attn_mask=given[3])[0, 0].numpy()


def attention_by_rows(q: Any, k: Any, v: Any, mask: Any) -> Any:
    out = np.zeros((len(q), v.shape[1]))
    for i, allowed in enumerate(mask):
        if allowed.any():
            z = k[allowed] @ q[i] / q.shape[1] ** 0.5
            weights = np.exp(z - z.max())
            out[i] = weights @ v[allowed] / weights.sum()
    return out


def heads_by_einsum(x: Any, w_qkv: Any, w_proj: Any, h: Any) -> Any:
    width = x.shape[2]
    weights = w_qkv.reshape(3, h, width // h, width)
    q, k, v = np.einsum("bnc,ahdc->abhnd", x, weights)
    z = np.einsum("bhid,bhjd->bhij", q, k) / (width // h) ** 0.5
    out = np.einsum("bhij,bhjd->bihd", reference.softmax(z), v)
    return np.einsum("bihd,ohd->bio", out, w_proj.reshape(width, h, width // h))


def heads_by_reference(x: Any, w_qkv: Any, w_proj: Any, h: Any) -> Any:
    q, k, v = reference.split_qkv(x @ w_qkv.T, h)
    return reference.merge_heads(reference.scaled_dot_product_attention(q, k, v)) @ w_proj.T


def decode_with_the_cache(model: Any, x: Any) -> Any:
    count, width = x.shape
    cache = reference.KVCache(1, 1, 1, width, count, np.float64)
    out = np.empty_like(x)
    for t in range(count):
        q, k, v = model.qkv(x[t], t)
        keys, values = cache.append(0, k[None, None, None], v[None, None, None])
        out[t] = reference.scaled_dot_product_attention(q[None], keys[0, 0], values[0, 0])[0]
    return out


def online_by_reference(q: Any, k: Any, v: Any, block: Any) -> Any:
    return reference.online_softmax_attention(q, k, v, block)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("causal_mask", mask_by_comparison),
        ("causal_mask", lambda m, n: reference.causal_mask(m, n, "bottom-right")),
        ("attention", attention_by_torch),
        ("attention", attention_by_rows),
        ("multi_head", heads_by_einsum),
        ("multi_head", heads_by_reference),
        ("decode", decode_with_the_cache),
        ("online_attention", online_by_reference),
    ],
)
def test_another_right_solution_passes(name: str, function: Any) -> None:
    report = grade(name, function)
    assert report.passed, report
    assert report.follow_up == drill(name).follow_up


# --- mistakes, as others write them ---


def torch_is_causal(queries: Any, keys: Any) -> Any:
    return torch.ones(queries, keys, dtype=torch.bool).tril(0).numpy()


def masked_fill_and_softmax(q: Any, k: Any, v: Any, mask: Any) -> Any:
    z = torch.tensor(q) @ torch.tensor(k).T / q.shape[1] ** 0.5
    weights = z.masked_fill(~torch.tensor(mask), float("-inf")).softmax(-1)
    return (weights @ torch.tensor(v)).numpy()


def masked_fill_with_a_number(q: Any, k: Any, v: Any, mask: Any) -> Any:
    z = torch.tensor(q) @ torch.tensor(k).T / q.shape[1] ** 0.5
    return (z.masked_fill(~torch.tensor(mask), -1e9).softmax(-1) @ torch.tensor(v)).numpy()


def mask_of_the_module(q: Any, k: Any, v: Any, mask: Any) -> Any:
    return attention_by_rows(q, k, v, ~mask)


def heads_by_view(x: Any, w_qkv: Any, w_proj: Any, h: Any) -> Any:
    """Take views without a transpose, in PyTorch."""
    batch, tokens, width = x.shape
    parts = functional.linear(torch.tensor(x), torch.tensor(w_qkv)).chunk(3, dim=-1)
    q, k, v = (part.reshape(batch, h, tokens, width // h) for part in parts)
    out = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return (out.reshape(batch, tokens, width) @ torch.tensor(w_proj).T).numpy()


def decode_by_torch(model: Any, x: Any) -> Any:
    keys, values, out = [], [], []
    for t, token in enumerate(x):
        q, k, v = (torch.tensor(a)[None, None, None] for a in model.qkv(token, t))
        keys.append(k)
        values.append(v)
        attended = functional.scaled_dot_product_attention(
            q, torch.cat(keys, 2), torch.cat(values, 2), is_causal=True
        )
        out.append(attended[0, 0, 0].numpy())
    return np.array(out)


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        ("causal_mask", torch_is_causal, "L=1, S=2: the last query sees 1 of 2 keys"),
        ("attention", masked_fill_and_softmax, "row 0 may attend to nothing: define"),
        ("attention", masked_fill_with_a_number, "row 0 may attend to nothing, and yours"),
        ("attention", mask_of_the_module, "the mask is inverted"),
        ("multi_head", heads_by_view, "right for h=1, wrong for h="),
        ("decode", decode_by_torch, "step 1 differs: the query sees key 0 only"),
    ],
)
def test_a_known_mistake_in_other_words_is_named(name: str, function: Any, words: str) -> None:
    report = grade(name, function)
    assert not report.passed
    assert str(report.mistake).startswith(words), report


def test_projecting_all_tokens_at_each_step_is_refused() -> None:
    def without_a_cache(model: Any, x: Any) -> Any:
        out = []
        for t in range(len(x)):
            parts = [model.qkv(x[i], i) for i in range(t + 1)]
            q, k, v = (np.stack(a) for a in zip(*parts, strict=True))
            out.append(reference.scaled_dot_product_attention(q[-1:], k, v)[0])
        return np.array(out)

    report = grade("decode", without_a_cache)
    assert not report.passed
    assert report.failed_case is not None
    assert "keep their keys and values" in report.failed_case.reason


def test_a_mask_of_numbers_is_refused() -> None:
    report = grade("causal_mask", lambda m, n: np.tri(m, n, n - m).astype(int))
    assert report.failed_case is not None
    assert report.failed_case.reason == "it returned integers, not booleans"


def test_the_words_of_the_mistakes_hold() -> None:
    """What the messages claim about the wrong layouts, on arrays that count."""
    heads, tokens, width = 3, 4, 2
    y = np.arange(tokens * 3 * heads * width, dtype=float).reshape(1, tokens, -1)
    right = y.reshape(1, tokens, 3, heads, width).transpose(2, 0, 3, 1, 4)
    other = y.reshape(1, tokens, heads, 3, width).transpose(3, 0, 2, 1, 4)
    assert np.array_equal(other[0][:, 1], right[1][:, 0])  # q of head 1 holds k of head 0
    merged = right[0].reshape(1, tokens, heads * width)
    assert np.array_equal(merged[0, 0, width : 2 * width], right[0][0, 0, 1])


def test_the_layer_of_the_oracle_has_no_bias() -> None:
    module = nn.MultiheadAttention(4, 2, bias=False)
    assert module.in_proj_bias is None and module.out_proj.bias is None
