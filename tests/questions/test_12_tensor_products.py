"""The numbers in ``book/questions/12_tensor_products.yml``, each entry with its tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from dlbook.tensor_products import SHAPES, best_order, broadcast_shape, einsum_plan, matmul_shape

LIST: list[tuple[int, ...]] = [
    (), (3,), (4,), (2, 3), (3, 2), (3, 4), (1, 3), (3, 1), (4, 3, 4), (5, 2, 3),
    (5, 3, 4), (1, 3, 4), (5, 1, 2, 3), (6, 3, 4), (0, 3), (4, 4),
]  # fmt: skip


def z(*shape: int, **options: Any) -> torch.Tensor:
    return torch.zeros(shape, **options)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- element by element ---


def test_five_products_of_a_small_matrix() -> None:
    m = torch.tensor([[1, 2], [3, 4]])
    assert (m * m).tolist() == (m**2).tolist() == [[1, 4], [9, 16]]
    assert (m @ m).tolist() == torch.linalg.matrix_power(m.float(), 2).tolist()
    assert (m @ m).tolist() == [[7, 10], [15, 22]]
    a, b = draw(2, 3), draw(4, 5, seed=1)
    blocks = torch.einsum("ij,kl->ikjl", a, b).reshape(8, 15)
    torch.testing.assert_close(torch.kron(a, b), blocks)


def test_kronecker_in_a_layer() -> None:
    a, x, b = draw(2, 3), draw(3, 4, seed=1), draw(4, 5, seed=2)
    stacked = torch.kron(b.T.contiguous(), a) @ x.T.flatten()
    torch.testing.assert_close(stacked, (a @ x @ b).T.flatten())


def test_star_and_at_with_the_identity() -> None:
    a = draw(3, 3)
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(a * eye, a.diagonal().diag())
    torch.testing.assert_close(a @ eye, a)


def test_broadcasting_rules() -> None:
    assert broadcast_shape((5, 1, 4), (3, 1)) == (z(5, 1, 4) * z(3, 1)).shape == (5, 3, 4)
    assert broadcast_shape((1,), (0,)) == (z(1) * z(0)).shape == (0,)
    for a, b in (((2, 3), (2,)), ((0,), (3,))):
        with pytest.raises(ValueError, match="differ and neither is 1"):
            broadcast_shape(a, b)
        with pytest.raises(RuntimeError):
            z(*a) * z(*b)
    assert (z(2, 3) * z(2, 1)).shape == (2, 3)


def test_a_column_minus_a_vector() -> None:
    assert (z(8, 1) - z(8)).shape == (z(8) - z(8, 1)).shape == (8, 8)
    assert (z(8, 1) - z(8)).numel() == 64
    with pytest.warns(UserWarning, match="target size"):
        F.mse_loss(z(8, 1), z(8))


def test_the_mixed_loss_learns_the_mean() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 32)
    x -= x.mean()
    y = 1.5 * x + 0.1 * rng.normal(size=32)
    slope, intercept = 1.0, 0.0
    for _ in range(2000):
        wrong = (slope * x + intercept)[:, None] - y
        slope -= 0.2 * (wrong * x[:, None]).mean()
        intercept -= 0.2 * wrong.mean()
    assert abs(slope) < 1e-12
    assert intercept == pytest.approx(y.mean())


# --- shapes of the products ---


def test_ranks_that_each_function_takes() -> None:
    takes = {"dot": (1, 1), "mv": (2, 1), "mm": (2, 2), "bmm": (3, 3), "outer": (1, 1)}
    for fn, ranks in takes.items():
        for left in range(5):
            for right in range(5):
                try:
                    getattr(torch, fn)(z(*[2] * left), z(*[2] * right))
                    taken = True
                except (RuntimeError, IndexError):
                    taken = False
                assert taken == ((left, right) == ranks)
    assert torch.inner(z(5, 2, 3), z(4, 3)).shape == (5, 2, 4)
    assert hasattr(torch.Tensor, "mul_")
    assert not hasattr(torch.Tensor, "matmul_")


def test_counts_of_the_list() -> None:
    def succeeds(fn: str, a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        try:
            SHAPES[fn](a, b)
        except ValueError:
            return False
        return True

    counts = {fn: sum(succeeds(fn, a, b) for a in LIST for b in LIST) for fn in SHAPES}
    expected = {"mul": 114, "matmul": 64, "mm": 13, "mv": 5, "dot": 2, "bmm": 1}
    assert expected.items() <= counts.items()


def test_at_is_matmul() -> None:
    assert (z(3) @ z(3)).shape == ()
    assert (z(5, 1, 2, 3) @ z(6, 3, 4)).shape == (5, 6, 2, 4)
    for a, b in ((z(3), z(3)), (z(5, 1, 2, 3), z(6, 3, 4))):
        with pytest.raises(RuntimeError, match="self must be a matrix"):
            torch.mm(a, b)


def test_vectors_under_matmul() -> None:
    assert matmul_shape((3,), (5, 3, 4)) == (z(3) @ z(5, 3, 4)).shape == (5, 4)
    assert matmul_shape((5, 2, 3), (3,)) == (z(5, 2, 3) @ z(3)).shape == (5, 2)
    with pytest.raises(RuntimeError):
        z(2, 4) @ z(5, 3, 4)


def test_shapes_of_batches() -> None:
    assert matmul_shape((3, 1, 4, 5), (2, 5, 6)) == (z(3, 1, 4, 5) @ z(2, 5, 6)).shape
    assert matmul_shape((3, 1, 4, 5), (2, 5, 6)) == (3, 2, 4, 6)
    assert matmul_shape((5, 1, 2, 3), (6, 3, 4)) == (5, 6, 2, 4)
    a, b = draw(3, 1, 4, 5), draw(2, 5, 6, seed=1)
    torch.testing.assert_close(torch.einsum("abij,bjk->abik", a, b), a @ b)


def test_batched_vectors_in_three_ways() -> None:
    a, x = draw(2, 3, 4), draw(2, 4, seed=1)
    ways = [
        (a @ x.unsqueeze(-1)).squeeze(-1),
        torch.einsum("bij,bj->bi", a, x),
        (a * x[:, None]).sum(-1),
    ]
    for way in ways:
        assert way.shape == (2, 3)
        torch.testing.assert_close(way, ways[0])
    with pytest.raises(RuntimeError):
        a @ x
    assert (z(4, 4, 4) @ z(4, 4)).shape == (4, 4, 4)
    assert (z(1, 3, 4) @ z(1, 4, 1)).squeeze().shape == (3,)


def test_the_message_of_a_linear_layer() -> None:
    layer = torch.nn.Linear(4, 2)
    assert layer.weight.shape == (2, 4)
    with pytest.raises(RuntimeError) as raised:
        layer(z(7, 5, 3))
    assert str(raised.value) == "mat1 and mat2 shapes cannot be multiplied (35x3 and 4x2)"


def test_a_linear_layer_is_an_inner_product() -> None:
    x, w = draw(7, 5, 3), draw(2, 3, seed=1)
    for other in (x @ w.T, torch.inner(x, w), torch.einsum("...i,oi->...o", x, w)):
        torch.testing.assert_close(F.linear(x, w), other)


def test_dot_of_torch_and_numpy() -> None:
    assert np.dot(np.zeros((2, 3, 4)), np.zeros((5, 4, 6))).shape == (2, 3, 5, 6)
    with pytest.raises(ValueError, match="broadcast"):
        np.matmul(np.zeros((2, 3, 4)), np.zeros((5, 4, 6)))
    assert np.dot(2, 3) == 6
    with pytest.raises(RuntimeError, match="1D tensors expected"):
        torch.dot(z(2, 2), z(2, 2))
    x, y = torch.tensor([1 + 2j, 3 - 1j]), torch.tensor([2 - 1j, 1j])
    assert (torch.dot(x, y).item(), torch.vdot(x, y).item()) == (5 + 6j, -1 - 2j)
    assert np.dot(x.numpy(), y.numpy()) == 5 + 6j


def test_pairs_of_dtypes() -> None:
    double = z(2, 2, dtype=torch.float64)
    assert (z(2, 2) * double).dtype == torch.float64
    assert (z(2, 2, dtype=torch.int64) * z(2, 2)).dtype == torch.float32
    for other in (double, z(2, 2, dtype=torch.int64)):
        with pytest.raises(RuntimeError, match="same dtype"):
            z(2, 2) @ other
    with pytest.raises(RuntimeError, match="not implemented for 'Bool'"):
        z(2, 2, dtype=torch.bool) @ z(2, 2, dtype=torch.bool)
    assert (np.ones((2, 2), int) @ np.ones((2, 2))).dtype == np.float64
    with pytest.raises(RuntimeError, match="result type Float can't be cast"):
        z(2, dtype=torch.int64).mul_(z(2))


# --- einsum ---


def test_equations_to_know() -> None:
    a, b, v, w = draw(2, 3, 4), draw(2, 4, 5, seed=1), draw(3, seed=2), draw(4, seed=3)
    square, form = draw(3, 3, seed=4), draw(3, 4, seed=5)
    pairs = [
        (torch.einsum("bij,bjk->bik", a, b), torch.bmm(a, b)),
        (torch.einsum("ii->", square), square.trace()),
        (torch.einsum("ii->i", square), square.diagonal()),
        (torch.einsum("i,j->ij", v, w), torch.outer(v, w)),
        (torch.einsum("ij->ji", form), form.T),
        (torch.einsum("ba", form), form.T),
        (torch.einsum("i,ij,j->", v, form, w), v @ form @ w),
    ]
    for one, other in pairs:
        torch.testing.assert_close(one, other)


def test_three_operands_at_once() -> None:
    shapes = [(60, 60)] * 3
    assert einsum_plan("ij,jk,kl->il", *shapes).flops == 3 * 60**4
    assert 2 * einsum_plan("ij,jk->ik", *shapes[:2]).flops == 4 * 60**3


def test_einsum_stretches_a_contracted_axis() -> None:
    a, b = draw(2, 1), draw(3, 4, seed=1)
    out = torch.einsum("ij,jk->ik", a, b)
    assert out.shape == (2, 4)
    torch.testing.assert_close(out, a.expand(2, 3) @ b)
    torch.testing.assert_close(torch.tensordot(a, b, 1), out)
    assert np.allclose(np.einsum("ij,jk->ik", a.numpy(), b.numpy()), out.numpy())
    with pytest.raises(ValueError, match="shape-mismatch"):
        np.tensordot(a.numpy(), b.numpy(), 1)
    for product in (torch.mm, torch.matmul):
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            product(a, b)


def test_scores_in_four_ways() -> None:
    q, k = draw(2, 3, 5, 8), draw(2, 3, 7, 8, seed=1)
    ways = [
        torch.einsum("bhqd,bhkd->bhqk", q, k),
        q @ k.mT,
        torch.bmm(q.flatten(0, 1), k.flatten(0, 1).mT).unflatten(0, (2, 3)),
        (q[:, :, :, None] * k[:, :, None]).sum(-1),
    ]
    for way in ways:
        assert way.shape == (2, 3, 5, 7)
        torch.testing.assert_close(way, ways[0])
    assert k.permute(3, 2, 1, 0).shape == (8, 7, 3, 2)


# --- memory ---


def test_which_operations_copy() -> None:
    x = torch.arange(12).reshape(3, 4)

    def shares(y: torch.Tensor) -> bool:
        return bool(y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr())

    assert (x.stride(), x.T.stride()) == ((4, 1), (1, 4))
    assert int(x.T[1, 2]) == 1 * 1 + 2 * 4 == 9
    assert all(shares(y) for y in (x.T, x.permute(1, 0), x.view(12), x.reshape(4, 3)))
    assert shares(x.contiguous())
    assert not any(shares(y) for y in (x.T.reshape(12), x.T.contiguous(), x.flip(0)))
    assert x.reshape(4, 3).tolist() != x.T.tolist()
    assert np.shares_memory(x.numpy()[::-1], x.numpy())
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.T.view(12)


def test_cells_of_a_transpose() -> None:
    cells = torch.arange(12).reshape(3, 4).T.reshape(-1)
    assert cells[:6].tolist() == [0, 4, 8, 1, 5, 9]
    assert cells.diff()[:3].tolist() == [4, 4, -7]


def test_expand_and_repeat() -> None:
    row = z(3, 1, 4)
    wide = row.expand(3, 5, 4)
    assert wide.stride() == (4, 0, 1)
    assert wide.untyped_storage().size() == 12 * 4
    assert row.repeat(1, 5, 1).untyped_storage().size() == 60 * 4


# --- cost and order ---


def test_cost_of_a_product_and_a_chain() -> None:
    m, k, n = 3, 5, 7
    assert einsum_plan("ij,jk->ik", (m, k), (k, n)).flops == 2 * m * k * n
    assert best_order((10, 100, 5, 50)) == (7500, "(AB)C")
    assert 10 * 100 * 5 + 10 * 5 * 50 == 7500
    assert 100 * 5 * 50 + 10 * 100 * 50 == 75_000


def test_a_vector_at_the_end() -> None:
    n = 1000
    assert best_order((n, n, n, 1)) == (2 * n**2, "A(BC)")
    assert n**3 + n**2 == 1_001_000_000
    assert 500 < (n**3 + n**2) / (2 * n**2) < 501


# --- precision ---


def test_errors_by_precision() -> None:
    a, b = draw(512, 512), draw(512, 512, seed=1)
    exact = a @ b

    def tf32(x: torch.Tensor) -> torch.Tensor:
        bits = x.float().view(torch.int32)
        return ((bits + 0x0FFF + ((bits >> 13) & 1)) & -8192).view(torch.float32)

    def error(result: torch.Tensor) -> float:
        return float((result.double() - exact).norm() / exact.norm())

    assert 1e-7 < error(a.float() @ b.float()) < 4e-7
    assert error(tf32(a) @ tf32(b)) == pytest.approx(2.9e-4, rel=0.1)
    assert error(a.bfloat16() @ b.bfloat16()) == pytest.approx(2.9e-3, rel=0.1)


def test_tf32_defaults() -> None:
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_sums_that_get_stuck() -> None:
    for dtype, end in ((torch.float16, 2048), (torch.bfloat16, 256)):
        total, one = torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype)
        for _ in range(4096):
            total = total + one
        assert total.item() == end
        row = torch.ones(1, 4096, dtype=dtype)
        assert torch.mm(row, row.T).item() == 4096


def test_integers_wrap() -> None:
    row = torch.full((1, 200), 2, dtype=torch.uint8)
    assert torch.mm(row, row.T + 1).item() == 200 * 2 * 3 - 4 * 256 == 176
    row = torch.full((1, 300), 100, dtype=torch.int8)
    assert torch.mm(row, row.T).item() == 300 * 100 * 100 % 256 - 256 == -64


# --- backward ---


def test_gradients_of_a_product() -> None:
    x, w = draw(5, 2, 3).requires_grad_(), draw(3, 4, seed=1).requires_grad_()
    flow = draw(5, 2, 4, seed=2)
    (x @ w).backward(flow)
    assert x.grad is not None and w.grad is not None
    torch.testing.assert_close(x.grad, flow @ w.detach().mT)
    torch.testing.assert_close(w.grad, torch.einsum("bij,bik->jk", x.detach(), flow))
    folded = x.detach().reshape(10, 3).T @ flow.reshape(10, 4)
    torch.testing.assert_close(w.grad, folded)


def test_in_place_after_a_product() -> None:
    w = draw(3, 4).requires_grad_()
    a = draw(2, 3, seed=1)
    y = a @ w
    a.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    b = draw(3, 4, seed=2)
    y = b + w
    b.add_(1)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        w.add_(1)
