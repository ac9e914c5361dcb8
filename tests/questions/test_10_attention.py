"""The numbers in ``book/questions/10_attention.yml``: each entry names its tests."""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional

from booksite.questions.reading import read
from dlbook.attention import (
    alibi_bias,
    attention_backward,
    attention_flops,
    causal_mask,
    head_groups,
    kv_cache_bytes,
    online_softmax_attention,
    padding_mask,
    repeat_kv,
    rope,
    scaled_dot_product_attention,
    sinusoidal_positions,
    softmax,
    split_qkv,
)
from dlbook.attention_layer import MultiHeadSelfAttention

BANK = Path(__file__).resolve().parents[2] / "book/questions/10_attention.yml"


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def entropy(weights: Any) -> float:
    """Return the mean entropy of rows, of the largest possible."""
    logs = np.log(np.where(weights > 0, weights, 1))
    return float(-(weights * logs).sum(-1).mean() / np.log(weights.shape[-1]))


def random_logits(d: int, draws: int = 1000) -> Any:
    return (normal(1, draws, 16, d) @ normal(2, draws, d, 1))[..., 0]


# --- The one line ---


def test_shapes() -> None:
    q, k, v = split_qkv(normal(0, 2, 5, 36), 3)
    out, weights = scaled_dot_product_attention(q, k, v, return_weights=True)
    assert (q.shape, weights.shape, out.shape) == ((2, 3, 5, 4), (2, 3, 5, 5), (2, 3, 5, 4))
    assert MultiHeadSelfAttention(12, 3)(torch.zeros(2, 5, 12))[0].shape == (2, 5, 12)
    assert_allclose(weights.sum(-1), 1)


def test_tied_projections_are_symmetric() -> None:
    x, w, other = normal(0, 6, 4), normal(1, 4, 4), normal(2, 4, 4)
    tied, free = (x @ w) @ (x @ w).T, (x @ w) @ (x @ other).T
    assert_allclose(tied, tied.T)
    assert np.abs(free - free.T).max() > 1


def test_variance_of_a_product() -> None:
    for d in (4, 64, 1024):
        assert random_logits(d).var() == pytest.approx(d, rel=0.1)
    assert normal(0, 100_000).std() * normal(1, 100_000).std() == pytest.approx(1, abs=0.01)


def test_jacobian_at_1024() -> None:
    z = random_logits(1024, 2000)

    def median(weights: Any) -> float:
        return float(np.median([np.linalg.norm(np.diag(a) - np.outer(a, a)) for a in weights]))

    assert 5e-6 < median(softmax(z)) < 5e-5
    assert median(softmax(z / 32)) == pytest.approx(0.30, abs=0.01)
    norms = {}
    q, k, v, flow = normal(3, 500, 1, 1024), normal(4, 500, 16, 1024), normal(5, 500, 16, 16), None
    flow = normal(6, 500, 1, 16)
    flow /= np.linalg.norm(flow, axis=-1, keepdims=True)
    for scale in (1.0, 1 / 32):
        dq = attention_backward(q, k, v, flow, scale=scale)[0]
        norms[scale] = np.linalg.norm(dq[:, 0], axis=1)
    assert np.median(norms[1.0]) < 1e-3 < 0.2 < np.median(norms[1 / 32])
    assert 3 < norms[1.0].mean() / norms[1 / 32].mean() < 6


def test_unit_vectors() -> None:
    vectors = normal(0, 2, 20_000, 64)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    assert (vectors[0] * vectors[1]).sum(-1).std() == pytest.approx(1 / 8, rel=0.02)


def test_entropies_of_three_scales() -> None:
    z = random_logits(1024)
    assert entropy(softmax(z / 32)) == pytest.approx(0.85, abs=0.01)
    assert entropy(softmax(z / 1024)) > 0.999
    assert entropy(softmax(z)) == pytest.approx(0.03, abs=0.01)


def test_scale_by_the_wrong_width() -> None:
    layer = MultiHeadSelfAttention(512, 8)
    assert 1 / layer.scale == 8
    z = random_logits(64, 4000) / math.sqrt(512)
    assert z.var() == pytest.approx(0.125, abs=0.005)
    assert entropy(softmax(z)) == pytest.approx(0.98, abs=0.005)


def test_softmax_without_the_maximum() -> None:
    with np.errstate(all="ignore"):
        for values in (np.array([0, 100], np.float32), np.array([0, 1000.0])):
            naive = np.exp(values) / np.exp(values).sum()
            assert naive[0] == 0 and np.isnan(naive[1])
            assert_allclose(softmax(values), [0, 1], atol=1e-40)
        z = np.array([[0.0, 1.0], [1000.0, 1001.0]])
        grown = np.exp(z - z.max())  # one maximum for both rows
        assert np.isnan(grown / grown.sum(-1, keepdims=True)).any()


