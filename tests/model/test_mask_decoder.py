"""The batched mask decoder, compared with segment-anything's, image by image."""

import pytest
import torch
from segment_anything.modeling import MaskDecoder as OfficialMaskDecoder
from segment_anything.modeling import PromptEncoder, TwoWayTransformer
from torch import Tensor, nn

from sac_lightning.model.mask_decoder import MaskDecoder

BATCH = 3
GRID = (6, 4)
SIZE = (96, 64)


def official_decoder(state: dict[str, Tensor]) -> nn.Module:
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    official = OfficialMaskDecoder(transformer_dim=256, transformer=transformer)
    official.load_state_dict(state, strict=True)
    official.eval()
    return official  # type: ignore[no-any-return]


def prompt_encoder() -> PromptEncoder:
    torch.manual_seed(1)
    encoder = PromptEncoder(embed_dim=256, image_embedding_size=GRID, input_image_size=SIZE, mask_in_chans=16)
    return encoder.eval()


def prompts(encoder: PromptEncoder, count: int) -> tuple[Tensor, Tensor]:
    """Sparse (B, N, 256) and dense (B, 256, h, w) embeddings of ``count`` points, some of them padding."""
    if count == 0:
        sparse, dense = encoder(points=None, boxes=None, masks=None)
        return sparse.expand(BATCH, -1, -1), dense.expand(BATCH, -1, -1, -1)
    generator = torch.Generator().manual_seed(2)
    coords = torch.rand(BATCH, count, 2, generator=generator) * torch.tensor(SIZE[::-1])
    labels = torch.randint(-1, 2, (BATCH, count), generator=generator)
    labels[0, 0] = -1
    return encoder(points=(coords, labels), boxes=None, masks=None)  # type: ignore[no-any-return]


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("count", [0, 1, 5])
@torch.no_grad()
def test_a_batch_equals_the_official_decoder_image_by_image(count: int, multimask: bool) -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder().eval()
    official = official_decoder(decoder.state_dict())
    encoder = prompt_encoder()
    image_embeddings = torch.randn(BATCH, 256, *GRID)
    sparse, dense = prompts(encoder, count)
    pe = encoder.get_dense_pe()
    masks, iou = decoder(image_embeddings, pe, sparse, dense, multimask_output=multimask)
    channels = 3 if multimask else 1
    assert masks.shape == (BATCH, channels, 4 * GRID[0], 4 * GRID[1])
    assert iou.shape == (BATCH, channels)
    assert not torch.allclose(masks[0], masks[1], atol=1e-3), "the images give the same mask"
    for i in range(BATCH):
        expected_masks, expected_iou = official(
            image_embeddings[i : i + 1], pe, sparse[i : i + 1], dense[i : i + 1], multimask_output=multimask
        )
        torch.testing.assert_close(masks[i : i + 1], expected_masks, atol=1e-5, rtol=0)
        torch.testing.assert_close(iou[i : i + 1], expected_iou, atol=1e-5, rtol=0)


def test_has_the_parameters_of_table_6() -> None:
    assert sum(p.numel() for p in MaskDecoder().parameters()) == 4_058_340


def test_prompts_of_one_image_do_not_reach_another() -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder().eval()
    encoder = prompt_encoder()
    image_embeddings = torch.randn(BATCH, 256, *GRID)
    sparse, dense = prompts(encoder, 2)
    changed = sparse.clone()
    changed[1] += 1
    with torch.no_grad():
        before, after = (
            decoder(image_embeddings, encoder.get_dense_pe(), points, dense, multimask_output=False)[0]
            for points in (sparse, changed)
        )
    difference = (before - after).abs().amax(dim=(1, 2, 3))
    assert difference[1] > 1e-3, "the prompts of image 1 do not reach its mask"
    assert difference[[0, 2]].max() < 1e-6, "the prompts of image 1 reach another image's mask"
