"""The figures of chapter 12: captions in words and numbers, named failures, PyTorch's own words."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from support.chapters import Defaults, figure_in, namespace_with, sweep, values

#: The names of the figures' matplotlib figures.
FIGURES = {
    "broadcast_trap": "trap_fig",
    "product_views": "views_fig",
    "alignment_ladder": "ladder_fig",
    "einsum_lab": "lab_fig",
    "strides": "stride_fig",
    "accumulate": "sum_fig",
}


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    names: dict[str, Any] = namespace_with("12_tensor_products.ipynb", "accumulate")
    return names


@pytest.fixture(scope="module")
def at(namespace: dict[str, Any]) -> dict[str, Defaults]:
    return {name: Defaults(figure_in(namespace, name)) for name in FIGURES}


# --- all of them ---


@pytest.mark.parametrize(
    ("name", "counts", "defaults"),
    [
        ("broadcast_trap", (4, 25, 3), ("(N, 1) − (N,)", 0, 32)),
        ("product_views", (4, 3, 5, 5), ("row · column", 1, 2, 4)),
        ("alignment_ladder", (8, 16, 16), ("matmul", (5, 2, 3), (3, 4))),
        ("einsum_lab", (14, 3, 3, 3, 2), ("ij,jk->ik", 2, 3, 4, False)),
        ("strides", (7, 4, 4, 2), ("x.T", 1, 2, False)),
        ("accumulate", (3, 4, 11), ("ones", "float16", 4096)),
    ],
)
def test_controls_and_defaults(
    namespace: dict[str, Any],
    at: dict[str, Defaults],
    name: str,
    counts: tuple[int, ...],
    defaults: tuple[Any, ...],
) -> None:
    at[name].caption()
    figure = figure_in(namespace, name)
    assert tuple(len(entries) for entries in values(figure).values()) == counts
    assert figure.states == math.prod(counts) <= 3000
    assert tuple(widget.value for widget in figure.controls.values()) == defaults


@pytest.mark.parametrize("name", FIGURES)
def test_every_state_is_told_and_limits_stay(namespace: dict[str, Any], name: str) -> None:
    figure = figure_in(namespace, name)
    axes = namespace[FIGURES[name]].axes
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    for _, text in sweep(figure):
        assert text.endswith("."), text
        plain = text.replace("x[:, None]", "x")
        assert not re.search(r"\b(None|nan|inf)\b|  ", plain), text
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits


# --- broadcast_trap ---


@pytest.mark.parametrize(
    ("size", "equal", "mixed"),
    [(8, "0.013", "0.920"), (16, "0.005", "1.057"), (32, "0.010", "0.861")],
)
def test_the_mixed_loss_is_best_at_zero(
    at: dict[str, Defaults], size: int, equal: str, mixed: str
) -> None:
    for shapes in ("(N,) − (N,)", "(N, 1) − (N, 1)"):
        text = at["broadcast_trap"].caption(shapes=shapes, size=size)
        assert f"The best slope is 1.50, with loss {equal}." in text
        assert "learns only the mean" not in text
    for shapes in ("(N, 1) − (N,)", "(N,) − (N, 1)"):
        text = at["broadcast_trap"].caption(shapes=shapes, size=size, slope=2)
        assert f"{size * size} residuals of shape ({size}, {size})" in text
        assert f"The best slope is 0.00, with loss {mixed}." in text
        assert text.endswith("It runs, converges, learns only the mean.")


def test_losses_are_those_of_torch(namespace: dict[str, Any]) -> None:
    x, y = (torch.tensor(array) for array in namespace["trap_data"][16])
    losses = namespace["trap_losses"]("(N, 1) − (N,)", 16)
    for slope, loss in zip(namespace["trap_slopes"], losses, strict=True):
        assert ((float(slope) * x[:, None] - y) ** 2).mean().item() == pytest.approx(loss)


# --- product_views ---


def test_the_entry_and_its_terms(at: dict[str, Defaults]) -> None:
    text = at["product_views"].caption()
    assert "4 entries of A and 4 of B make 1 of C." in text
    assert text.endswith("C[1, 2] = 1·2 + 2·0 + (−1)·1 + 0·1 = 1.")
    text = at["product_views"].caption(view="outer products", terms=2)
    assert "6 entries of A and 10 of B make 15 of C." in text
    assert text.endswith("a partial sum: 2 of 4 terms.")
    assert at["product_views"].caption(terms=0).endswith("= 0, a partial sum: 0 of 4 terms.")


def test_partial_sums_are_products_of_torch(namespace: dict[str, Any]) -> None:
    a, b = torch.tensor(namespace["view_a"]), torch.tensor(namespace["view_b"])
    for state, text in sweep(figure_in(namespace, "product_views")):
        i, j, k = state["row"], state["column"], state["terms"]
        value = int((a[:, :k] @ b[:k])[i, j])
        assert re.search(rf"= {str(value).replace('-', '−')}(\.|, a partial sum)", text)
        assert ("partial" in text) == (k < 4)


# --- alignment_ladder ---


def test_default_and_predicted_states(at: dict[str, Defaults]) -> None:
    text = at["alignment_ladder"].caption()
    assert text == "matmul of (5, 2, 3) and (3, 4) gives (5, 2, 4). As einsum: bij,jk->bik."
    text = at["alignment_ladder"].caption(b=(4, 3, 4))
    assert "refused. Batch axis -3: 5 and 4 differ and neither is 1." in text
    with pytest.raises(RuntimeError) as raised:
        torch.zeros(5, 2, 3) @ torch.zeros(4, 3, 4)
    assert text.endswith(f"PyTorch: {raised.value}.")
    assert "non-singleton dimension 0" in text
    text = at["alignment_ladder"].caption(a=(5, 1, 2, 3), b=(6, 3, 4))
    assert "gives (5, 6, 2, 4)" in text
    assert text.endswith("An axis of size 1 is stretched.")
    assert "single number" in at["alignment_ladder"].caption(a=(3,), b=(3,))


def outcome(fn: str, a: Any, b: Any) -> tuple[tuple[int, ...] | None, str]:
    """Return the shape of a product of torch, or ``None`` and the first line of its message."""
    try:
        return tuple(getattr(torch, fn)(a, b).shape), ""
    except (RuntimeError, IndexError) as error:
        return None, str(error).splitlines()[0]


def test_every_state_does_what_torch_does(namespace: dict[str, Any]) -> None:
    taken = dict.fromkeys(namespace["LADDER_FUNCTIONS"], 0)
    for state, text in sweep(figure_in(namespace, "alignment_ladder")):
        fn = state["function"]
        operands = torch.zeros(state["a"]), torch.zeros(state["b"])
        shape, message = outcome(fn, *operands)
        if shape is None:
            assert " is refused. " in text
            assert f"PyTorch: {message}." in text
            continue
        taken[fn] += 1
        made = namespace["written"](shape) if shape else "(), a single number"
        assert f" gives {made}. As einsum: " in text
        equation = re.search(r"As einsum: (\S+)\.", text)
        assert equation is not None
        assert tuple(torch.einsum(equation[1], *operands).shape) == shape
    assert taken == {
        "mul": 114, "matmul": 64, "mm": 13, "bmm": 1, "mv": 5, "dot": 2, "outer": 4, "inner": 118,
    }  # fmt: skip


# --- einsum_lab ---


def test_default_and_failures_of_the_lab(at: dict[str, Defaults]) -> None:
    text = at["einsum_lab"].caption()
    assert "result (2, 4), 48 operations. The same: A @ B." in text
    text = at["einsum_lab"].caption(shared=True)
    assert text.endswith("Axis j of B has size 1: einsum broadcasts it silently, matmul refuses.")
    text = at["einsum_lab"].caption(equation="bij,bj->bi", first=4, second=4, third=4)
    assert text.endswith("A @ x runs, and is wrong: (4, 4, 4) instead of (4, 4).")
    assert "is wrong" not in at["einsum_lab"].caption(equation="bij,bj->bi")
    text = at["einsum_lab"].caption(equation="ii->")
    assert text.endswith("Sizes beyond the first 1 play no part.")
    text = at["einsum_lab"].caption(equation="i,j->ij", shared=True)
    assert text.endswith("No axis is shared, so the last control does nothing.")


def test_ten_equations_stretch_and_matmul_refuses(namespace: dict[str, Any]) -> None:
    stretching = [equation for equation in namespace["LAB"] if namespace["lab_shared"](equation)]
    assert len(stretching) == 10
    for equation in stretching:
        shapes, plan, result = namespace["lab_run"](equation, (2, 3, 4), True)
        assert 1 in shapes[1]
        tensors = [torch.zeros(shape) for shape in shapes]
        assert torch.einsum(equation, *tensors).shape == plan.shape == result.shape
        call = namespace["LAB"][equation]
        names = dict(zip("ABC", tensors, strict=False)) | {"torch": torch}
        if equation != "ij,ij->ij":
            with pytest.raises(RuntimeError):
                eval(call, names)  # the equivalent call, as the figure shows it


def test_equivalent_calls_are_equivalent(namespace: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    for equation, call in namespace["LAB"].items():
        shapes, plan, _ = namespace["lab_run"](equation, (2, 3, 4), False)
        tensors = [torch.tensor(rng.normal(size=shape)) for shape in shapes]
        names = dict(zip("ABC", tensors, strict=False)) | {"torch": torch}
        other = eval(call, names)
        torch.testing.assert_close(torch.einsum(equation, *tensors), other)
        assert tuple(other.shape) == plan.shape


# --- strides ---


def test_the_cell_of_a_transpose(at: dict[str, Defaults]) -> None:
    text = at["strides"].caption()
    assert "x.T has shape (4, 3) and strides (1, 4)." in text
    assert "lies in cell 0 + 1·1 + 2·4 = 9 and is 9." in text
    assert text.endswith("view(12) refused here, reshape copies.")
    text = at["strides"].caption(after=True)
    assert "strides (3, 1)" in text and "cell 0 + 1·3 + 2·1 = 5 and is 9" in text
    assert "It is a copy with memory of its own, and is contiguous." in text
    assert "copy" in at["strides"].caption(operation="x.flip(0)")
    text = at["strides"].caption(column=3)
    assert "[1, 3] is outside, so the nearest element is shown." in text


def test_layouts_are_those_of_torch(namespace: dict[str, Any]) -> None:
    x = torch.arange(12).reshape(3, 4)
    for operation in namespace["STRIDE_VIEWS"]:
        for after in (False, True):
            shape, steps, copied, memory = namespace["layout"](operation, after)
            y = eval(operation, {"x": x})
            y = y.contiguous() if after else y
            assert (tuple(y.shape), y.stride(), y.storage_offset()) == (shape, steps, 0)
            shared = y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
            assert shared != copied
            held = torch.tensor([], dtype=torch.int64).set_(y.untyped_storage())
            assert held.tolist() == memory
            words = namespace["strides_words"](operation, 0, 0, after)
            assert ("not contiguous" in words) == (not y.is_contiguous())
            if "refused" in words:
                with pytest.raises(RuntimeError, match="view size is not compatible"):
                    y.view(y.numel())
            else:
                assert y.view(y.numel()).shape == (y.numel(),)
            assert ("refused" in words) == (operation == "x.T" and not after)


# --- accumulate ---


@pytest.mark.parametrize(
    ("values", "accumulator", "terms", "words"),
    [
        ("ones", "float16", 4096, "added in float16: 2048, exactly 4096"),
        ("ones", "bfloat16", 1024, "added in bfloat16: 256, exactly 1024"),
        ("ones", "int8 (rounded)", 128, ": −128, exactly 128"),
        ("ones", "int8 (rounded)", 256, ": 0, exactly 256"),
        ("products of uniforms", "float16", 16384, ": 2048, exactly 4117"),
        ("products of uniforms", "bfloat16", 16384, ": 256, exactly 4117"),
        ("products of normals", "float16", 16384, ": 118, exactly 119.1"),
        ("products of normals", "bfloat16", 16384, ": 94.5, exactly 119.1"),
        ("ones", "float32", 16384, ": 16384, exactly 16384; the relative error is 0."),
    ],
)
def test_sums_of_many_terms(
    at: dict[str, Defaults], values: str, accumulator: str, terms: int, words: str
) -> None:
    text = at["accumulate"].caption(values=values, accumulator=accumulator, terms=terms)
    assert words in text
    biased = values != "products of normals" and accumulator in ("float16", "bfloat16")
    assert text.endswith("below half a unit in the last place.") == biased
    assert ("It wrapped" in text) == (accumulator == "int8 (rounded)")


def test_nothing_is_stuck_before_the_limit(at: dict[str, Defaults]) -> None:
    assert "Stuck" not in at["accumulate"].caption(terms=2048)
    assert "Stuck" in at["accumulate"].caption(terms=4096)
    assert "wrapped" not in at["accumulate"].caption(accumulator="int8 (rounded)", terms=64)


@pytest.mark.parametrize("accumulator", ["float32", "float16", "bfloat16"])
def test_running_sums_are_those_of_torch(namespace: dict[str, Any], accumulator: str) -> None:
    dtype = getattr(torch, accumulator)
    for name, terms in namespace["TERMS"].items():
        given = torch.tensor(
            terms[:1024], dtype=torch.float32 if accumulator == "bfloat16" else None
        )
        total = torch.zeros((), dtype=dtype)
        for term in given.to(dtype):
            total = total + term
        assert namespace["all_sums"][name, accumulator][1023] == total.item()