def test_gradient_of_the_logits() -> None:
    z = torch.tensor(normal(0, 3, 5), requires_grad=True)
    d_a = normal(1, 3, 5)
    z.softmax(-1).backward(torch.tensor(d_a))
    a = softmax(z.detach().numpy())
    d_z = a * (d_a - (a * d_a).sum(-1, keepdims=True))
    assert z.grad is not None
    assert_allclose(d_z, z.grad.numpy(), atol=1e-14)
    assert_allclose(d_z.sum(-1), 0, atol=1e-14)
    v, d_out = normal(2, 5, 4), normal(3, 3, 4)
    assert_allclose((a * (d_out @ v.T)).sum(-1), (d_out * (a @ v)).sum(-1))


def test_hidden_layer_of_additive_scores() -> None:
    assert 1024 * 1024 * 64 == 64 * 1024**2
    hidden = np.tanh(normal(0, 7, 1, 64) + normal(1, 1, 11, 64))
    assert hidden.size == 64 * (hidden @ normal(2, 64)).size


def test_cross_attention_shapes() -> None:
    source = normal(0, 11, 4)
    out, weights = scaled_dot_product_attention(
        normal(1, 7, 4), source, source, return_weights=True
    )
    assert weights.shape == (7, 11) and out.shape == (7, 4)
    empty = scaled_dot_product_attention(normal(1, 7, 4), source[:0], source[:0])
    assert_array_equal(empty, np.zeros((7, 4)))


# --- Heads ---


def test_parameters_for_any_number_of_heads() -> None:
    for heads in (1, 2, 3, 4, 6, 12):
        layer = MultiHeadSelfAttention(12, heads, qkv_bias=True)
        assert sum(p.numel() for p in layer.parameters()) == 624 == 4 * 144 + 48
    with pytest.raises(AssertionError, match="embed_dim must be divisible by num_heads"):
        nn.MultiheadAttention(10, 3)


def test_rank_of_a_head() -> None:
    z = normal(0, 32, 4) @ normal(1, 32, 4).T / 2
    assert np.linalg.matrix_rank(z) == 4
    assert np.linalg.matrix_rank(softmax(z)) > 16


def test_parameters_of_a_layer() -> None:
    layer = nn.MultiheadAttention(768, 12)
    assert sum(p.numel() for p in layer.parameters()) == 2_362_368 == 4 * 589_824 + 3072
    assert layer.in_proj_weight.shape == (3 * 768, 768)


def test_parameters_of_a_block() -> None:
    block = nn.TransformerEncoderLayer(768, 12, 4 * 768)
    count = sum(p.numel() for p in block.parameters())
    assert count == 12 * 768**2 + 13 * 768 == 7_087_872
    assert round(12 * count / 1e6, 1) == 85.1


