"""Attention with decomposed relative positions (MViTv2, as in SAM), in windows, without a matrix of biases.

The score of query (y, x) for key (y', x') is ``scale * q.k + q.Rh[y, y'] + q.Rw[x, x']``. segment-anything
computes the whole matrix of scores and adds the whole matrix of biases: windows x heads x tokens x tokens numbers,
kept for the backward pass. Here neither exists as a whole:

- On a CPU, the scores are computed for a few queries at a time, so that they fit into a core's cache, and again in
  the backward pass, which needs only q, k, v and the output.
- Elsewhere, the biases become part of the product of queries and keys, so that torch's fused kernels (flash
  attention) can compute it: q' = [scale * q, q.Rh, q.Rw] and k' = [k, one-hot of the row, one-hot of the column].
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Scores computed at a time: 4 MB in float32. A quarter as many and twice as many were no faster here.
SCORES = 2**20
# In windows narrower than this, rows of keys are too short for vectorised additions: a product adds the biases.
NARROW = 32


AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The type of attention, fused_attention and plain_attention, which differ in cost and by rounding."""


def attention(qkv: Tensor, rel_h: Tensor, rel_w: Tensor, most_scores: int = SCORES) -> Tensor:
    """Let tokens attend to the tokens of their window.

    Args:
        qkv: (B, H, W, 3, heads, C), queries, keys and values of a grid of tokens.
        rel_h: (h, h, C), the embedding of each row of a window, as a query, against each row; h divides H.
        rel_w: (w, w, C), the same for columns; w divides W. With h = H and w = W the window is the whole grid.
        most_scores: How many scores are computed at a time on a CPU.

    Returns:
        (B, H, W, heads * C).
    """
    if qkv.device.type == "cpu":
        return ChunkedAttention.apply(qkv, rel_h, rel_w, most_scores)  # type: ignore[no-any-return]
    return fused_attention(qkv, rel_h, rel_w)


