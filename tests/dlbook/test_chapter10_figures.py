"""The figures of chapter 10: controls, captions, the numbers of the text, named failures."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from support.chapters import Defaults, figure_in, namespace_with
from torch.nn import functional

from livefigure import LiveFigure

NAMES = ("linked_matrices", "scale_lab", "fused_qkv", "masks", "cost", "kv_cache")
FIRST, WIDE, SWAPPED = (
    "animal crossed street because it tired",
    "animal crossed street because it wide",
    "street crossed animal because it tired",
)


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    names: dict[str, Any] = namespace_with("10_attention.ipynb", "kv_cache")
    return names


@pytest.fixture(scope="module")
def figures(namespace: dict[str, Any]) -> dict[str, tuple[LiveFigure, Defaults]]:
    return {name: (figure := figure_in(namespace, name), Defaults(figure)) for name in NAMES}


Figures = dict[str, tuple[LiveFigure, Defaults]]


def number(pattern: str, text: str) -> float:
    """Return the number that a pattern's first group holds in a caption."""
    match = re.search(pattern, text)
    assert match is not None, text
    return float(match[1].replace("−", "-").replace(",", ""))


@pytest.mark.parametrize(
    ("name", "states", "defaults"),
    [
        (
            "linked_matrices",
            648,
            {"sentence": FIRST, "query": 4, "key": 0, "scale": "1/√d", "mask": "none"},
        ),
        ("scale_lab", 270, {"d": 64, "scale": "1/√d", "keys": 16, "seed": 0}),
        ("fused_qkv", 1152, {"heads": 2, "code": "right", "token": 1, "column": 13}),
        (
            "masks",
            1152,
            {"L": 4, "S": 4, "causal": "top-left", "padded": 0,
             "convention": "SDPA: True = attend"},
        ),
        ("cost", 616, {"tokens": 512, "dim": 512, "block": "attention", "heads": 8}),
        ("kv_cache", 864, {"step": 6, "mode": "cache", "kv_heads": 8, "context": 8192}),
    ],
)  # fmt: skip
def test_controls_and_defaults(
    figures: Figures, name: str, states: int, defaults: dict[str, Any]
) -> None:
    figure, at = figures[name]
    at.caption()
    assert figure.states == states
    assert {key: widget.value for key, widget in figure.controls.items()} == defaults


@pytest.mark.parametrize("name", NAMES)
def test_captions_differ_and_limits_stay(
    figures: Figures, namespace: dict[str, Any], name: str
) -> None:
    figure, at = figures[name]
    at.caption()
    fig = {"linked_matrices": "linked", "scale_lab": "lab", "fused_qkv": "fused",
           "kv_cache": "kv"}.get(name, name)  # fmt: skip
    axes = namespace[f"{fig}_fig"].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    artists = [len(ax.get_children()) for ax in axes]
    shape = [len(widget._options_values) if hasattr(widget, "_options_values")
             else round((widget.max - widget.min) / widget.step) + 1
             for widget in figure.controls.values()]  # fmt: skip
    states = list(np.ndindex(*shape))[::5]
    texts = [figure._call(state) for state in states]
    # Padding is at most all keys, and at d = 1 all scales are one: such states say the same.
    assert len(set(texts)) > 0.8 * len(texts)
    assert not any(re.search(r"\bnan\b|\binf\b", text) for text in texts)
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits
    assert [len(ax.get_children()) for ax in axes] == artists


# --- linked_matrices ---


def test_it_looks_at_its_noun(figures: Figures) -> None:
    _, at = figures["linked_matrices"]
    weight = r"the weight ([\d.]+)\."
    text = at.caption()
    assert "q·k = 3·3 + 0·0 + 0·0 + 0·0 = 9, times 1/√d is 4.50" in text
    assert number(weight, text) == 0.931
    assert "The largest weight of the row is 0.931, on “animal”" in text
    assert "Output (2.81, 0.05, 0.04, 0.01)." in text
    assert number(weight, at.caption(scale="1")) == 0.999
    assert number(weight, at.caption(scale="1/d")) == 0.624
    assert number(weight, at.caption(mask="causal")) == 0.946
    assert "0.931, on “street”" in at.caption(sentence=WIDE)
    assert number(weight, at.caption(sentence=WIDE, key=2)) == 0.931