def test_column_13() -> None:
    columns = np.arange(24.0).reshape(1, 1, 24)
    assert split_qkv(columns, 2)[1][0, 1, 0, 1] == 13
    for column in range(24):
        part, rest = divmod(column, 8)
        assert split_qkv(columns, 2)[part][0, rest // 4, 0, rest % 4] == column


def test_three_wrong_versions() -> None:
    # The wrong axis.
    wrong = softmax(normal(0, 5, 5), axis=0)
    assert_allclose(wrong.sum(0), 1)
    assert np.abs(wrong.sum(1) - 1).max() > 0.1

    # No transpose: a later token changes an earlier output, but for one head.
    def outputs(x: Any, heads: int) -> Any:
        parts = [part.reshape(1, heads, 4, 8 // heads) for part in np.split(x @ w, 3, axis=-1)]
        out = scaled_dot_product_attention(*parts, causal="top-left")
        return out.transpose(0, 2, 1, 3).reshape(1, 4, 8)

    w, x = normal(1, 8, 24), normal(2, 1, 4, 8)
    other = x.copy()
    other[0, 3] += 1
    for heads, leaks in ((1, False), (2, True)):
        changed = np.abs(outputs(other, heads) - outputs(x, heads))[0, :3].max() > 1e-9
        assert changed == leaks

    # The inverted mask.
    module = nn.MultiheadAttention(4, 2, batch_first=True)
    tokens = torch.tensor(normal(3, 1, 5, 4), dtype=torch.float32)
    _, weights = module(tokens, tokens, tokens, attn_mask=torch.tensor(causal_mask(5)))
    assert weights[0, 0, 0] == 0 and weights[0, 4].isnan().all()


def test_the_code_of_the_answer() -> None:
    entry = next(q for q in read(BANK).questions if q.id == "attention-write")
    found = re.search(r"```python\n(.*?)```", entry.full, re.S)
    assert found is not None
    torch.manual_seed(0)
    qkv, proj = nn.Linear(12, 36).double(), nn.Linear(12, 12).double()
    mask = torch.tensor(padding_mask([5, 3, 0], 5) & causal_mask(5))
    x, y = (torch.tensor(normal(0, 3, 5, 12), requires_grad=True) for _ in range(2))
    names: dict[str, Any] = {"x": x, "qkv": qkv, "proj": proj, "h": 3, "mask": mask}
    exec(found[1], names)
    q, k, v = qkv(y).reshape(3, 5, 3, 3, 4).permute(2, 0, 3, 1, 4)
    expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    expected = proj(expected.transpose(1, 2).reshape(3, 5, 12))
    assert (names["out"] - expected).abs().max() < 5e-15
    (names["out"] ** 2).sum().backward()
    (expected**2).sum().backward()
    assert x.grad is not None and y.grad is not None
    assert (x.grad - y.grad).abs().max() < 1e-13
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        expected.reshape(3, 5, 3, 4).transpose(1, 2).view(3, 5, 12)


def test_other_weights_same_output() -> None:
    values = np.array([[1.0, 2.0], [1.0, 2.0]])
    assert_allclose(np.array([0.9, 0.1]) @ values, np.array([0.1, 0.9]) @ values)


# --- Masks ---


def test_empty_rows() -> None:
    x = torch.tensor(normal(0, 1, 5, 12))
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2] = False
    q = x[:, None]
    answer = functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)
    assert not answer[0, 0, 2].any()
    module = nn.MultiheadAttention(12, 4, batch_first=True, dtype=torch.float64)
    nn.init.normal_(module.out_proj.bias)
    assert module(x, x, x, attn_mask=~mask)[0][0, 2].isnan().all()
    bare = module(x, x, x, attn_mask=~mask, need_weights=False)[0][0, 2]
    assert torch.equal(bare, module.out_proj.bias)
    module.eval()
    with torch.no_grad():  # the fast path, for an even number of heads
        for need in (True, False):
            out = module(x, x, x, attn_mask=~mask, need_weights=need)[0]
            assert out[0, 2].isnan().all()


def test_large_negative_numbers() -> None:
    assert_allclose(softmax(np.full(4, -1e9)), 0.25)
    with pytest.raises(RuntimeError, match="cannot be converted to type c10::Half"):
        torch.zeros(2, dtype=torch.float16).masked_fill(torch.tensor([True, False]), -1e9)


def test_is_causal_is_top_left() -> None:
    q, k, eye = torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 5, 4), torch.eye(5)[None, None]
    seen = functional.scaled_dot_product_attention(q, k, eye, is_causal=True)
    assert seen.flatten().tolist() == [1, 0, 0, 0, 0]
    assert_array_equal(causal_mask(1, 5, "bottom-right"), [[True] * 5])


def test_masking_after() -> None:
    z = np.array([2.0, 1.0, 3.0])
    assert softmax(np.array([2, 1, -np.inf])).round(3).tolist() == [0.731, 0.269, 0]
    after = softmax(z) * [1, 1, 0]
    assert after.round(3).tolist() == [0.245, 0.09, 0]
    assert round(after.sum(), 2) == 0.33
    assert not np.allclose(after, softmax(np.array([2.0, 1.0, 4.0])) * [1, 1, 0])


def test_allowed_pairs() -> None:
    assert causal_mask(4).sum() == 10
    assert padding_mask([4], 4).repeat(4, axis=2).sum() == 16


def test_dropout_on_weights() -> None:
    sums = {round(sum(kept) * 2 / 5, 1) for kept in product((0, 1), repeat=5)}
    assert sums == {0, 0.4, 0.8, 1.2, 1.6, 2.0}
    torch.manual_seed(0)
    module = nn.MultiheadAttention(12, 3, dropout=0.5, batch_first=True)
    x = torch.zeros(2, 5, 12)  # equal logits
    rows = module(x, x, x, average_attn_weights=False)[1].sum(-1).flatten().tolist()
    assert {round(row, 1) for row in rows} <= sums
    assert len({round(row, 1) for row in rows}) > 2
    torch.manual_seed(0)
    q = torch.zeros(1, 1, 5, 4)
    eye = torch.eye(5)[None, None]
    dropped = functional.scaled_dot_product_attention(q, q, eye, dropout_p=0.5)
    assert not torch.allclose(dropped.sum(-1), torch.ones(5))


