"""Multi-head self-attention as a layer of PyTorch; the functions it rests on are in NumPy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlbook import checks


class MultiHeadSelfAttention(nn.Module):
    r"""Attention of a sequence to itself, in several heads, with one fused projection.

    Parameters
    ----------
    dim : int
        C, the width of a token.
    num_heads : int
        h, which divides C. A head has the width :math:`d = C/h`, and the scale is
        :math:`1/\sqrt d`.
    qkv_bias : bool, default: False
        Whether the three projections have a bias; the last one always has.
    attn_drop, proj_drop : float, default: 0.0
        Dropout of the weights, after the softmax, and of the output; in [0, 1).

    Raises
    ------
    ValueError
        If a number is out of range, or ``num_heads`` does not divide ``dim``.
    TypeError
        If a size is no integer.

    References
    ----------
    Vaswani et al. 2017, arXiv 1706.03762. timm, ``timm/layers/attention.py``. Compared with
    ``torch.nn.MultiheadAttention``.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = False,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        width, heads = checks.count("dim", dim, 1), checks.count("num_heads", num_heads, 1)
        if width % heads:
            raise ValueError(f"dim {width} is not divisible by num_heads {heads}")
        checks.fractions(attn_drop=attn_drop, proj_drop=proj_drop)
        super().__init__()
        self.num_heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mix the tokens of each sequence.

        Parameters
        ----------
        x : Tensor, shape (B, N, C)
            The tokens; B or N may be 0.
        mask : Tensor of bool, broadcasts to (B, h, N, N), optional
            True = may attend.

        Returns
        -------
        out : Tensor, shape (B, N, C)
            A token that may attend to nothing gets the bias of the last projection.
        weights : Tensor, shape (B, h, N, N)
            *Before* dropout, so their rows sum to 1 in training too, or to 0 where no key is left.

        Raises
        ------
        ValueError
            If ``x`` has another rank or width, or the mask does not broadcast.
        TypeError
            If the mask is not boolean.
        """
        width, heads = self.proj.in_features, self.num_heads
        if x.ndim != 3 or x.shape[-1] != width:
            raise ValueError(f"x must be (B, N, {width}), got {tuple(x.shape)}")
        batch, tokens, _ = x.shape
        by_head = self.qkv(x).reshape(batch, tokens, 3, heads, width // heads)
        q, k, v = by_head.permute(2, 0, 3, 1, 4).unbind(0)  # (B, h, N, d) each
        logits = q @ k.transpose(-2, -1) * self.scale  # (B, h, N, N)
        if mask is not None:
            _check_mask(mask, tuple(logits.shape))
            logits = logits.masked_fill(~mask, float("-inf"))
        weights = logits.softmax(dim=-1)
        if mask is not None:  # a row with no key is NaN so far, and so would be its gradient
            weights = weights.masked_fill(~mask, 0.0)
        out = self.attn_drop(weights) @ v  # (B, h, N, d)
        out = out.transpose(1, 2).reshape(batch, tokens, width)  # not view: not contiguous
        return self.proj_drop(self.proj(out)), weights


def _check_mask(mask: Tensor, shape: tuple[int, ...]) -> None:
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be bool (True = may attend), got {mask.dtype}")
    if mask.ndim > 4 or any(
        a not in (1, b) for a, b in zip(mask.shape[::-1], shape[::-1], strict=False)
    ):
        raise ValueError(f"mask {tuple(mask.shape)} does not broadcast to weights {shape}")
