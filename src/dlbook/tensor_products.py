r"""Products of tensors: their shapes, their loops, their gradients, and where numbers lie.

Conventions
    *Symbols*: batch axes :math:`b`, rows :math:`n`, contracted axis :math:`k`, columns :math:`m`;
    the left operand ``a`` has shape ``(..., n, k)``, the right one ``b`` ``(..., k, m)``.
    *Shapes* are sequences of integers, at least 0. Axes in messages are counted from the end,
    as broadcasting does.
    *Bad arguments* are refused before any work, by name and value: ``TypeError`` for what is no
    integer or has another dtype, ``ValueError`` for a size that is negative or does not fit.
    PyTorch's own words are never repeated here: :func:`product` asks PyTorch for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlbook import checks

Shape = tuple[int, ...]
Array = NDArray[Any]

#: What becomes of an axis.
Role = Literal["batch", "broadcast", "contracted", "free left", "free right", "added"]


class Axis(NamedTuple):
    """An axis of an operand: its size, what becomes of it, and whether its size does not fit."""

    size: int
    role: Role
    clash: bool = False


class Product(NamedTuple):
    """What a function makes of two shapes.

    Attributes
    ----------
    shape : tuple of int, or None
        Of the result; ``None`` if the function refuses.
    roles : pair of tuple of Axis
        The axes of both operands, with those that are added, to be read aligned right.
    reason : str
        Why it refuses, with the axis and both sizes; empty if it does not.
    torch_message : str
        PyTorch's words for that, asked at run time; empty without PyTorch.
    einsum : str
        An equation for the same product; empty if it refuses. That of ``kron`` needs a
        ``reshape`` to the result's shape afterwards.
    """

    shape: Shape | None
    roles: tuple[tuple[Axis, ...], tuple[Axis, ...]]
    reason: str
    torch_message: str
    einsum: str


# --- shapes ---


def broadcast_shape(*shapes: Sequence[int]) -> Shape:
    """Return the shape to which shapes broadcast.

    Align them right. On each axis the sizes are equal, or 1, and a missing one counts as 1.

    Parameters
    ----------
    *shapes : sequence of int
        Any number of them; none gives ``()``.

    Returns
    -------
    tuple of int

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size is negative, or two sizes of an axis differ and neither is 1.

    References
    ----------
    PyTorch, *Broadcasting semantics*. NumPy, *Broadcasting*.
    """
    known = [_shape(f"shape {place}", shape) for place, shape in enumerate(shapes)]
    result: list[int] = []
    for axis, sizes in enumerate(zip_longest(*(shape[::-1] for shape in known), fillvalue=1), 1):
        others = sorted({size for size in sizes if size != 1}, key=sizes.index)
        if len(others) > 1:
            raise ValueError(f"axis -{axis}: {others[0]} and {others[1]} differ and neither is 1")
        result.append(others[0] if others else 1)
    return tuple(result[::-1])


def mul_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return the shape of ``a * b``: both broadcast.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of any rank.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If they do not broadcast.

    References
    ----------
    PyTorch, ``torch.mul``.
    """
    return broadcast_shape(_shape("a", a), _shape("b", b))


def matmul_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return the shape of ``a @ b``.

    A 1-D ``a`` gets an axis of size 1 in front, a 1-D ``b`` one at its end. The last axis of ``a``
    has to equal the second-last of ``b``; that one does not broadcast. All axes before the last
    two do. The added axes go again.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of rank 1 or more.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If one has no axis, the contracted axes differ, or the others do not broadcast.

    References
    ----------
    PyTorch, ``torch.matmul``. NumPy, ``numpy.matmul``.
    """
    a, b = _shape("a", a), _shape("b", b)
    if not (a and b):
        raise ValueError(f"matmul takes 1 axis or more, a has {len(a)} and b has {len(b)}")
    left, right = _promoted(a, b)
    if left[-1] != right[-2]:
        raise ValueError(_contracted(a, b, -1, -2 if len(b) > 1 else -1))
    try:
        batch = broadcast_shape(left[:-2], right[:-2])
    except ValueError:
        axis, sizes = _first_clash(left[:-2], right[:-2])
        raise ValueError(
            f"batch axis {axis - 2}: {sizes[0]} and {sizes[1]} differ and neither is 1"
        ) from None
    return batch + left[-2:-1] * (len(a) > 1) + right[-1:] * (len(b) > 1)


def dot_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return ``()``, the shape of ``torch.dot``: two 1-D tensors of equal length.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of rank 1.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If a rank or the lengths differ.

    References
    ----------
    PyTorch, ``torch.dot``.
    """
    a, b = _ranks("dot", a, b, 1, 1)
    if a != b:
        raise ValueError(_contracted(a, b, -1, -1))
    return ()