# --- Cost ---


def test_flops() -> None:
    for tokens, dim in ((512, 512), (64, 32)):
        parts = attention_flops(tokens, dim, ffn_multiple=4)
        assert parts["projections"] == 8 * tokens * dim**2
        assert parts["scores"] + parts["values"] == 4 * tokens**2 * dim
        assert parts["ffn"] == 16 * tokens * dim**2
    shares = []
    for tokens in (512, 1024):
        parts = attention_flops(tokens, 512)
        shares.append((parts["scores"] + parts["values"]) / parts["total"])
    assert shares == [pytest.approx(1 / 3), pytest.approx(1 / 2)]
    at = attention_flops(6 * 512, 512, ffn_multiple=4)
    assert at["projections"] + at["ffn"] == at["scores"] + at["values"]


def test_memory_of_weights() -> None:
    assert 16 * 16_384**2 * 2 == 2**33 == 8 * 2**30


def test_layers_of_a_convolution() -> None:
    """A tenth of a thousand positions: as many layers as positions, or half if causal."""
    offset = np.arange(101)[:, None] - np.arange(101)  # output − input
    for sees, expected in ((abs(offset) <= 1, 100), ((offset >= 0) & (offset <= 2), 50)):
        reach, layers = np.eye(101, dtype=bool), 0
        while not reach[100, 0]:
            reach, layers = reach @ sees, layers + 1
        assert layers == expected


def test_online_equals_whole() -> None:
    q, k, v = 100 * normal(0, 4, 8), normal(1, 33, 8), normal(2, 33, 5)
    whole = scaled_dot_product_attention(q, k, v)
    for block in (1, 5, 32, 33, 100):
        assert_allclose(online_softmax_attention(q, k, v, block), whole, atol=1e-14)


def test_online_softmax_by_hand() -> None:
    k = np.array([[0.0], [math.log(3)]])
    weights = online_softmax_attention(np.ones((1, 1)), k, np.eye(2), 1, scale=1.0)
    assert_allclose(weights, [[1 / 4, 3 / 4]])
    assert math.exp(0 - math.log(3)) * 1 + 1 == pytest.approx(4 / 3)


def test_weights_from_one_number() -> None:
    z = 10 * normal(0, 4, 6)
    lse = torch.tensor(z).logsumexp(-1, keepdim=True).numpy()
    assert_allclose(np.exp(z - lse), softmax(z))


def test_saved_bytes() -> None:
    assert 8 * 4096 * 4 == 128 * 2**10
    assert 8 * 4096**2 * 4 == 512 * 2**20


def test_reach_of_windows() -> None:
    assert 32 * 4095 + 1 == 131_041
    reach = np.eye(12, dtype=bool)
    window = causal_mask(12) & ~np.tril(np.ones((12, 12), bool), -3)  # itself and 2 before
    for _ in range(4):
        reach = reach @ window
    assert reach[11].sum() == 4 * 2 + 1


# --- Decoding ---


def test_cache_sizes() -> None:
    assert kv_cache_bytes(32, 8, 128, 2, 1) == 131_072 == 128 * 2**10
    assert kv_cache_bytes(32, 8, 128, 2, 8192) == 2**30
    assert kv_cache_bytes(12, 12, 64, 2, 1) == 36 * 2**10
    assert kv_cache_bytes(32, 32, 128, 2, 1) == 512 * 2**10
    assert kv_cache_bytes(32, 32, 128, 2, 4096) == 2 * 2**30
    assert kv_cache_bytes(80, 8, 128, 2, 1) == 320 * 2**10
    assert kv_cache_bytes(80, 64, 128, 2, 1) == 2.5 * 2**20


def test_work_with_and_without_a_cache() -> None:
    for step in (1, 6, 12):
        assert causal_mask(step).sum() == step * (step + 1) // 2
        assert causal_mask(1, step, "bottom-right").sum() == step


def test_grouped_heads() -> None:
    q, k, v = normal(0, 1, 8, 5, 4), normal(1, 1, 2, 5, 4), normal(2, 1, 2, 5, 4)
    groups = head_groups(8, 2)
    ours = scaled_dot_product_attention(q, repeat_kv(k, groups), repeat_kv(v, groups))
    theirs = functional.scaled_dot_product_attention(
        *(torch.tensor(a) for a in (q, k, v)), enable_gqa=True
    )
    assert_allclose(ours, theirs.numpy(), atol=1e-14)
    assert_array_equal(repeat_kv(k, 4)[0, :4], np.repeat(k[0, :1], 4, axis=0))
    assert kv_cache_bytes(1, 2, 64, 2, 1) * 4 == kv_cache_bytes(1, 8, 64, 2, 1)
    assert 2 * 512 * 2 * 64 == 2 * 512 * 128
    with pytest.raises(ValueError, match="8 query heads are not a multiple of 3"):
        head_groups(8, 3)