def test_swapped_words_and_the_mask(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["linked_matrices"]
    assert "rows and columns 0 and 2 swapped" in at.caption(sentence=SWAPPED)
    assert "the mask knows order" in at.caption(sentence=SWAPPED, mask="causal")
    swap = [2, 1, 0, 3, 4, 5]
    for mask, equal in (("none", True), ("causal", False)):
        one, other = (namespace["linked_state"](s, "1/√d", mask)[5] for s in (FIRST, SWAPPED))
        assert np.array_equal(one[np.ix_(swap, swap)], other) == equal


def test_the_first_token_copies_itself(figures: Figures) -> None:
    _, at = figures["linked_matrices"]
    text = at.caption(query=0, mask="causal")
    assert "it can only copy itself. Output (3.00, 0.00, 0.00, 0.00)." in text
    assert "its logit is −∞, its weight 0" in at.caption(query=0, key=3, mask="causal")


@pytest.mark.parametrize("sentence", [FIRST, WIDE, SWAPPED])
@pytest.mark.parametrize("scale", ["1", "1/√d", "1/d"])
@pytest.mark.parametrize("mask", ["none", "causal"])
def test_linked_matrices_are_torchs(
    namespace: dict[str, Any], sentence: str, scale: str, mask: str
) -> None:
    _, x, q, k, _, _, out = namespace["linked_state"](sentence, scale, mask)
    given = [torch.tensor(array)[None, None] for array in (q, k, x)]
    expected = functional.scaled_dot_product_attention(
        *given, is_causal=mask == "causal", scale={"1": 1, "1/√d": 0.5, "1/d": 0.25}[scale]
    )
    np.testing.assert_allclose(out, expected[0, 0].numpy(), atol=1e-14)


# --- scale_lab ---


@pytest.mark.parametrize(
    ("d", "entropy"), [(1, 0.87), (4, 0.63), (16, 0.32), (64, 0.14), (256, 0.07), (1024, 0.035)]
)
def test_entropies(namespace: dict[str, Any], d: int, entropy: float) -> None:
    unscaled = np.mean([namespace["lab"][d, "1", 16, seed]["entropy"] for seed in range(5)])
    scaled = [namespace["lab"][d, "1/√d", 16, seed]["entropy"] for seed in range(5)]
    assert unscaled == pytest.approx(entropy, abs=0.015)
    assert np.mean(scaled) == pytest.approx(0.865, abs=0.02)
    assert namespace["lab"][1024, "1/d", 16, 0]["entropy"] > 0.999


def test_gradients_without_the_scale(figures: Figures, namespace: dict[str, Any]) -> None:
    runs = [namespace["lab"][1024, "1", 16, seed] for seed in range(5)]
    scaled = [namespace["lab"][1024, "1/√d", 16, seed] for seed in range(5)]
    assert all(1e-4 < run["median"] < 8e-4 for run in runs)
    assert 1.0 < np.mean([run["mean"] for run in runs]) < 1.6
    assert np.mean([run["median"] for run in scaled]) == pytest.approx(0.27, abs=0.02)
    assert np.mean([run["mean"] for run in scaled]) == pytest.approx(0.29, abs=0.02)
    assert 0.45 < np.mean([run["tiny"] for run in runs]) < 0.65
    assert all(run["tiny"] == 0 for run in scaled)
    _, at = figures["scale_lab"]
    text = at.caption(d=1024, scale="1")
    assert "Saturated: on average 96% of the weight is on one key." in text
    assert number(r"Mean entropy is ([\d.]+)", text) == pytest.approx(0.035, abs=0.005)
    assert "the median is 3·10⁻⁴, the mean 1.24" in text
    assert "Flat:" in at.caption(d=1024, scale="1/d")
    assert "Saturated" not in at.caption() and "Flat" not in at.caption()
    assert "At d = 1 all three scales are 1." in at.caption(d=1, scale="1/d")


def test_gradients_of_the_lab_are_autograds(namespace: dict[str, Any]) -> None:
    d, n, seed = 16, 4, 2
    draw = np.random.default_rng([seed, d, n])
    q, k = (torch.tensor(draw.normal(size=s)) for s in ((200, d), (200, n, d)))
    v, flow = (torch.tensor(draw.normal(size=s)) for s in ((200, n, 16), (200, 16, 1)))
    flow = flow / flow.norm(dim=1, keepdim=True)
    leaf = q[:, None].requires_grad_()
    functional.scaled_dot_product_attention(leaf, k, v).backward(flow.mT)
    assert leaf.grad is not None
    norms = leaf.grad[:, 0].norm(dim=1).numpy()
    run = namespace["lab"][d, "1/√d", n, seed]
    assert run["median"] == pytest.approx(np.median(norms), rel=1e-9)
    assert run["mean"] == pytest.approx(norms.mean(), rel=1e-9)


# --- fused_qkv ---


def test_column_13(figures: Figures) -> None:
    _, at = figures["fused_qkv"]
    assert "column 13 of token 1 becomes k, head 1, token 1, channel 1, where it belongs" in (
        at.caption()
    )


@pytest.mark.parametrize(
    ("code", "shares"),
    [("right", (0, 0, 0, 0)), ("no transpose", (0, 75, 75, 94)),
     ("order (h, 3, d)", (0, 67, 83, 92))],
)  # fmt: skip
def test_same_shape_wrong_place(
    figures: Figures, namespace: dict[str, Any], code: str, shares: tuple[int, ...]
) -> None:
    _, at = figures["fused_qkv"]
    for heads, share in zip((1, 2, 4, 8), shares, strict=True):
        got, right = (namespace["FUSED"][heads, name] for name in (code, "right"))
        assert got.shape == right.shape == (3, heads, 4, 8 // heads)
        assert round(100 * np.mean(got != right)) == share
        text = at.caption(heads=heads, code=code)
        if share:
            assert f"Same shape, wrong place: {share}% of all cells." in text
        elif code != "right":
            assert "a test with one head finds nothing" in text
    expected = torch.arange(96).reshape(1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4)[:, 0]
    assert np.array_equal(namespace["FUSED"][2, "right"], expected.numpy())


def test_frames_show_both_places(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["fused_qkv"]
    at.caption()
    assert not namespace["fused_home"].get_visible()
    assert namespace["fused_to"].get_xy() == (4.5, 4.5)
    at.caption(code="no transpose")
    assert namespace["fused_home"].get_visible()
    assert namespace["fused_home"].get_xy() == (4.5, 4.5)
    assert namespace["fused_to"].get_xy() != (4.5, 4.5)


# --- masks ---


def test_is_causal_with_more_keys(figures: Figures) -> None:
    _, at = figures["masks"]
    text = at.caption(L=2, S=5)
    assert "The last query sees keys 0 to 1." in text
    assert "With a cache this is wrong" in text
    assert "The last query sees keys 0 to 4." in at.caption(L=2, S=5, causal="bottom-right")
    assert "The last query sees key 0." in at.caption(L=1, S=5)


def test_rows_without_a_key(figures: Figures) -> None:
    _, at = figures["masks"]
    text = at.caption(L=6, S=3, causal="bottom-right")
    assert "Rows 0–2 have no key: plain softmax gives NaN, SDPA 0." in text
    assert "Row 0 has no key" in at.caption(L=4, S=3, causal="bottom-right")
    assert "no key:" not in at.caption()
    assert "The last query sees no key." in at.caption(S=2, padded=3, causal="none")


def test_every_mask_against_torch(namespace: dict[str, Any]) -> None:
    dead_states = states = 0
    q, k = (torch.tensor(namespace[name]) for name in ("MASKS_Q", "MASKS_K"))
    for queries in range(1, 7):
        for keys in range(1, 9):
            for causal in ("none", "top-left", "bottom-right"):
                for padded in range(min(3, keys) + 1):
                    allowed, weights, dead = namespace["masks_state"](queries, keys, causal, padded)
                    eye = torch.eye(keys, dtype=torch.float64)[None, None]
                    expected = functional.scaled_dot_product_attention(
                        q[None, None, :queries], k[None, None, :keys], eye,
                        attn_mask=torch.tensor(allowed),
                    )  # fmt: skip
                    np.testing.assert_allclose(weights, expected[0, 0].numpy(), atol=1e-14)
                    assert (weights[dead] == 0).all()
                    plain = (q[:queries] @ k[:keys].T / 2).masked_fill(
                        ~torch.tensor(allowed), float("-inf")
                    )
                    lost = plain.softmax(-1).isnan().any(1).nonzero().flatten()
                    assert np.array_equal(dead, lost.numpy())
                    states, dead_states = states + 1, dead_states + (len(dead) > 0)
    assert (dead_states, states) == (88, 522)


def test_conventions_count_what_is_true(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["masks"]
    assert "In this convention 10 cells are True." in at.caption()
    assert "6 cells are True" in at.caption(convention="MHA: True = leave out")
    assert namespace["masks_texts"][0][1].get_text() == "T"


# --- cost ---


def test_crossings(figures: Figures) -> None:
    _, at = figures["cost"]
    text = at.caption()
    assert "8·512·512² = 1.07·10⁹ FLOPs" in text
    assert "4·512²·512 = 5.37·10⁸, 33% of the whole; equal at N = 1024." in text
    assert "50% of the whole" in at.caption(tokens=1024)
    text = at.caption(block="attention + FFN")
    assert "24·512·512²" in text and "equal at N = 3072." in text
    assert "equal at N = 8192" in at.caption(dim=4096)


def test_memory_of_the_weights(figures: Figures) -> None:
    _, at = figures["cost"]
    text = at.caption(tokens=16384, heads=16)
    assert "the weight matrices alone need 8 GiB" in text
    assert "Weights of 16 heads: 8 GiB as a matrix, 1 MiB tiled." in text
    assert "Too much" not in at.caption()
    assert "4 MiB as a matrix, 16 KiB tiled" in at.caption()


def test_shares_sum_to_one(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["cost"]
    for block in ("attention", "attention + FFN"):
        at.caption(block=block, tokens=4096)
        parts = namespace["cost_parts"]
        assert sum(part.get_height() for part in parts) == pytest.approx(1)
        assert parts[-1].get_y() + parts[-1].get_height() == pytest.approx(1)


# --- kv_cache ---


def test_bytes_of_the_cache(figures: Figures) -> None:
    _, at = figures["kv_cache"]
    text = at.caption()
    assert "2·32·8·128·2 = 131,072 bytes, a context of 8,192 tokens 1 GiB." in text
    text = at.caption(kv_heads=2)
    assert "a context of 8,192 tokens 256 MiB, 4 times less than with 8." in text
    assert "32,768 tokens 512 MiB, 8 times less" in at.caption(kv_heads=1, context=32768)


def test_work_of_a_step(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["kv_cache"]
    assert "1 token projected, 6 dot products, 5 rows of K and V reused" in at.caption()
    assert "6 tokens projected, 21 dot products, of which 15 were known" in (
        at.caption(mode="recompute")
    )
    for step in range(1, 13):
        at.caption(step=step, mode="recompute")
        grid = np.asarray(namespace["kv_images"][0].get_array())
        assert (grid > 0).sum() == step * (step + 1) / 2
        assert not grid[np.triu_indices(12, 1)].any()


def test_is_causal_while_decoding_is_off(figures: Figures, namespace: dict[str, Any]) -> None:
    _, at = figures["kv_cache"]
    mode = "cache with is_causal=True"
    q, k, v = (torch.tensor(namespace[f"all_{name}"])[None, None] for name in "qkv")
    full = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    for step in range(2, 13):
        alone = functional.scaled_dot_product_attention(
            q[:, :, step - 1 : step], k[:, :, :step], v[:, :, :step], is_causal=True
        )
        error = (alone - full[:, :, step - 1 : step]).abs().max().item()
        text = at.caption(step=step, mode=mode)
        assert f"Wrong: the query sees key 0 only, off by {error:.2f}." in text
        assert error > 0.3
    assert "nothing is noticed" in at.caption(step=1, mode=mode)
    hidden = np.asarray(namespace["kv_images"][0].get_array()) == 4
    assert not hidden.any()
    at.caption(step=6, mode=mode)
    hidden = np.asarray(namespace["kv_images"][0].get_array()) == 4
    assert hidden.sum() == 5 and hidden[5, 1:6].all()