def fused_attention(qkv: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Compute attention by torch's scaled_dot_product_attention, on any device; see `attention`."""
    h, w, channels = len(rel_h), len(rel_w), qkv.shape[-1]
    rows = qkv.reshape(-1, h, *qkv.shape[2:])  # Rows of windows of all images.
    q, k, v = _group_windows(rows, w)
    bias_h = torch.einsum("ghwc,hkc->ghwk", q, rel_h)
    bias_w = torch.einsum("ghwc,wkc->ghwk", q, rel_w)
    one_hot = _rows_and_columns(h, w, k).T.expand(len(k), -1, -1)
    q = torch.cat([q * channels**-0.5, bias_h, bias_w], dim=-1).flatten(1, 2)
    k = torch.cat([k.flatten(1, 2), one_hot], dim=-1)
    # Values as wide as the queries, and four dimensions: torch's fused kernels need both.
    v = F.pad(v.flatten(1, 2), (0, h + w))
    out = F.scaled_dot_product_attention(q[None], k[None], v[None], scale=1.0)[..., :channels]
    return _ungroup_windows(out.reshape(1, -1, h, w, channels), rows).reshape(*qkv.shape[:3], -1)


def plain_attention(qkv: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """See attention; with the whole matrix of scores, as segment-anything has it: for a tracer.

    In onnxruntime it is as fast as fused_attention, whose trace would be for one size of the batch.
    """
    h, w, scale = len(rel_h), len(rel_w), qkv.shape[-1] ** -0.5
    batch, height, width = qkv.shape[:3]
    windows = qkv.reshape(batch, height // h, h, width // w, w, *qkv.shape[3:])
    q, k, v = windows.permute(5, 0, 1, 3, 6, 2, 4, 7).unbind()  # (B, rows, columns, heads, h, w, C) each
    bias_h = torch.einsum("...hwc,hkc->...hwk", q, rel_h).unsqueeze(-1)
    bias_w = torch.einsum("...hwc,wkc->...hwk", q, rel_w).unsqueeze(-2)
    biases = (bias_h + bias_w).flatten(-2).flatten(-3, -2)
    scores = (q.flatten(-3, -2) * scale) @ k.flatten(-3, -2).mT + biases
    out = (scores.softmax(-1) @ v.flatten(-3, -2)).view_as(q)
    return out.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, height, width, -1)  # type: ignore[no-any-return]


class ChunkedAttention(torch.autograd.Function):
    """Attention on a CPU, a chunk of queries at a time; see `attention`."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, rel_h: Tensor, rel_w: Tensor, most_scores: int) -> Tensor:
        """Multiply the softmax of the scores by the values, chunk by chunk."""
        h, w = len(rel_h), len(rel_w)
        out = qkv.new_empty(*qkv.shape[:3], qkv.shape[4] * qkv.shape[5])
        for rows in _window_rows(qkv, h):
            q, k, v = _group_windows(qkv[:, rows], w)
            result = torch.empty_like(q)
            for group, lines in _chunks(len(q), h, w, most_scores):
                for y in lines:
                    weights = _weights(q[group, y], k[group], rel_h[y], rel_w)
                    chunk = result[group, y]
                    chunk.copy_((weights @ v[group].flatten(1, 2)).view(chunk.shape))
            out[:, rows] = _ungroup_windows(result[None], qkv[:, rows])[..., 0, :, :].flatten(3)
        ctx.save_for_backward(qkv, rel_h, rel_w, out)
        ctx.most_scores = most_scores
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        """Return the gradients of queries, keys and values, and of the positions if they are trained."""
        qkv, rel_h, rel_w, out = ctx.saved_tensors
        w = len(rel_w)
        grad_qkv = torch.empty_like(qkv)
        grad_h = torch.zeros_like(rel_h) if ctx.needs_input_grad[1] else None
        grad_w = torch.zeros_like(rel_w) if ctx.needs_input_grad[2] else None
        per_head = (*qkv.shape[:3], 1, *qkv.shape[4:])
        for rows in _window_rows(qkv, len(rel_h)):
            (grad,) = _group_windows(grad_out.view(per_head)[:, rows], w)
            (result,) = _group_windows(out.view(per_head)[:, rows], w)
            # The part of a score's gradient that comes from the softmax's denominator (FlashAttention, Alg. 4).
            shared = (grad * result).sum(-1, keepdim=True)
            windows = _group_windows(qkv[:, rows], w)
            grads = _gradients(windows, grad, shared, (rel_h, rel_w), (grad_h, grad_w), ctx.most_scores)
            grad_qkv[:, rows] = _ungroup_windows(grads, qkv[:, rows])
        return grad_qkv, grad_h, grad_w, None


def _gradients(
    qkv: Tensor,
    grad: Tensor,
    shared: Tensor,
    rel: tuple[Tensor, Tensor],
    grad_rel: tuple[Tensor | None, Tensor | None],
    most_scores: int,
) -> Tensor:
    """Return the gradients (3, groups, h, w, C) of the windows' queries, keys and values.

    Args:
        qkv: (3, groups, h, w, C).
        grad: (groups, h, w, C), gradient of the output.
        shared: (groups, h, w, 1), part of the scores' gradient that comes from the softmax's denominator.
        rel: rel_h and rel_w.
        grad_rel: Their gradients, added to in place; None where they are frozen.
        most_scores: See attention.
    """
    q, k, v = qkv
    rel_h, rel_w = rel
    groups, h, w, channels = q.shape
    grads = torch.empty_like(qkv)
    for group, lines in _chunks(groups, h, w, most_scores):
        keys, values = k[group].flatten(1, 2), v[group].flatten(1, 2)
        grad_k = grad_v = None
        for y in lines:
            chunk = q[group, y]
            queries, above = chunk.flatten(1, 2), grad[group, y].flatten(1, 2)
            scores = _weights(chunk, k[group], rel_h[y], rel_w)
            grad_v = _add_part(grad_v, above.mT @ scores)  # Transposed, so that the large factor is not copied.
            scores = (above @ values.mT).sub_(shared[group, y].flatten(1, 2)).mul_(scores)
            grad_k = _add_part(grad_k, (queries.mT @ scores).mul_(channels**-0.5))
            grad_q = (scores @ keys).mul_(channels**-0.5).view(chunk.shape)
            grads[0, group, y] = _add_bias_gradients(grad_q, chunk, scores, y, rel, grad_rel)
        for i, total in ((1, grad_k), (2, grad_v)):
            assert total is not None
            grads[i, group] = total.mT.reshape(k[group].shape)
    return grads


def _add_bias_gradients(
    grad_q: Tensor,
    q: Tensor,
    grad_scores: Tensor,
    y: slice,
    rel: tuple[Tensor, Tensor],
    grad_rel: tuple[Tensor | None, Tensor | None],
) -> Tensor:
    """Add the biases' share, in place, to the gradients of queries (g, y, w, C), returned, and of positions."""
    rel_h, rel_w = rel
    h, w = len(rel_h), len(rel_w)
    if w < NARROW:
        both = grad_scores @ _rows_and_columns(h, w, grad_scores).T
        both = both.view(*q.shape[:3], h + w)
        bias_h, bias_w = both[..., :h], both[..., h:]
    else:
        by_key = grad_scores.view(*q.shape[:3], h, w)
        bias_h, bias_w = by_key.sum(-1), by_key.sum(-2)
    grad_q += torch.einsum("gywk,ykc->gywc", bias_h, rel_h[y])
    grad_q += torch.einsum("gywk,wkc->gywc", bias_w, rel_w)
    grad_h, grad_w = grad_rel
    if grad_h is not None:
        grad_h[y] += torch.einsum("gywk,gywc->ykc", bias_h, q)
    if grad_w is not None:
        grad_w += torch.einsum("gywk,gywc->wkc", bias_w, q)
    return grad_q


def _weights(q: Tensor, k: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Return softmax(scores) (g, y * w, h * w) of y rows of queries (g, y, w, C) for keys (g, h, w, C)."""
    groups, y, w, channels = q.shape
    h = k.shape[1]
    bias_h = torch.einsum("gywc,ykc->gywk", q, rel_h)
    bias_w = torch.einsum("gywc,wkc->gywk", q, rel_w)
    if w < NARROW:
        scores = torch.cat([bias_h, bias_w], dim=-1).flatten(1, 2) @ _rows_and_columns(h, w, k)
    else:
        scores = bias_h.contiguous()[..., :, None] + bias_w.contiguous()[..., None, :]
        scores = scores.view(groups, y * w, h * w)
    scores.baddbmm_(q.flatten(1, 2), k.flatten(1, 2).mT, alpha=channels**-0.5)
    return scores.softmax(-1)


def _rows_and_columns(h: int, w: int, like: Tensor) -> Tensor:
    """Return (h + w, h * w): for each key of a window, its row as one-hot, then its column as one-hot."""
    rows = torch.eye(h, dtype=like.dtype, device=like.device).repeat_interleave(w, dim=1)
    columns = torch.eye(w, dtype=like.dtype, device=like.device).repeat(1, h)
    return torch.cat([rows, columns])


def _window_rows(qkv: Tensor, h: int) -> Iterator[slice]:
    """Return, for each row of windows, the slice of grid rows that it covers."""
    return (slice(top, top + h) for top in range(0, qkv.shape[1], h))


def _group_windows(rows: Tensor, w: int) -> Tensor:
    """Regroup a row of windows (B, h, W, n, heads, C) as (n, B * windows * heads, h, w, C), contiguous."""
    batch, h, width, n, heads, channels = rows.shape
    windows = rows.view(batch, h, width // w, w, n, heads, channels)
    return windows.permute(4, 0, 2, 5, 1, 3, 6).reshape(n, -1, h, w, channels).contiguous()


def _ungroup_windows(groups: Tensor, like: Tensor) -> Tensor:
    """Undo _group_windows: back to (B, h, W, n, heads, C) with the sizes of ``like``."""
    batch, _, width, _, heads, channels = like.shape
    n, _, h, w, _ = groups.shape
    windows = groups.view(n, batch, width // w, heads, h, w, channels)
    return windows.permute(1, 4, 2, 5, 0, 3, 6).reshape(batch, h, width, n, heads, channels)


def _chunks(groups: int, h: int, w: int, most_scores: int) -> Iterator[tuple[slice, list[slice]]]:
    """Split the work into chunks: slices of groups, each with its slices of rows of queries.

    A group is one head of one window. Small windows are processed many at a time, large ones a few rows
    at a time.
    """
    tokens = h * w
    together = max(1, most_scores // tokens**2)
    rows = min(h, max(1, most_scores // (tokens * w)))
    lines = [slice(y, y + rows) for y in range(0, h, rows)]
    return ((slice(start, start + together), lines) for start in range(0, groups, together))


def _add_part(total: Tensor | None, part: Tensor) -> Tensor:
    """Add a chunk to the total, in float32 from the second chunk on."""
    return part if total is None else total + part.float()


def relative_positions(table: Tensor, size: int) -> Tensor:
    """Return the embedding of each offset between two of ``size`` positions.

    Args:
        table: (2 * stored_size - 1, C), one row per offset; interpolated linearly where the sizes differ.
        size: Number of positions along the axis.

    Returns:
        (size, size, C): entry (i, j) is the embedding of query i against key j.
    """
    offsets = 2 * size - 1
    if table.shape[0] != offsets:
        table = F.interpolate(table.T[None], size=offsets, mode="linear")[0].T
    position = torch.arange(size, device=table.device)
    return table[position[:, None] - position[None, :] + size - 1]
