r"""Scaled dot-product attention in NumPy: forward, backward, masks, heads, caches, positions.

The one line is :math:`A = \mathrm{softmax}(QK^\top / \sqrt d)`, :math:`O = AV`, where a masked
logit is :math:`-\infty`. The layer with parameters, which needs PyTorch, is
:class:`dlbook.attention_layer.MultiHeadSelfAttention`.

Conventions
    *Shape*: queries ``(..., L, d)``, keys ``(..., S, d)``, values ``(..., S, dv)``; leading axes
    such as ``(B, h)`` broadcast. Nothing that is returned shares memory with an argument, but for
    the views of :class:`KVCache`.
    *Mask*: boolean, True = may attend, as in PyTorch's ``scaled_dot_product_attention``.
    *dtype*: any real floating dtype goes in, all work is done in float64, float64 comes out.
    Integers are refused: they are indices more often than features.
    *A query that may attend to no key* gets zeros, and so does every query where there is no key.
    *NaN* in a query or in a key that may be attended makes the row NaN. A masked key plays no
    part, whatever it is; a masked value that is NaN spoils its column of all rows, as 0 · NaN is
    NaN.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from dlbook import checks

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Align = Literal["top-left", "bottom-right"]


# --- the one line ---


def softmax(z: ArrayLike, axis: int = -1) -> Float:
    r"""Return :math:`e^{z_i} / \sum_j e^{z_j}` along an axis, without overflow.

    Parameters
    ----------
    z : array_like of float, any shape of at least one axis
        The logits; :math:`-\infty` takes no part.
    axis : int, default: -1
        The axis whose entries shall sum to 1.

    Returns
    -------
    array of float64, the shape of ``z``
        Zeros where a slice is :math:`-\infty` throughout; NaN where it has NaN or
        :math:`+\infty`; empty if ``z`` is.

    Raises
    ------
    TypeError
        If the dtype is not floating.
    ValueError
        If ``z`` has no axis, or not this one.

    References
    ----------
    PyTorch, ``torch.softmax``, and ``torch._safe_softmax`` for the slices without a finite logit.
    """
    logits = checks.floating("z", z).astype(np.float64)
    if not -logits.ndim <= axis < logits.ndim:
        raise ValueError(f"axis {axis} is out of bounds for z of shape {logits.shape}")
    if logits.size == 0:
        return logits
    largest = logits.max(axis, keepdims=True)
    dead = np.isneginf(largest)
    with np.errstate(invalid="ignore"):  # inf - inf
        grown = np.exp(logits - np.where(dead, 0.0, largest))
    total = grown.sum(axis, keepdims=True)
    return np.asarray(grown / np.where(dead, 1.0, total))


def scaled_dot_product_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    causal: Align | None = None,
    scale: float | None = None,
    return_weights: bool = False,
) -> Any:
    r"""Return :math:`\mathrm{softmax}(s\,QK^\top)\,V`, masked logits being :math:`-\infty`.

    Parameters
    ----------
    q : array_like of float, shape (..., L, d)
        Queries.
    k : array_like of float, shape (..., S, d)
        Keys.
    v : array_like of float, shape (..., S, dv)
        Values.
    mask : array_like of bool, broadcasts to (..., L, S), optional
        True = may attend.
    causal : {"top-left", "bottom-right"}, optional
        Adds :func:`causal_mask` of this alignment; with ``mask`` both must allow a key.
    scale : float, optional
        :math:`s`; by default :math:`1/\sqrt d`, with the width of a *head*.
    return_weights : bool, default: False
        Whether to return the weights as well.

    Returns
    -------
    out : array of float64, shape (..., L, dv)
        Zeros for a query with no key.
    weights : array of float64, shape (..., L, S)
        With ``return_weights`` only. Rows sum to 1, or to 0 where no key is left.

    Raises
    ------
    ValueError
        If shapes do not fit, ``d`` is 0, ``scale`` is not finite, or ``causal`` is another word.
    TypeError
        If a dtype is not floating, or the mask is not boolean.

    References
    ----------
    Vaswani et al. 2017, arXiv 1706.03762. PyTorch,
    ``torch.nn.functional.scaled_dot_product_attention``.
    """
    given = _prepared(q, k, v, mask, causal, scale)
    weights = _weights(given)
    out = np.asarray(weights @ given.v)
    return (out, weights) if return_weights else out


def attention_backward(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    grad_out: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    scale: float | None = None,
) -> tuple[Float, Float, Float]:
    r"""Return the gradients of attention with respect to queries, keys and values.

    :math:`dV = A^\top dO`, :math:`dA = dO\,V^\top`,
    :math:`dZ = A \odot (dA - \mathrm{rowsum}(A \odot dA))`, :math:`dQ = s\,dZ\,K` and
    :math:`dK = s\,dZ^\top Q`.

    Parameters
    ----------
    q, k, v : array_like of float
        As for :func:`scaled_dot_product_attention`.
    grad_out : array_like of float, shape (..., L, dv)
        The gradient of the loss with respect to the output.
    mask, scale
        As for :func:`scaled_dot_product_attention`.

    Returns
    -------
    dq, dk, dv : array of float64, the shapes of ``q``, ``k`` and ``v``
        Summed over axes that were broadcast. Zero for a query with no key.

    Raises
    ------
    ValueError, TypeError
        As :func:`scaled_dot_product_attention`; also if ``grad_out`` has not the output's shape.

    References
    ----------
    The chapter derives it; compared with ``torch.autograd``.
    """
    given = _prepared(q, k, v, mask, None, scale)
    weights = _weights(given)
    wanted = (*weights.shape[:-1], given.v.shape[-1])
    d_out = checks.floating("grad_out", grad_out).astype(np.float64)
    if d_out.shape != wanted:
        raise ValueError(f"grad_out must have shape {wanted}, got {d_out.shape}")
    d_weights = d_out @ given.v.swapaxes(-1, -2)
    d_logits = weights * (d_weights - (weights * d_weights).sum(-1, keepdims=True))
    dq = given.scale * (d_logits @ given.k)
    dk = given.scale * (d_logits.swapaxes(-1, -2) @ given.q)
    dv = weights.swapaxes(-1, -2) @ d_out
    return (
        _summed_to(dq, given.q.shape),
        _summed_to(dk, given.k.shape),
        _summed_to(dv, given.v.shape),
    )


def online_softmax_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    block: int,
    *,
    mask: ArrayLike | None = None,
    scale: float | None = None,
) -> Float:
    r"""Return attention, visiting the keys in blocks and never holding all weights.

    A running maximum :math:`m`, sum :math:`\ell` and accumulator :math:`o` are kept for each
    query. For a block with logits :math:`z` and values :math:`V`, :math:`m' = \max(m, \max z)`,
    :math:`\ell' = e^{m-m'}\ell + \sum e^{z-m'}`, :math:`o' = e^{m-m'}o + e^{z-m'}V`; in the end
    the result is :math:`o/\ell`.

    Parameters
    ----------
    q, k, v, mask, scale
        As for :func:`scaled_dot_product_attention`.
    block : int
        How many keys are taken at a time, at least 1; the last block may be smaller.

    Returns
    -------
    array of float64, shape (..., L, dv)
        The same for every block size, up to rounding.

    Raises
    ------
    ValueError, TypeError
        As :func:`scaled_dot_product_attention`; also if ``block`` is below 1 or no integer.

    References
    ----------
    Milakov & Gimelshein 2018, arXiv 1805.02867. Rabe & Staats 2021, arXiv 2112.05682. Dao et al.
    2022, arXiv 2205.14135.
    """
    size = checks.count("block", block, 1)
    given = _prepared(q, k, v, mask, None, scale)
    lead = given.lead
    queries, keys = given.q.shape[-2], given.k.shape[-2]
    largest = np.full((*lead, queries, 1), -np.inf)
    total = np.zeros((*lead, queries, 1))
    out = np.zeros((*lead, queries, given.v.shape[-1]))
    for start in range(0, keys, size):
        part = slice(start, start + size)
        z = given.scale * (given.q @ given.k[..., part, :].swapaxes(-1, -2))
        if given.mask is not None:
            z = np.where(given.mask[..., part], z, -np.inf)
        higher = np.maximum(largest, z.max(-1, keepdims=True))
        pivot = np.where(np.isneginf(higher), 0.0, higher)  # no key so far: -inf - 0, not NaN
        weights, fade = np.exp(z - pivot), np.exp(largest - pivot)
        total = fade * total + weights.sum(-1, keepdims=True)
        out = fade * out + weights @ given.v[..., part, :]
        largest = higher
    return np.asarray(out / np.where(total == 0, 1.0, total))


# --- masks ---


def causal_mask(L: int, S: int | None = None, align: Align = "top-left") -> Bool:  # noqa: N803
    """Return which keys a query may see if it may not look ahead.

    Parameters
    ----------
    L : int
        Queries.
    S : int, optional
        Keys; by default as many.
    align : {"top-left", "bottom-right"}, default: "top-left"
        Whether the first query stands at the first key, as with PyTorch's ``is_causal``, or the
        last query at the last key, as with a cache.

    Returns
    -------
    array of bool, shape (L, S)
        True = may attend. Rows may be empty where ``L > S`` and ``align`` is "bottom-right".

    Raises
    ------
    ValueError
        If a size is negative, or ``align`` is another word.
    TypeError
        If a size is no integer.

    References
    ----------
    PyTorch, ``torch.nn.attention.bias.causal_upper_left`` and ``causal_lower_right``.
    """
    rows = checks.count("L", L, 0)
    columns = rows if S is None else checks.count("S", S, 0)
    _known_align("align", align)
    shift = columns - rows if align == "bottom-right" else 0
    return np.tri(rows, columns, shift, dtype=bool)


def padding_mask(lengths: ArrayLike, S: int) -> Bool:  # noqa: N803
    """Return which keys of each sequence are real, and not padding at the end.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
        The real tokens of each sequence.
    S : int
        The length with padding.

    Returns
    -------
    array of bool, shape (B, 1, 1, S)
        True = may attend; broadcasts over heads and queries.

    Raises
    ------
    ValueError
        If a length is negative or above ``S``, or ``lengths`` has not one axis.
    TypeError
        If a length is no integer.
    """
    size = checks.count("S", S, 0)
    array = np.asarray(lengths)
    if array.size == 0:
        array = array.astype(int)
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"lengths must have shape (B,), got {array.shape}")
    for sequence, length in enumerate(array.tolist()):
        if not 0 <= length <= size:
            raise ValueError(f"length {length} of sequence {sequence} is not within 0 … {size}")
    return np.asarray(np.arange(size) < array[:, None])[:, None, None, :]


def to_mha_mask(mask: ArrayLike) -> Bool:
    """Turn a mask of this book into one of ``torch.nn.MultiheadAttention``.

    Parameters
    ----------
    mask : array_like of bool
        True = may attend.

    Returns
    -------
    array of bool, the same shape
        True = left out.

    Raises
    ------
    TypeError
        If the mask is not boolean.
    """
    return ~_boolean(mask)


# --- heads ---


def split_qkv(y: ArrayLike, num_heads: int) -> tuple[Float, Float, Float]:
    """Take the output of a fused projection apart, into queries, keys and values by head.

    The last axis is read as (3, h, d): all of q, then all of k, then all of v, and head after
    head in each.

    Parameters
    ----------
    y : array_like of float, shape (B, N, 3C)
        What ``qkv(x)`` gives.
    num_heads : int
        h, which divides C.

    Returns
    -------
    q, k, v : array of float64, shape (B, h, N, C / h)

    Raises
    ------
    ValueError
        If the rank is not 3, the last axis no multiple of 3, or C no multiple of ``num_heads``.
    TypeError
        If the dtype is not floating, or ``num_heads`` is no integer.

    References
    ----------
    timm, ``timm/layers/attention.py``.
    """
    heads = checks.count("num_heads", num_heads, 1)
    array = checks.floating("y", y).astype(np.float64)
    if array.ndim != 3:
        raise ValueError(f"y must be (B, N, 3 * dim), got {array.shape}")
    batch, tokens, width = array.shape
    if width % 3:
        raise ValueError(f"last axis {width} is not 3 * dim")
    head_dim = head_width(width // 3, heads)
    q, k, v = array.reshape(batch, tokens, 3, heads, head_dim).transpose(2, 0, 3, 1, 4)
    return q, k, v


def merge_heads(o: ArrayLike) -> Float:
    """Put the heads of each token side by side again.

    Parameters
    ----------
    o : array_like of float, shape (B, h, N, d)
        What the heads give.

    Returns
    -------
    array of float64, shape (B, N, h d)

    Raises
    ------
    ValueError
        If the rank is not 4.
    TypeError
        If the dtype is not floating.
    """
    array = checks.floating("o", o).astype(np.float64)
    if array.ndim != 4:
        raise ValueError(f"o must be (B, h, N, d), got {array.shape}")
    batch, heads, tokens, width = array.shape
    return array.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * width)


def head_width(dim: int, num_heads: int) -> int:
    """Return the width of one head.

    Raises
    ------
    ValueError
        If a number is below 1, or the heads do not divide the width.
    TypeError
        If one is no integer.
    """
    width, heads = checks.count("dim", dim, 1), checks.count("num_heads", num_heads, 1)
    if width % heads:
        raise ValueError(f"dim {width} is not divisible by num_heads {heads}")
    return width // heads


def head_groups(num_heads: int, kv_heads: int) -> int:
    """Return how many query heads share a key/value head.

    Raises
    ------
    ValueError
        If a number is below 1, or the query heads are no multiple of the others.
    TypeError
        If one is no integer.
    """
    heads, shared = checks.count("num_heads", num_heads, 1), checks.count("kv_heads", kv_heads, 1)
    if heads % shared:
        raise ValueError(f"{heads} query heads are not a multiple of {shared} key/value heads")
    return heads // shared


def repeat_kv(k: ArrayLike, groups: int) -> Float:
    """Give each key/value head to a group of neighboring query heads.

    Parameters
    ----------
    k : array_like of float, shape (B, h_kv, S, d)
        Keys or values.
    groups : int
        Query heads per key/value head; see :func:`head_groups`.

    Returns
    -------
    array of float64, shape (B, h_kv groups, S, d)
        Head 0 ``groups`` times, then head 1: ``repeat_interleave``, and not ``repeat``.

    Raises
    ------
    ValueError
        If the rank is not 4, or ``groups`` is below 1.
    TypeError
        If the dtype is not floating, or ``groups`` is no integer.

    References
    ----------
    Ainslie et al. 2023, arXiv 2305.13245. PyTorch, ``enable_gqa=True``.
    """
    array = checks.floating("k", k).astype(np.float64)
    if array.ndim != 4:
        raise ValueError(f"k must be (B, h_kv, S, d), got {array.shape}")
    return np.repeat(array, checks.count("groups", groups, 1), axis=1)


# --- decoding ---


class KVCache:
    """The keys and values of the tokens so far, for every layer of a decoder.

    Parameters
    ----------
    layers, batch, kv_heads, head_dim : int
        Sizes, at least 1; ``batch`` may be 0.
    max_tokens : int
        For how many tokens memory is taken, all of it at once.
    dtype : dtype, default: float64
        A floating dtype; what is appended is cast to it.

    Attributes
    ----------
    tokens : int
        How many tokens every layer holds.
    nbytes : int
        The memory that was taken: ``kv_cache_bytes`` at ``max_tokens``.

    Raises
    ------
    ValueError
        If a size is too small.
    TypeError
        If a size is no integer, or the dtype is not floating.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        kv_heads: int,
        head_dim: int,
        max_tokens: int,
        dtype: DTypeLike = np.float64,
    ) -> None:
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"dtype must be floating, got {np.dtype(dtype)}")
        shape = (
            2,
            checks.count("layers", layers, 1),
            checks.count("batch", batch, 0),
            checks.count("kv_heads", kv_heads, 1),
            checks.count("max_tokens", max_tokens, 0),
            checks.count("head_dim", head_dim, 1),
        )
        self._stored: NDArray[np.floating[Any]] = np.zeros(shape, dtype)
        self._used = [0] * shape[1]

    @property
    def tokens(self) -> int:
        """How many tokens every layer holds."""
        return min(self._used)

    @property
    def nbytes(self) -> int:
        """The memory that was taken."""
        return int(self._stored.nbytes)

    def append(
        self, layer: int, k: ArrayLike, v: ArrayLike
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Add the keys and values of new tokens to a layer, and return all that it holds.

        Parameters
        ----------
        layer : int
            From 0.
        k, v : array_like of float, shape (batch, kv_heads, n, head_dim)
            Of the ``n`` new tokens.

        Returns
        -------
        keys, values : array, shape (batch, kv_heads, tokens, head_dim)
            Read-only views, in the cache's dtype. They keep their tokens when more are added.

        Raises
        ------
        ValueError
            If the layer does not exist, a shape does not fit, or the cache would overflow;
            nothing is added then.
        TypeError
            If a dtype is not floating, or ``layer`` is no integer.
        """
        _, layers, batch, heads, room, width = self._stored.shape
        place = checks.count("layer", layer, 0)
        if place >= layers:
            raise ValueError(f"layer {place} does not exist: the cache has {layers}")
        new = [checks.floating(name, array) for name, array in (("k", k), ("v", v))]
        for name, array in zip(("k", "v"), new, strict=True):
            fits = array.ndim == 4 and array.shape[:2] + array.shape[3:] == (batch, heads, width)
            if not fits or array.shape != new[0].shape:
                wanted = f"({batch}, {heads}, n, {width})"
                raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
        used, count = self._used[place], new[0].shape[2]
        if used + count > room:
            raise ValueError(
                f"cache holds {used} tokens; appending {count} exceeds max_tokens {room}"
            )
        for kind, array in enumerate(new):
            self._stored[kind, place, :, :, used : used + count] = array
        self._used[place] = used + count
        views = self._stored[:, place, :, :, : used + count].view()
        views.flags.writeable = False
        return views[0], views[1]


def kv_cache_bytes(
    layers: int,
    kv_heads: int,
    head_dim: int,
    bytes_per_element: int,
    tokens: int,
    batch: int = 1,
) -> int:
    r"""Return the memory of a KV cache, :math:`2 \cdot layers \cdot h_{kv}\,d \cdot bytes`
    for each token.

    Parameters
    ----------
    layers, kv_heads, head_dim, bytes_per_element : int
        At least 1.
    tokens, batch : int
        At least 0.

    Returns
    -------
    int
        In bytes.

    Raises
    ------
    ValueError, TypeError
        If a number is too small, or no integer.
    """  # noqa: D205
    size = 2
    for name, value in (
        ("layers", layers),
        ("kv_heads", kv_heads),
        ("head_dim", head_dim),
        ("bytes_per_element", bytes_per_element),
    ):
        size *= checks.count(name, value, 1)
    return size * checks.count("tokens", tokens, 0) * checks.count("batch", batch, 0)


# --- cost ---


def attention_flops(tokens: int, dim: int, *, ffn_multiple: int | None = None) -> dict[str, int]:
    r"""Count the floating-point operations of a layer's matrix products, forward.

    A multiply-add counts as two. The number of heads does not matter.

    Parameters
    ----------
    tokens, dim : int
        N, at least 0, and C, at least 1.
    ffn_multiple : int, optional
        Also count a feed-forward part whose inner width is so many times C, usually 4.

    Returns
    -------
    dict of str to int
        ``projections`` :math:`8NC^2`, ``scores`` and ``values`` :math:`2N^2C` each, ``ffn``
        :math:`4mNC^2` or 0, and their ``total``. Softmax, norms and biases are left out.

    Raises
    ------
    ValueError, TypeError
        If a number is too small, or no integer.

    References
    ----------
    Compared with ``torch.utils.flop_counter.FlopCounterMode``.
    """
    n, c = checks.count("tokens", tokens, 0), checks.count("dim", dim, 1)
    wider = 0 if ffn_multiple is None else checks.count("ffn_multiple", ffn_multiple, 1)
    parts = {
        "projections": 8 * n * c**2,
        "scores": 2 * n**2 * c,
        "values": 2 * n**2 * c,
        "ffn": 4 * wider * n * c**2,
    }
    return parts | {"total": sum(parts.values())}


# --- positions ---


def sinusoidal_positions(n: int, d: int, base: float = 1e4) -> Float:
    r"""Return :math:`\sin(p\,\omega_i)` and :math:`\cos(p\,\omega_i)` in turn, for all positions.

    Parameters
    ----------
    n : int
        How many positions.
    d : int
        The width, even.
    base : float, default: 1e4
        :math:`\omega_i = base^{-2i/d}`; above 0 and finite.

    Returns
    -------
    array of float64, shape (n, d)
        To be added to the tokens.

    Raises
    ------
    ValueError
        If ``d`` is odd, a size too small, or ``base`` outside its range.
    TypeError
        If a size is no integer.

    References
    ----------
    Vaswani et al. 2017, arXiv 1706.03762.
    """
    angles = _angles(np.arange(checks.count("n", n, 0), dtype=np.float64), d, base)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(n, d)


def rope(x: ArrayLike, positions: ArrayLike, base: float = 1e4) -> Float:
    r"""Turn each pair of neighboring components by an angle that grows with the position.

    Pairs are *interleaved*, components 0 and 1, 2 and 3; the other common layout, "rotate half",
    pairs i with i + d/2, and weights made for one do not fit the other.

    Parameters
    ----------
    x : array_like of float, shape (..., N, d)
        Queries or keys; d is even.
    positions : array_like of int or float, shape (N,)
        Where the tokens stand.
    base : float, default: 1e4
        The angle of pair i is :math:`p \cdot base^{-2i/d}`; above 0 and finite.

    Returns
    -------
    array of float64, the shape of ``x``
        With the same norms.

    Raises
    ------
    ValueError
        If d is odd, ``positions`` has another shape than (N,), or is not finite.
    TypeError
        If ``x`` is not floating, or ``positions`` not real.

    References
    ----------
    Su et al. 2021, arXiv 2104.09864.
    """
    array = checks.floating("x", x).astype(np.float64)
    if array.ndim < 2:
        raise ValueError(f"x must be (..., N, d), got {array.shape}")
    places = np.asarray(positions)
    if places.shape != array.shape[-2:-1]:
        raise ValueError(f"positions must have shape {array.shape[-2:-1]}, got {places.shape}")
    if places.size:
        places = checks.finite("positions", places, 1)
    angles = _angles(places.astype(np.float64), array.shape[-1], base)
    cos, sin = np.cos(angles), np.sin(angles)
    even, odd = array[..., 0::2], array[..., 1::2]
    turned = np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return turned.reshape(array.shape)


def alibi_bias(num_heads: int, L: int, S: int) -> Float:  # noqa: N803
    r"""Return what ALiBi adds to the logits, :math:`-m_h\,|i - j|`.

    Parameters
    ----------
    num_heads : int
        H, a power of two. Head h = 1 … H has the slope :math:`m_h = 2^{-8h/H}`.
    L, S : int
        Queries and keys; the last query stands at the last key.

    Returns
    -------
    array of float64, shape (H, L, S)
        Masks nothing: keys after the query are penalized like those before it.

    Raises
    ------
    ValueError
        If ``num_heads`` is no power of two, for which the published rule has other slopes, or a
        size is negative.
    TypeError
        If a number is no integer.

    References
    ----------
    Press, Smith & Lewis 2022, arXiv 2108.12409.
    """
    heads = checks.count("num_heads", num_heads, 1)
    if heads & (heads - 1):
        raise ValueError(
            f"num_heads {heads} is not a power of two: the slopes 2**(-8h/H) are defined for "
            "powers of two"
        )
    rows, columns = checks.count("L", L, 0), checks.count("S", S, 0)
    slopes = 2.0 ** (-8 * np.arange(1, heads + 1) / heads)
    distance = np.abs(np.arange(rows)[:, None] + columns - rows - np.arange(columns))
    return np.asarray(-slopes[:, None, None] * distance)


# --- what they share ---


class _Prepared(NamedTuple):
    q: Float
    k: Float
    v: Float
    mask: Bool | None
    scale: float
    lead: tuple[int, ...]


def _prepared(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    mask: ArrayLike | None,
    causal: Align | None,
    scale: float | None,
) -> _Prepared:
    """Check all arguments of attention, before any work."""
    arrays = []
    for name, array in (("query", q), ("key", k), ("value", v)):
        arrays.append(checks.floating(name, array).astype(np.float64))
        if arrays[-1].ndim < 2:
            raise ValueError(f"{name} must have at least 2 axes, got shape {arrays[-1].shape}")
    query, key, value = arrays
    width = query.shape[-1]
    if width != key.shape[-1]:
        raise ValueError(f"query has head_dim {width} but key has {key.shape[-1]}")
    if width == 0:
        raise ValueError("head_dim is 0")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"key has {key.shape[-2]} tokens but value has {value.shape[-2]}")
    try:
        lead = np.broadcast_shapes(*(array.shape[:-2] for array in arrays))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"leading axes do not broadcast: query, key, value {shapes}") from None
    factor = width**-0.5 if scale is None else float(scale)
    if not math.isfinite(factor):
        raise ValueError(f"scale must be finite, got {scale}")
    allowed = None if mask is None else _boolean(mask)
    sizes = (query.shape[-2], key.shape[-2])
    if causal is not None:
        _known_align("causal", causal)
        future = causal_mask(*sizes, causal)
        if allowed is not None:
            _broadcastable(allowed, (*lead, *sizes))
        allowed = future if allowed is None else allowed & future
    if allowed is not None:
        _broadcastable(allowed, (*lead, *sizes))
        allowed = np.broadcast_to(allowed, np.broadcast_shapes(allowed.shape, sizes))
    return _Prepared(query, key, value, allowed, factor, lead)


def _weights(given: _Prepared) -> Float:
    """Return the weights, over all leading axes of the three."""
    logits = given.scale * (given.q @ given.k.swapaxes(-1, -2))
    if given.mask is not None:
        logits = np.where(given.mask, logits, -np.inf)
    weights = softmax(logits)
    return np.array(np.broadcast_to(weights, (*given.lead, *weights.shape[-2:])))


def _boolean(mask: ArrayLike) -> Bool:
    array = np.asarray(mask)
    if array.dtype != bool:
        raise TypeError(f"mask must be bool (True = may attend), got {array.dtype}")
    return array


def _broadcastable(mask: Bool, shape: tuple[int, ...]) -> None:
    """Refuse a mask that would not fit the weights, or make more of them."""
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"mask {mask.shape} does not broadcast to weights {shape}")


def _known_align(name: str, align: str) -> None:
    if align not in ("top-left", "bottom-right"):
        raise ValueError(f"{name} must be 'top-left' or 'bottom-right', got {align!r}")


def _summed_to(gradient: Float, shape: tuple[int, ...]) -> Float:
    """Sum a gradient over the axes along which its argument was broadcast."""
    extra = tuple(range(gradient.ndim - len(shape)))
    gradient = gradient.sum(extra)
    ones = tuple(i for i, size in enumerate(shape) if size == 1 and gradient.shape[i] != 1)
    return np.asarray(gradient.sum(ones, keepdims=True))


def _angles(positions: Float, d: int, base: float) -> Float:
    width = checks.count("d", d, 0)
    if width % 2:
        raise ValueError(f"d must be even, got {width}")
    if not 0 < base < math.inf:
        raise ValueError(f"base must be > 0 and finite, got {base}")
    frequencies = float(base) ** (-2 * np.arange(width // 2) / max(width, 1))
    return np.asarray(positions[:, None] * frequencies)