def test_flops_a_byte() -> None:
    for tokens in (1, 1000):
        assert 2 * tokens * 512**2 / (2 * 512**2) == tokens


# --- Positions ---


def test_equivariance() -> None:
    x, w = normal(0, 6, 4), normal(1, 3, 4, 4)
    order = np.random.default_rng(2).permutation(6)

    def attend(tokens: Any, **options: Any) -> Any:
        return scaled_dot_product_attention(*(tokens @ m for m in w), **options)

    assert_allclose(attend(x[order]), attend(x)[order], atol=1e-13)
    causal = attend(x[order], causal="top-left"), attend(x, causal="top-left")[order]
    assert np.abs(causal[0] - causal[1]).max() > 0.1
    assert_allclose(attend(x[order]).mean(0), attend(x).mean(0), atol=1e-13)  # pooled


def test_positions() -> None:
    code, w = sinusoidal_positions(20, 16), normal(0, 2, 16, 16)
    raw, projected = code @ code.T, (code @ w[0]) @ (code @ w[1]).T
    assert max(np.ptp(np.diagonal(raw, i)) for i in range(20)) < 1e-13
    assert max(np.ptp(np.diagonal(projected, i)) for i in range(20)) > 1
    q, k = normal(1, 1, 8), normal(2, 1, 8)
    logits = [(rope(q, [i]) @ rope(k, [i + 3]).T).item() for i in (0, 5, 100)]
    assert_allclose(logits, logits[0])
    assert_allclose(np.linalg.norm(rope(q, [7])), np.linalg.norm(q))
    slopes = -alibi_bias(8, 1, 2)[:, 0, 0]
    assert_array_equal(slopes, [2.0**-h for h in range(1, 9)])


# --- The block ---


def test_share_of_the_feed_forward_part() -> None:
    assert pytest.approx(2 / 3) == 8 / 12
    assert 3 * (8 / 3) == 8  # three matrices of C × 8C/3


def test_tied_embedding() -> None:
    shared = 50_257 * 768
    assert round(shared / 1e6, 1) == 38.6
    whole = shared + 1024 * 768 + 12 * (12 * 768**2 + 13 * 768) + 2 * 768
    assert round(whole / 1e6) == 124
    assert 0.3 < shared / whole < 1 / 3


def test_patches() -> None:
    patches = nn.Conv2d(3, 768, 16, stride=16)(torch.zeros(1, 3, 224, 224))
    assert patches.shape == (1, 768, 14, 14)
    assert 14**2 == 196 and 16 * 16 * 3 == 768
    assert (224 // 8) ** 2 == 4 * 196


def test_bounded_logits() -> None:
    z = np.full(16, -1.0)
    z[0] = 1
    assert softmax(z)[0] == pytest.approx(1 / (1 + 15 * math.exp(-2)))
    assert round(softmax(z)[0], 2) == 0.33


def last_gradient(depth: int, pre: bool, seed: int) -> float:
    """Return the gradient's norm at the last feed-forward weight, at the start."""
    torch.manual_seed(seed)
    layers = [
        nn.TransformerEncoderLayer(64, 4, 256, 0.0, batch_first=True, norm_first=pre)
        for _ in range(depth)
    ]
    for name, p in nn.ModuleList(layers).named_parameters():
        if p.ndim == 1 and "norm" not in name:
            nn.init.zeros_(p)
        for part in p.data.chunk(3 if "in_proj" in name else 1) if p.ndim == 2 else ():
            nn.init.xavier_uniform_(part)
    hidden = torch.randn(4, 16, 64)
    for layer in layers:
        hidden = layer(hidden)
    final = functional.layer_norm(hidden, (64,)) if pre else hidden
    functional.mse_loss(final, torch.randn_like(final)).backward()
    grad = layers[-1].linear2.weight.grad
    assert grad is not None
    return float(grad.norm())


def test_pre_and_post_norm() -> None:
    for pre, factor in ((True, 0.5), (False, 1.0)):
        shallow, deep = (np.mean([last_gradient(n, pre, s) for s in range(4)]) for n in (6, 24))
        assert deep / shallow == pytest.approx(factor, rel=0.2)
