"""The functions of chapter 12 against PyTorch and NumPy, and what they refuse."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbook.tensor_products import (
    SHAPES,
    address,
    best_order,
    broadcast_shape,
    einsum_loops,
    einsum_plan,
    inner_shape,
    kron_shape,
    matmul,
    matmul_backward,
    matmul_loops,
    matmul_shape,
    mul_shape,
    product,
    strides_of,
    unbroadcast,
)

explore = settings(deadline=None, derandomize=True, max_examples=200)
shapes = st.lists(st.integers(0, 4), max_size=5).map(tuple)
seeds = st.integers(0, 2**32 - 1)

#: Pairs that often fit: drawn sizes alone nearly never do.
CLASSIC = [
    "i,i->", "i,j->ij", "ij,j->i", "ij,jk->ik", "ij,jk->ki", "bij,bjk->bik", "bij,bj->bi",
    "bij,jk->bik", "bhqd,bhkd->bhqk", "ij->ji", "ii->", "ii->i", "i,ij,j->", "ij,ij->ij",
]  # fmt: skip


@st.composite
def fitting(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw two shapes that ``matmul`` takes, some of them stretched."""
    batch = draw(st.lists(st.integers(0, 3), max_size=3))
    n, k, m = (draw(st.integers(0, 4)) for _ in range(3))

    def one(last: list[int]) -> tuple[int, ...]:
        kept = batch[draw(st.integers(0, len(batch))) :]
        return (*(draw(st.sampled_from([1, size])) for size in kept), *last)

    left, right = one([n, k]), one([k, m])
    bare = draw(st.integers(0, 3))
    return (left if bare != 1 else (k,)), (right if bare < 2 else (k,))


