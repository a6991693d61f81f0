"""Both forms of attention, compared with the plain formula, and their gradients with autograd's."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sac_lightning.model.attention import (
    SCORES,
    _chunks,
    attention,
    fused_attention,
    plain_attention,
    relative_positions,
)

# Grid and window: the whole grid, windows that many share a chunk, a grid that is no square.
GRIDS = {
    "whole grid": (6, 6, 6, 6),
    "whole oblong grid": (4, 7, 4, 7),
    "windows": (6, 9, 3, 3),
    "wide window": (4, 40, 4, 40),
}
FORMS = {
    "chunked": attention,
    "two hundred at a time": partial(attention, most_scores=200),
    "one at a time": partial(attention, most_scores=1),
    "fused": fused_attention,
    "plain": plain_attention,
}


def inputs(grid: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of two images with three heads of five channels, and the positions."""
    height, width, h, w = GRIDS[grid]
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    tables = [random(2 * side - 1, 5).requires_grad_() for side in (h, w)]
    rel_h, rel_w = (relative_positions(table, side) for table, side in zip(tables, (h, w), strict=True))
    return random(2, height, width, 3, 3, 5).requires_grad_(), rel_h, rel_w


def written_out(qkv: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """The formula of segment-anything, window by window and head by head."""
    out = torch.zeros(*qkv.shape[:3], *qkv.shape[4:], dtype=qkv.dtype)
    h, w = len(rel_h), len(rel_w)
    for top in range(0, qkv.shape[1], h):
        for left in range(0, qkv.shape[2], w):
            window = (slice(None), slice(top, top + h), slice(left, left + w))
            for head in range(qkv.shape[4]):
                q, k, v = qkv[window][..., head, :].unbind(3)
                scores = torch.einsum("byxc,bvuc->byxvu", q, k) / q.shape[-1] ** 0.5
                scores = scores + torch.einsum("byxc,yvc->byxv", q, rel_h)[..., None]
                scores = scores + torch.einsum("byxc,xuc->byxu", q, rel_w)[..., None, :]
                weights = scores.flatten(3).softmax(-1).view_as(scores)
                out[(*window, head)] = torch.einsum("byxvu,bvuc->byxc", weights, v)
    return out.flatten(3)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("form", FORMS)
def test_output_and_gradients_are_those_of_the_formula(form: str, grid: str) -> None:
    qkv, rel_h, rel_w = inputs(grid)
    expected = written_out(qkv, rel_h, rel_w)
    above = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=expected.dtype)
    expected_grads = torch.autograd.grad(expected, (qkv, rel_h, rel_w), above, retain_graph=True)
    out = FORMS[form](qkv, rel_h, rel_w)
    torch.testing.assert_close(out, expected)
    grads = torch.autograd.grad(out, (qkv, rel_h, rel_w), above)
    for name, ours, theirs in zip(("qkv", "rel_h", "rel_w"), grads, expected_grads, strict=True):
        # Sums over chunks are in float32 whatever the inputs are.
        torch.testing.assert_close(
            ours, theirs, atol=1e-4, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_positions_that_do_not_train_get_no_gradient() -> None:
    qkv, rel_h, rel_w = inputs("windows")
    with torch.no_grad():
        rel_h, rel_w = rel_h.clone(), rel_w.clone()
    attention(qkv, rel_h, rel_w).sum().backward()
    assert qkv.grad is not None
    assert rel_h.grad is None


def test_bfloat16_stays_near_float32() -> None:
    qkv, rel_h, rel_w = inputs("whole grid", torch.float32)
    expected = written_out(qkv, rel_h, rel_w)
    rough = [tensor.detach().bfloat16() for tensor in (qkv, rel_h, rel_w)]
    for form in FORMS.values():
        out = form(*rough)
        assert out.dtype == torch.bfloat16
        assert (out.float() - expected).norm() < 0.02 * expected.norm()


def test_no_matrix_of_all_scores_is_made() -> None:
    """8 heads x 1024 x 1024 scores would be 32 MB in float32; what is kept for the backward pass is 0.4 MB."""
    kept: list[int] = []
    qkv = torch.randn(1, 32, 32, 3, 8, 4, requires_grad=True)
    rel = relative_positions(torch.randn(63, 4), 32)

    def count(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        attention(qkv, rel, rel, most_scores=2**14)
    assert sum(kept) == qkv.numel() + 2 * rel.numel() + qkv.numel() // 3


def test_relative_positions_are_indexed_by_query_minus_key() -> None:
    table = torch.arange(5.0)[:, None]  # offsets -2 to 2 of a grid of 3
    expected = torch.tensor([[2.0, 1.0, 0.0], [3.0, 2.0, 1.0], [4.0, 3.0, 2.0]])
    assert torch.equal(relative_positions(table, 3)[..., 0], expected)


def test_relative_positions_are_interpolated_to_other_sizes() -> None:
    table = torch.arange(9.0)[:, None]  # offsets -4 to 4 of a grid of 5
    # 9 entries to 3: their centres lie at entries 1, 4 and 7.
    expected = torch.tensor([[4.0, 1.0], [7.0, 4.0]])
    assert torch.allclose(relative_positions(table, 2)[..., 0], expected)


def test_chunks_cover_every_query_once() -> None:
    for groups, h, w in ((7, 14, 14), (3, 64, 64), (300, 8, 8), (1, 96, 96)):
        for _, lines in _chunks(groups, h, w, SCORES):
            assert lines[0].start == 0
            assert lines[-1].stop >= h
            assert all(above.stop == below.start for above, below in pairwise(lines))
        starts = [group for group, _ in _chunks(groups, h, w, SCORES)]
        assert starts[-1].stop >= groups
        assert all(before.stop == after.start for before, after in pairwise(starts))