def mv_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return ``(n,)``, the shape of ``torch.mv`` of ``(n, k)`` and ``(k,)``.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of rank 2 and 1.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If a rank or the contracted axes differ.

    References
    ----------
    PyTorch, ``torch.mv``.
    """
    a, b = _ranks("mv", a, b, 2, 1)
    if a[1] != b[0]:
        raise ValueError(_contracted(a, b, -1, -1))
    return a[:1]


def mm_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return ``(n, m)``, the shape of ``torch.mm`` of ``(n, k)`` and ``(k, m)``.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of rank 2; nothing broadcasts.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If a rank or the contracted axes differ.

    References
    ----------
    PyTorch, ``torch.mm``.
    """
    a, b = _ranks("mm", a, b, 2, 2)
    if a[1] != b[0]:
        raise ValueError(_contracted(a, b, -1, -2))
    return a[0], b[1]


def bmm_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return ``(b, n, m)``, the shape of ``torch.bmm`` of ``(b, n, k)`` and ``(b, k, m)``.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of rank 3; nothing broadcasts, the batch axis neither.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If a rank, the batch axes or the contracted axes differ.

    References
    ----------
    PyTorch, ``torch.bmm``.
    """
    a, b = _ranks("bmm", a, b, 3, 3)
    if a[0] != b[0]:
        raise ValueError(f"batch axis -3: {a[0]} and {b[0]} differ, and bmm does not broadcast")
    if a[2] != b[1]:
        raise ValueError(_contracted(a, b, -1, -2))
    return a[0], a[1], b[2]


def outer_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return ``(n, m)``, the shape of ``torch.outer`` of ``(n,)`` and ``(m,)``.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of rank 1.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If a rank differs.

    References
    ----------
    PyTorch, ``torch.outer``.
    """
    a, b = _ranks("outer", a, b, 1, 1)
    return a + b