def torch_shape(fn: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape of a product of torch, or ``None`` if it refuses, in whatever words."""
    try:
        return tuple(getattr(torch, fn)(torch.zeros(a), torch.zeros(b)).shape)
    except (RuntimeError, IndexError):
        return None


def numbers(shape: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def in_torch(fn: Any, *arrays: Any) -> Any:
    return fn(*(torch.tensor(array) for array in arrays)).numpy()


# --- shapes ---


@explore
@given(a=shapes, b=shapes)
def test_drawn_pairs_succeed_and_fail_as_in_torch(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    for fn in SHAPES:
        ours = product(fn, a, b)
        assert ours.shape == torch_shape(fn, a, b), fn
        assert (ours.shape is None) == bool(ours.reason) == bool(ours.torch_message)
        assert (ours.shape is not None) == bool(ours.einsum)


@explore
@given(pair=fitting())
def test_pairs_that_fit_matmul_have_torch_shapes(pair: Any) -> None:
    assert matmul_shape(*pair) == torch_shape("matmul", *pair)


def test_every_small_pair_of_matmul() -> None:
    small = [s for rank in range(4) for s in itertools.product(range(4), repeat=rank)]
    assert len(small) ** 2 == 7225
    for a, b in itertools.product(small, repeat=2):
        try:
            ours = matmul_shape(a, b)
        except ValueError:
            ours = None
        assert ours == torch_shape("matmul", a, b)


@explore
@given(given_shapes=st.lists(shapes, max_size=4))
def test_broadcast_shape_is_that_of_numpy_and_torch(given_shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*given_shapes)
    except ValueError:
        with pytest.raises(ValueError, match=r"axis -\d: \d and \d differ and neither is 1"):
            broadcast_shape(*given_shapes)
        return
    assert broadcast_shape(*given_shapes) == expected
    assert tuple(torch.broadcast_shapes(*given_shapes)) == expected


@explore
@given(pair=st.one_of(fitting(), st.tuples(shapes, shapes)))
def test_equations_say_the_same_product(pair: Any) -> None:
    a, b = numbers(pair[0], 1), numbers(pair[1], 2)
    for fn in SHAPES:
        found = product(fn, *pair)
        if found.shape is not None:
            summed = np.einsum(found.einsum, a, b).reshape(found.shape)
            np.testing.assert_allclose(summed, in_torch(getattr(torch, fn), a, b), atol=1e-12)


@pytest.mark.parametrize(
    ("fn", "a", "b", "reason"),
    [
        ("matmul", (2, 3), (4, 5), "contracted axis: a has 3 (axis -1), b has 4 (axis -2)"),
        ("matmul", (3,), (4,), "contracted axis: a has 3 (axis -1), b has 4 (axis -1)"),
        ("matmul", (5, 2, 3), (4, 3, 4), "batch axis -3: 5 and 4 differ and neither is 1"),
        ("matmul", (), (3,), "matmul takes 1 axis or more, a has 0 and b has 1"),
        ("mul", (2, 3), (2,), "axis -1: 3 and 2 differ and neither is 1"),
        ("bmm", (1, 2, 3), (5, 3, 4), "batch axis -3: 1 and 5 differ, and bmm does not broadcast"),
        ("mm", (2, 3), (3,), "mm takes a 2-D and a 2-D tensor, a has 2 axes and b has 1"),
        ("inner", (2, 3), (3, 4), "contracted axis: a has 3 (axis -1), b has 4 (axis -1)"),
        ("mv", (2, 3), (2,), "contracted axis: a has 3 (axis -1), b has 2 (axis -1)"),
        ("dot", (3,), (4,), "contracted axis: a has 3 (axis -1), b has 4 (axis -1)"),
    ],
)
def test_reasons_name_axis_and_sizes(fn: str, a: Any, b: Any, reason: str) -> None:
    found = product(fn, a, b)
    assert (found.shape, found.reason) == (None, reason)
    axes = [axis for row in found.roles for axis in row]
    assert any(axis.clash for axis in axes) == ("takes" not in reason)


def test_roles_of_the_axes() -> None:
    def words(fn: str, a: Any, b: Any) -> list[list[str]]:
        return [[f"{axis.size} {axis.role}" for axis in row] for row in product(fn, a, b).roles]

    assert words("matmul", (5, 1, 2, 3), (6, 3, 4)) == [
        ["5 batch", "1 broadcast", "2 free left", "3 contracted"],
        ["1 added", "6 batch", "3 contracted", "4 free right"],
    ]
    assert words("matmul", (3,), (3, 4)) == [
        ["1 added", "3 contracted"], ["3 contracted", "4 free right"],
    ]  # fmt: skip
    assert words("mul", (2, 1), (4,)) == [["2 batch", "1 broadcast"], ["1 added", "4 batch"]]
    assert words("outer", (2,), (3,)) == [["2 free left"], ["3 free right"]]
    assert words("inner", (2, 3), (3,)) == [["2 free left", "3 contracted"], ["3 contracted"]]


def test_equations_in_the_letters_of_the_book() -> None:
    assert product("matmul", (5, 2, 3), (3, 4)).einsum == "bij,jk->bik"
    assert product("matmul", (2, 3), (3,)).einsum == "ij,j->i"
    assert product("matmul", (5, 1, 2, 3), (6, 3, 4)).einsum == "abij,bjk->abik"
    assert product("mul", (2, 3), (3,)).einsum == "ij,j->ij"


@pytest.mark.parametrize("fn", SHAPES.values())
def test_bad_sizes_are_refused(fn: Any) -> None:
    with pytest.raises(ValueError, match="size of axis 1 of a must be >= 0, got -3"):
        fn((2, -3), (3,))
    with pytest.raises(TypeError, match=r"size of axis 0 of b must be an integer, got 2\.5"):
        fn((2,), (2.5,))
    with pytest.raises(TypeError, match="a must be a sequence of sizes, got 3"):
        fn(3, (3,))


def test_an_unknown_product_lists_the_known() -> None:
    with pytest.raises(ValueError, match="no product is named 'vdot'; there are mul, matmul, mm"):
        product("vdot", (3,), (3,))


def test_numpy_integers_and_lists_are_shapes() -> None:
    assert mul_shape(np.array([2, 1]).tolist(), (3,)) == (2, 3)
    assert mul_shape(tuple(np.array([2, 1])), (3,)) == (2, 3)
    assert inner_shape((), (2, 3)) == (2, 3)
    assert kron_shape((2, 3), (4,)) == (2, 12)


def test_without_torch_there_is_no_message() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from dlbook.tensor_products import product\n"
        "found = product('mm', (2, 3), (4, 5))\n"
        "assert found.torch_message == '' and 'contracted' in found.reason\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- products by loops ---


@explore
@given(pair=fitting(), seed=seeds)
def test_matmul_is_that_of_torch(pair: Any, seed: int) -> None:
    a, b = numbers(pair[0], seed), numbers(pair[1], seed + 1)
    ours = matmul(a, b)
    assert isinstance(ours, np.ndarray) and ours.dtype == np.float64
    theirs = in_torch(torch.matmul, a, b)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@explore
@given(pair=fitting(), seed=seeds)
def test_matmul_is_exact_in_integers(pair: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-(2**20), 2**20, size=shape) for shape in pair)
    assert np.array_equal(matmul(a, b), in_torch(torch.matmul, a, b))


def test_an_empty_contracted_axis_gives_zeros() -> None:
    assert np.array_equal(matmul_loops(np.ones((2, 0)), np.ones((0, 3))), np.zeros((2, 3)))


def test_integers_wrap_as_in_torch() -> None:
    row, column = np.full((1, 300), 100, np.int8), np.full((300, 1), 100, np.int8)
    with np.errstate(over="ignore"):
        ours = matmul_loops(row, column)
    assert ours[0, 0] == in_torch(torch.mm, row, column)[0, 0] == -64


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match="float32 and float64; convert one"):
        matmul(np.ones(2, np.float32), np.ones(2))
    with pytest.raises(TypeError, match="dtype bool has no matrix product"):
        matmul(np.ones(2, bool), np.ones(2, bool))
    with pytest.raises(ValueError, match="matmul takes 1 axis or more"):
        matmul(np.float64(2), np.ones(2))


# --- gradients ---


@explore
@given(pair=fitting(), seed=seeds)
def test_gradients_are_those_of_autograd(pair: Any, seed: int) -> None:
    a, b = numbers(pair[0], seed), numbers(pair[1], seed + 1)
    flow = numbers(matmul_shape(*pair), seed + 2)
    leaves = [torch.tensor(array, requires_grad=True) for array in (a, b)]
    torch.matmul(*leaves).backward(torch.tensor(flow))
    for mine, leaf in zip(matmul_backward(a, b, flow), leaves, strict=True):
        assert leaf.grad is not None
        assert mine.shape == tuple(leaf.shape)
        np.testing.assert_allclose(mine, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_gradient_of_a_shared_weight_is_one_sum() -> None:
    x, w, flow = numbers((5, 2, 3), 0), numbers((3, 4), 1), numbers((5, 2, 4), 2)
    _, dw = matmul_backward(x, w, flow)
    np.testing.assert_allclose(dw, np.einsum("bij,bik->jk", x, flow), rtol=1e-12)


def test_bad_gradients_are_refused() -> None:
    with pytest.raises(ValueError, match=r"grad has shape \(2, 3\), the product has \(2, 4\)"):
        matmul_backward(np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 3)))
    with pytest.raises(TypeError, match="a has dtype int64"):
        matmul_backward(np.ones((2, 3), int), np.ones((3, 4)), np.ones((2, 4)))


@explore
@given(shape=shapes, target=shapes)
def test_unbroadcast_undoes_expand(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    try:
        whole = broadcast_shape(shape, target)
    except ValueError:
        return
    flow = numbers(whole, 3)
    leaf = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    leaf.expand(whole).backward(torch.tensor(flow))
    assert leaf.grad is not None
    np.testing.assert_allclose(unbroadcast(flow, shape), leaf.grad.numpy(), atol=1e-12)


def test_unbroadcast_refuses_what_was_not_stretched() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 4\) does not broadcast to \(3, 1\)"):
        unbroadcast(np.ones((3, 1)), (3, 4))


# --- einsum ---


@explore
@given(equation=st.sampled_from(CLASSIC), data=st.data(), seed=seeds)
def test_einsum_is_that_of_torch_and_numpy(equation: str, data: Any, seed: int) -> None:
    letters = sorted(set(equation) - set(",->"))
    sizes = {letter: data.draw(st.integers(0, 3), label=letter) for letter in letters}
    terms = equation.split("->")[0].split(",")
    stretch = len(terms) > 1 and data.draw(st.booleans())
    operands = []
    for place, term in enumerate(terms):
        lengths = [1 if stretch and place and letter == term[0] else sizes[letter]
                   for letter in term]  # fmt: skip
        operands.append(numbers(tuple(lengths), seed + place))
    ours = einsum_loops(equation, *operands)
    by_torch = in_torch(lambda *tensors: torch.einsum(equation, *tensors), *operands)
    np.testing.assert_allclose(ours, np.einsum(equation, *operands), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours, by_torch, rtol=1e-12, atol=1e-12)
    assert einsum_plan(equation, *(array.shape for array in operands)).shape == by_torch.shape


@pytest.mark.parametrize(
    ("equation", "given_shapes"),
    [
        ("...ij,...jk->...ik", [(5, 1, 2, 3), (6, 3, 4)]),
        ("...i->...", [(2, 3)]),
        ("ij...->...ij", [(2, 3, 4)]),
        ("...", [(2, 3)]),
        ("ba", [(2, 3)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("...i,...i", [(4, 3), (3,)]),
    ],
)
def test_plans_have_ellipses_and_implicit_outputs(equation: str, given_shapes: Any) -> None:
    arrays = [numbers(shape, place) for place, shape in enumerate(given_shapes)]
    plan = einsum_plan(equation, *given_shapes)
    assert plan.shape == np.einsum(equation, *arrays).shape
    assert plan.shape == in_torch(lambda *t: torch.einsum(equation, *t), *arrays).shape


def test_an_ellipsis_that_the_output_lacks_is_summed_as_in_torch() -> None:
    shapes = (2, 3, 4), (2, 3, 4)
    plan = einsum_plan("b...,b...->b", *shapes)
    assert plan.shape == torch.einsum("b...,b...->b", *map(torch.zeros, shapes)).shape == (2,)
    assert plan.flops == 2 * 24


def test_a_plan_counts_its_loops() -> None:
    plan = einsum_plan("ij,jk->ik", (2, 3), (3, 4))
    assert (plan.order, plan.shape, plan.flops) == ("ikj", (2, 4), 2 * 2 * 3 * 4)
    assert [(x.name, x.size, x.role) for x in plan.letters] == [
        ("i", 2, "free left"), ("k", 4, "free right"), ("j", 3, "contracted"),
    ]  # fmt: skip
    assert einsum_plan("i,j->ij", (2,), (3,)).flops == 6
    assert einsum_plan("ij->ji", (2, 3)).flops == 0
    assert einsum_plan("ij,jk->ik", (2, 3), (1, 4)).letters[2].stretched == (1,)


@pytest.mark.parametrize(
    ("equation", "given_shapes", "words"),
    [
        ("ij->k", [(2, 3)], "output letter k is in no operand"),
        ("ij->ii", [(2, 3)], "output letter i appears twice"),
        ("ij,jk->ik", [(2,), (3, 4)], "operand 0 has 1 axes, 'ij' names 2"),
        ("ij,jk->ik", [(2, 3, 4), (3, 4)], "operand 0 has 3 axes, 'ij' names 2"),
        ("ij,jk->ik", [(2, 3), (4, 5)], "letter j has size 4 in operand 1, and 3 before"),
        ("ij,jk->ik", [(2, 3)], "names 2 operands, 1 shapes were given"),
        ("i1->i", [(2, 3)], "'1' in 'i1->i' is no letter"),
    ],
)
def test_bad_equations_are_refused(equation: str, given_shapes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        einsum_plan(equation, *given_shapes)
    with pytest.raises((RuntimeError, ValueError)):
        torch.einsum(equation, *(torch.zeros(shape) for shape in given_shapes))


def test_loops_want_every_letter() -> None:
    for equation in ("ij,jk", "...i->..."):
        with pytest.raises(ValueError, match="write the output and all letters"):
            einsum_loops(equation, np.ones((2, 3)))


# --- memory ---


@explore
@given(shape=shapes)
def test_strides_are_those_of_torch(shape: tuple[int, ...]) -> None:
    assert strides_of(shape) == torch.zeros(shape).stride()


@explore
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), data=st.data())
def test_addresses_find_the_elements_of_views(shape: tuple[int, ...], data: Any) -> None:
    base = torch.arange(math.prod(shape)).reshape(shape)
    view = base.permute(*data.draw(st.permutations(range(len(shape)))))
    view = view[data.draw(st.integers(0, view.shape[0] - 1)) :]
    index = [data.draw(st.integers(0, size - 1)) for size in view.shape]
    cell = address(view.stride(), view.storage_offset(), index, tuple(view.shape))
    assert cell == int(view[tuple(index)])


def test_indices_out_of_range_name_the_axis() -> None:
    with pytest.raises(IndexError, match="index 4 is outside axis 1 of size 4"):
        address((4, 1), 0, (1, 4), (3, 4))
    with pytest.raises(IndexError, match="index -1 is outside axis 0"):
        address((4, 1), 0, (-1, 0))
    with pytest.raises(IndexError, match="1 indices for 2 strides"):
        address((4, 1), 0, (1,))


# --- chains ---


def cheapest(dims: list[int]) -> int:
    """Return the lowest cost over all orders, by trying them."""
    if len(dims) <= 2:
        return 0
    return min(
        cheapest(dims[:k] + dims[k + 1 :]) + dims[k - 1] * dims[k] * dims[k + 1]
        for k in range(1, len(dims) - 1)
    )


@settings(deadline=None, derandomize=True, max_examples=40)
@given(dims=st.lists(st.integers(1, 9), min_size=3, max_size=8))
def test_the_best_order_is_the_cheapest_of_all(dims: list[int]) -> None:
    cost, order = best_order(dims)
    assert cost == cheapest(dims)
    assert cost_of(order, dims) == cost
    assert [letter for letter in order if letter.isalpha()] == [
        chr(ord("A") + i) for i in range(len(dims) - 1)
    ]


def cost_of(order: str, dims: list[int]) -> int:
    """Return the multiplications of an order in words, by carrying it out."""
    stack: list[Any] = []
    total = 0
    for sign in f"({order})":
        if sign == ")":
            right, left = stack.pop(), stack.pop()
            assert stack.pop() == "("
            assert left[1] == right[0]
            total += left[0] * left[1] * right[1]
            stack.append((left[0], right[1]))
        elif sign == "(":
            stack.append(sign)
        else:
            place = ord(sign) - ord("A")
            stack.append((dims[place], dims[place + 1]))
    return total


def test_known_chains() -> None:
    assert best_order((10, 100, 5, 50)) == (7500, "(AB)C")
    assert best_order((1000, 1000, 1000, 1)) == (2_000_000, "A(BC)")


def test_bad_chains_are_refused() -> None:
    with pytest.raises(ValueError, match="a chain has 2 to 26 matrices"):
        best_order((3, 4))
    with pytest.raises(ValueError, match=r"dims\[1\] must be >= 1, got 0"):
        best_order((3, 0, 4))