def inner_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return the shape of ``torch.inner``: the last axes are contracted, all others stay.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of any rank. If one has no axis, the product is the elementwise one.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If the last axes differ.

    References
    ----------
    PyTorch, ``torch.inner``.
    """
    a, b = _shape("a", a), _shape("b", b)
    if not (a and b):
        return a + b
    if a[-1] != b[-1]:
        raise ValueError(_contracted(a, b, -1, -1))
    return a[:-1] + b[:-1]


def kron_shape(a: Sequence[int], b: Sequence[int]) -> Shape:
    """Return the shape of ``torch.kron``: aligned right, sizes are multiplied.

    Parameters
    ----------
    a, b : sequence of int
        Shapes of any rank; a missing axis counts as 1.

    Returns
    -------
    tuple of int

    References
    ----------
    PyTorch, ``torch.kron``.
    """
    a, b = _shape("a", a), _shape("b", b)
    return tuple(x * y for x, y in zip_longest(a[::-1], b[::-1], fillvalue=1))[::-1]


SHAPES: dict[str, Callable[[Sequence[int], Sequence[int]], Shape]] = {
    "mul": mul_shape,
    "matmul": matmul_shape,
    "mm": mm_shape,
    "bmm": bmm_shape,
    "mv": mv_shape,
    "dot": dot_shape,
    "outer": outer_shape,
    "inner": inner_shape,
    "kron": kron_shape,
}


def product(fn: str, a: Sequence[int], b: Sequence[int]) -> Product:
    """Return what one of PyTorch's products makes of two shapes, and why it refuses.

    Parameters
    ----------
    fn : str
        A key of ``SHAPES``: mul, matmul, mm, bmm, mv, dot, outer, inner or kron.
    a, b : sequence of int
        The shapes.

    Returns
    -------
    Product

    Raises
    ------
    ValueError
        If the function is unknown, or a size is negative.
    TypeError
        If a size is no integer.
    """
    if fn not in SHAPES:
        raise ValueError(f"no product is named {fn!r}; there are {', '.join(SHAPES)}")
    a, b = _shape("a", a), _shape("b", b)
    roles = _roles(fn, a, b)
    try:
        shape = SHAPES[fn](a, b)
    except ValueError as refusal:
        return Product(None, roles, str(refusal), _torch_message(fn, a, b), "")
    return Product(shape, roles, "", "", _equation(fn, len(a), len(b)))


def _torch_message(fn: str, a: Shape, b: Shape) -> str:
    """Return the words with which PyTorch refuses two tensors of zeros on the CPU."""
    try:
        import torch
    except ImportError:
        return ""
    try:
        getattr(torch, fn)(torch.zeros(a), torch.zeros(b))
    except (RuntimeError, IndexError) as refusal:
        return str(refusal).splitlines()[0]
    return ""


def _shape(name: str, shape: Sequence[int]) -> Shape:
    if isinstance(shape, str) or not hasattr(shape, "__iter__"):
        raise TypeError(f"{name} must be a sequence of sizes, got {shape!r}")
    return tuple(
        checks.count(f"size of axis {axis} of {name}", size, 0) for axis, size in enumerate(shape)
    )


def _ranks(
    fn: str, a: Sequence[int], b: Sequence[int], left: int, right: int
) -> tuple[Shape, Shape]:
    a, b = _shape("a", a), _shape("b", b)
    if (len(a), len(b)) != (left, right):
        raise ValueError(
            f"{fn} takes a {left}-D and a {right}-D tensor, a has {len(a)} axes and b has {len(b)}"
        )
    return a, b


def _promoted(a: Shape, b: Shape) -> tuple[Shape, Shape]:
    """Return both shapes with the axis of size 1 that a 1-D operand gets."""
    return (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b


def _contracted(a: Shape, b: Shape, left: int, right: int) -> str:
    return f"contracted axis: a has {a[left]} (axis {left}), b has {b[right]} (axis {right})"


def _first_clash(a: Shape, b: Shape) -> tuple[int, tuple[int, int]]:
    """Return the first axis from the end on which two shapes do not broadcast."""
    for axis, (x, y) in enumerate(zip(a[::-1], b[::-1], strict=False), start=1):
        if x != y and 1 not in (x, y):
            return -axis, (x, y)
    raise ValueError(f"{a} and {b} broadcast")


# --- roles and equations ---


def _roles(fn: str, a: Shape, b: Shape) -> tuple[tuple[Axis, ...], tuple[Axis, ...]]:
    ranks = len(a), len(b)
    fixed = {"dot": (1, 1), "mv": (2, 1), "mm": (2, 2), "bmm": (3, 3), "outer": (1, 1)}
    if fn == "mul":
        return _aligned(a, b)
    if (fn in fixed and ranks != fixed[fn]) or (fn == "matmul" and 0 in ranks):
        return _free(a, "free left"), _free(b, "free right")
    if fn in ("outer", "kron") or (fn == "inner" and 0 in ranks):
        return _free(a, "free left"), _free(b, "free right")
    if fn in ("dot", "inner"):
        clash = a[-1] != b[-1]
        return (
            (*_free(a[:-1], "free left"), Axis(a[-1], "contracted", clash)),
            (*_free(b[:-1], "free right"), Axis(b[-1], "contracted", clash)),
        )
    if fn == "mv":
        clash = a[1] != b[0]
        return (
            (Axis(a[0], "free left"), Axis(a[1], "contracted", clash)),
            (Axis(b[0], "contracted", clash),),
        )
    return _matrix_roles(a, b, stretch=fn == "matmul")


def _matrix_roles(
    a: Shape, b: Shape, *, stretch: bool
) -> tuple[tuple[Axis, ...], tuple[Axis, ...]]:
    left, right = _promoted(a, b)
    clash = left[-1] != right[-2]
    batches = _aligned(left[:-2], right[:-2], stretch=stretch)
    row: Role = "added" if len(a) == 1 else "free left"
    column: Role = "added" if len(b) == 1 else "free right"
    return (
        (*batches[0], Axis(left[-2], row), Axis(left[-1], "contracted", clash)),
        (*batches[1], Axis(right[-2], "contracted", clash), Axis(right[-1], column)),
    )


def _free(shape: Shape, role: Role) -> tuple[Axis, ...]:
    return tuple(Axis(size, role) for size in shape)


def _aligned(
    a: Shape, b: Shape, *, stretch: bool = True
) -> tuple[tuple[Axis, ...], tuple[Axis, ...]]:
    """Return the axes of two shapes that broadcast, or have to be equal."""
    pairs = zip_longest(a[::-1], b[::-1], fillvalue=None)
    rows = [(_one_axis(x, y, stretch), _one_axis(y, x, stretch)) for x, y in pairs]
    return tuple(x for x, _ in rows[::-1]), tuple(y for _, y in rows[::-1])


def _one_axis(size: int | None, other: int | None, stretch: bool) -> Axis:
    if size is None:
        return Axis(1, "added")
    if other is None or size == other or (stretch and other == 1):
        return Axis(size, "batch")
    return Axis(1, "broadcast") if stretch and size == 1 else Axis(size, "batch", clash=True)


def _equation(fn: str, left: int, right: int) -> str:
    """Return the einsum equation of a product of two ranks that it takes."""
    i, j, k = "ijk"
    if fn == "mul":
        letters = "ijklmnopqrstuvwxyz"[: max(left, right)]
        return f"{letters[len(letters) - left :]},{letters[len(letters) - right :]}->{letters}"
    if fn == "outer":
        return "i,j->ij"
    if fn in ("inner", "kron"):
        return _free_equation(fn, left, right)
    batch = "abcdefgh"[: max(left - 2, right - 2, 0)]
    batch = batch if len(batch) != 1 else "b"
    row, column = i if left > 1 else "", k if right > 1 else ""
    first = batch[len(batch) - max(left - 2, 0) :] + row + j
    second = batch[len(batch) - max(right - 2, 0) :] + j + column
    return f"{first},{second}->{batch}{row}{column}"


def _free_equation(fn: str, left: int, right: int) -> str:
    letters = "ijklmnopqrstuvwxyz"
    if fn == "kron":
        a, b = letters[:left], letters[left : left + right]
        pad = max(left, right)
        both = zip(a.rjust(pad), b.rjust(pad), strict=True)
        return f"{a},{b}->" + "".join(x + y for x, y in both).replace(" ", "")
    if 0 in (left, right):
        a, b = letters[:left], letters[:right]
        return f"{a},{b}->{a}{b}"
    a, b, shared = letters[: left - 1], letters[left : left + right - 1], letters[left - 1]
    return f"{a}{shared},{b}{shared}->{a}{b}"


# --- products by loops ---


def matmul_loops(a: ArrayLike, b: ArrayLike) -> Array:
    r"""Return the product of two matrices, :math:`C_{ij} = \sum_k A_{ik} B_{kj}`, by three loops.

    Parameters
    ----------
    a : array, shape (n, k)
        Real or complex numbers, or integers.
    b : array, shape (k, m)
        Of the same dtype.

    Returns
    -------
    array, shape (n, m)
        Of that dtype. With ``k`` = 0 it is zero. Integers wrap, as PyTorch's do.

    Raises
    ------
    TypeError
        If the dtypes differ, or are boolean.
    ValueError
        If a shape does not fit.

    References
    ----------
    PyTorch, ``torch.mm``.
    """
    left, right = _operands(a, b)
    rows, columns = mm_shape(left.shape, right.shape)
    out = np.zeros((rows, columns), dtype=left.dtype)
    for i in range(rows):
        for j in range(columns):
            for k in range(left.shape[1]):
                out[i, j] += left[i, k] * right[k, j]
    return out


def matmul(a: ArrayLike, b: ArrayLike) -> Array:
    """Return ``a @ b`` for all ranks: loops over the batch around :func:`matmul_loops`.

    Parameters
    ----------
    a, b : array
        Of rank 1 or more, and of the same dtype; shapes as in :func:`matmul_shape`.

    Returns
    -------
    array
        Without axes for two 1-D operands.

    Raises
    ------
    TypeError
        If the dtypes differ, or are boolean.
    ValueError
        If the shapes do not fit.

    References
    ----------
    PyTorch, ``torch.matmul``.
    """
    left, right = _operands(a, b)
    shape = matmul_shape(left.shape, right.shape)
    left, right = (left[None] if left.ndim == 1 else left), _column(right)
    batch = broadcast_shape(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, batch + left.shape[-2:])
    right = np.broadcast_to(right, batch + right.shape[-2:])
    out = np.zeros((*batch, left.shape[-2], right.shape[-1]), dtype=left.dtype)
    for index in np.ndindex(batch):
        out[index] = matmul_loops(left[index], right[index])
    return out.reshape(shape)


def _column(right: Array) -> Array:
    return right[:, None] if right.ndim == 1 else right


def _operands(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    left, right = np.asarray(a), np.asarray(b)
    if left.dtype != right.dtype:
        raise TypeError(f"{left.dtype} and {right.dtype}; convert one")
    if left.dtype.kind not in "fiuc":
        raise TypeError(f"dtype {left.dtype} has no matrix product here: use numbers")
    return left, right


def matmul_backward(a: ArrayLike, b: ArrayLike, grad: ArrayLike) -> tuple[Array, Array]:
    r"""Return the gradients of a loss with respect to both operands of ``a @ b``.

    :math:`dA = dC\,B^\top` and :math:`dB = A^\top dC` for the last two axes; whatever was
    stretched is summed.

    Parameters
    ----------
    a, b : array of float
        The operands, of any ranks that ``matmul`` takes.
    grad : array of float
        The gradient with respect to the product, of its shape.

    Returns
    -------
    da, db : arrays of float
        Of the shapes of ``a`` and ``b``.

    Raises
    ------
    TypeError
        If the dtypes of ``a`` and ``b`` differ, or one is no floating dtype.
    ValueError
        If a shape does not fit.

    References
    ----------
    Derived in the chapter from one entry of the product. PyTorch, ``torch.matmul``.
    """
    left, right = _operands(checks.floating("a", a), checks.floating("b", b))
    flow = checks.floating("grad", grad)
    shape = matmul_shape(left.shape, right.shape)
    if flow.shape != shape:
        raise ValueError(f"grad has shape {flow.shape}, the product has {shape}")
    matrix_a, matrix_b = (left[None] if left.ndim == 1 else left), _column(right)
    if left.ndim == 1:
        flow = np.expand_dims(flow, -1 if right.ndim == 1 else -2)
    if right.ndim == 1:
        flow = np.expand_dims(flow, -1)
    da = unbroadcast(flow @ np.swapaxes(matrix_b, -1, -2), matrix_a.shape)
    db = unbroadcast(np.swapaxes(matrix_a, -1, -2) @ flow, matrix_b.shape)
    return da.reshape(left.shape), db.reshape(right.shape)


def unbroadcast(grad: ArrayLike, shape: Sequence[int]) -> Array:
    """Sum a gradient over all that broadcasting stretched.

    Parameters
    ----------
    grad : array
        The gradient with respect to the stretched operand.
    shape : sequence of int
        The operand's own shape, which broadcasts to that of ``grad``.

    Returns
    -------
    array, of the shape asked for

    Raises
    ------
    ValueError
        If ``shape`` does not broadcast to the shape of ``grad``.
    """
    flow, shape = np.asarray(grad), _shape("shape", shape)
    if len(shape) > flow.ndim or broadcast_shape(flow.shape, shape) != flow.shape:
        raise ValueError(f"shape {shape} does not broadcast to {flow.shape}")
    flow = flow.sum(axis=tuple(range(flow.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return np.asarray(flow.sum(axis=stretched, keepdims=True))


# --- einsum ---


class Letter(NamedTuple):
    """A letter of an equation: its size, its role, and the operands that have it with size 1."""

    name: str
    size: int
    role: Role
    stretched: tuple[int, ...] = ()


class Plan(NamedTuple):
    """What an equation does, before any number is touched.

    Attributes
    ----------
    operands : tuple of str
        The letters of each operand, ellipses written out.
    output : str
        The letters of the result.
    letters : tuple of Letter
        In the order of the loops: those of the output, then those that are summed.
    shape : tuple of int
        Of the result.
    flops : int
        Multiplications and additions of the plain loops.
    """

    operands: tuple[str, ...]
    output: str
    letters: tuple[Letter, ...]
    shape: Shape
    flops: int

    @property
    def order(self) -> str:
        """The letters of the loops, from the outermost on."""
        return "".join(letter.name for letter in self.letters)


def einsum_plan(equation: str, *shapes: Sequence[int]) -> Plan:
    """Return the loops that an equation stands for.

    One letter names one axis. Letters that the output lacks are summed. Without ``->`` the output
    holds, in alphabetical order, the letters that appear once.

    Parameters
    ----------
    equation : str
        Such as ``"bij,bjk->bik"``; an ellipsis stands for any number of axes, which broadcast.
    *shapes : sequence of int
        One for each operand.

    Returns
    -------
    Plan
        A plain loop takes one multiplication less than there are operands, and an addition if
        something is summed.

    Raises
    ------
    ValueError
        If the number of operands or a rank does not fit, a letter has two sizes of which neither
        is 1, or the output has a letter twice or one that no operand has.

    References
    ----------
    PyTorch, ``torch.einsum``. NumPy, ``numpy.einsum``.
    """
    known = [_shape(f"operand {place}", shape) for place, shape in enumerate(shapes)]
    terms, output = _terms(equation.replace(" ", ""), [len(shape) for shape in known])
    sizes: dict[str, int] = {}
    for place, (term, shape) in enumerate(zip(terms, known, strict=True)):
        for letter, size in zip(term, shape, strict=True):
            before = sizes.setdefault(letter, size)
            if before != size and 1 not in (before, size):
                raise ValueError(
                    f"letter {letter} has size {size} in operand {place}, and {before} before"
                )
            sizes[letter] = size if before == 1 else before
    _check_output(output, sizes)
    names = list(output) + [name for name in sizes if name not in output]
    letters = tuple(_letter(name, sizes[name], terms, known, output) for name in names)
    work = len(terms) - 1 + (len(names) > len(output))
    flops = work * math.prod(letter.size for letter in letters)
    return Plan(tuple(terms), output, letters, tuple(sizes[name] for name in output), flops)


def einsum_loops(equation: str, *operands: ArrayLike) -> Array:
    """Return what an equation says, by one loop for each letter.

    Parameters
    ----------
    equation : str
        With an explicit output, and without an ellipsis.
    *operands : array
        One for each term.

    Returns
    -------
    array
        Of the dtype to which NumPy promotes those of the operands.

    Raises
    ------
    ValueError
        As :func:`einsum_plan`, and if the output is missing or there is an ellipsis.
    """
    if "->" not in equation or "." in equation:
        raise ValueError(f"write the output and all letters, got {equation!r}")
    arrays = [np.asarray(operand) for operand in operands]
    plan = einsum_plan(equation, *(array.shape for array in arrays))
    out = np.zeros(plan.shape, dtype=np.result_type(*arrays))
    for index in np.ndindex(*(letter.size for letter in plan.letters)):
        at = dict(zip(plan.order, index, strict=True))
        term = out.dtype.type(1)
        for letters, array in zip(plan.operands, arrays, strict=True):
            place = tuple(at[x] if n > 1 else 0 for x, n in zip(letters, array.shape, strict=True))
            term = term * array[place]
        out[tuple(at[x] for x in plan.output)] += term
    return out


def _terms(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Return the letters of the operands and of the output, ellipses written out."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(
            f"{equation!r} names {len(terms)} operands, {len(ranks)} shapes were given"
        )
    spare = [x for x in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if x not in equation]
    longest = max(
        (rank - len(term.replace("...", ""))
         for term, rank in zip(terms, ranks, strict=True) if "..." in term), default=0,
    )  # fmt: skip
    dots = "".join(spare[: max(longest, 0)])
    written = []
    for place, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        named = term.replace("...", "", 1)
        missing = rank - len(named)
        if missing < 0 or (missing > 0 and named == term):
            raise ValueError(
                f"operand {place} has {rank} axes, {term or 'its empty term'!r} names {len(named)}"
            )
        _check_letters(equation, named)
        written.append(term.replace("...", dots[len(dots) - missing :]))
    if arrow:
        _check_letters(equation, right.replace("...", "", 1))
        return written, right.replace("...", dots)
    once = [x for x in sorted(set(left) - set(".,")) if left.count(x) == 1]
    return written, dots + "".join(once)


def _check_letters(equation: str, letters: str) -> None:
    for letter in letters:
        if not (letter.isascii() and letter.isalpha()):
            raise ValueError(f"{letter!r} in {equation!r} is no letter")


def _check_output(output: str, sizes: dict[str, int]) -> None:
    for letter in output:
        if letter not in sizes:
            raise ValueError(f"output letter {letter} is in no operand")
        if output.count(letter) > 1:
            raise ValueError(f"output letter {letter} appears twice")


def _letter(name: str, size: int, terms: list[str], shapes: list[Shape], output: str) -> Letter:
    having = [place for place, term in enumerate(terms) if name in term]
    role: Role = "batch"
    if name not in output:
        role = "contracted"
    elif len(having) == 1:
        role = "free left" if having == [0] else "free right"
    ones = [place for place in having if size != 1 and shapes[place][terms[place].index(name)] == 1]
    return Letter(name, size, role, tuple(ones))


# --- memory ---


def strides_of(shape: Sequence[int]) -> Shape:
    """Return the strides of a new tensor: how many elements one step on each axis skips.

    Parameters
    ----------
    shape : sequence of int
        An axis of size 0 counts as 1, as in PyTorch.

    Returns
    -------
    tuple of int
        In elements, the last axis fastest; NumPy counts bytes instead.

    References
    ----------
    PyTorch, ``torch.Tensor.stride`` and *Tensor views*.
    """
    sizes = _shape("shape", shape)
    return tuple(math.prod(max(n, 1) for n in sizes[axis + 1 :]) for axis in range(len(sizes)))


def address(
    strides: Sequence[int],
    offset: int,
    index: Sequence[int],
    shape: Sequence[int] | None = None,
) -> int:
    r"""Return the memory cell of an element, :math:`o + \sum_a i_a s_a`.

    Parameters
    ----------
    strides : sequence of int
        In elements; NumPy's may be negative.
    offset : int
        The cell of the first element.
    index : sequence of int
        Counted from 0 on each axis.
    shape : sequence of int, optional
        If given, the index has to lie within.

    Returns
    -------
    int

    Raises
    ------
    IndexError
        If an index is negative or beyond the shape, or there are too many or too few.

    References
    ----------
    PyTorch, ``torch.Tensor.stride`` and ``torch.Tensor.storage_offset``.
    """
    if len(index) != len(strides):
        raise IndexError(f"{len(index)} indices for {len(strides)} strides")
    for axis, place in enumerate(index):
        if place < 0 or (shape is not None and place >= shape[axis]):
            size = "" if shape is None else f" of size {shape[axis]}"
            raise IndexError(f"index {place} is outside axis {axis}{size}")
    return int(offset + sum(i * s for i, s in zip(index, strides, strict=True)))


# --- chains ---


def best_order(dims: Sequence[int]) -> tuple[int, str]:
    """Return the cheapest order of a chain of matrix products, by dynamic programming.

    Parameters
    ----------
    dims : sequence of int
        Matrix number i has shape ``(dims[i], dims[i + 1])``; sizes are at least 1.

    Returns
    -------
    cost : int
        Multiplications of numbers.
    order : str
        With parentheses, such as ``"(AB)C"``; of equal ones the leftmost last split.

    Raises
    ------
    ValueError
        If there are fewer than two matrices or more than 26, or a size is below 1.
    TypeError
        If a size is no integer.

    Notes
    -----
    The last product splits the chain in two; the cheapest order of each part is known by then.
    """
    sizes = [checks.count(f"dims[{place}]", size, 1) for place, size in enumerate(dims)]
    count = len(sizes) - 1
    if not 2 <= count <= 26:
        raise ValueError(f"a chain has 2 to 26 matrices, dims {tuple(dims)} make {max(count, 0)}")
    best = {(i, i): (0, chr(ord("A") + i)) for i in range(count)}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            best[i, j] = min(
                (_split(best[i, k], best[k + 1, j], sizes[i] * sizes[k + 1] * sizes[j + 1])
                 for k in range(i, j)), key=lambda found: found[0],
            )  # fmt: skip
    return best[0, count - 1]


def _split(left: tuple[int, str], right: tuple[int, str], cost: int) -> tuple[int, str]:
    names = [name if len(name) == 1 else f"({name})" for _, name in (left, right)]
    return left[0] + right[0] + cost, "".join(names)
