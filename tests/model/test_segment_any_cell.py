"""SAC as a whole: shapes, where points arrive, what the decoder gets, and train and eval modes."""

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Generator, Prompts, sac, sam
from sac_lightning.model.segment_any_cell import PIXEL_MEAN, PIXEL_STD, SAC

SIZE = 64
TINY = Backbone(
    "tiny", dim=16, depth=2, heads=2, global_blocks=(1,), window=2, native_size=SIZE, weights="somewhere.pth"
)


def prompts(points: int = 1, map_size: int = 32) -> Prompts:
    return Prompts(points=points, map_size=map_size, generator=Generator(init_features=2, depth=2))


def tiny_sam(points: int = 1, map_size: int = 32) -> SAC:
    torch.manual_seed(0)
    return sam(TINY, prompts(points, map_size), SIZE)


class Bright(nn.Module):
    """A prompt generator that calls nucleus what is brighter than SAM's mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        self.seen = images
        return images.mean(1, keepdim=True) * 10


def decoder_inputs(model: SAC) -> dict[str, Tensor]:
    """What the next forward pass gives to the mask decoder, filled in when it runs."""
    seen: dict[str, Tensor] = {}

    def hook(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, object]) -> None:
        seen.update(zip(("image_embeddings", "image_pe", "sparse", "dense"), args, strict=True))

    model.mask_decoder.register_forward_pre_hook(hook, with_kwargs=True)
    return seen


def test_the_default_prompt_is_one_pair_of_points() -> None:
    output = tiny_sam()(torch.rand(2, 3, SIZE, SIZE) * 255)
    assert output.logits.shape == (2, 1, SIZE, SIZE)
    assert output.iou is not None
    assert output.iou.shape == (2,)
    assert output.generator_logits is not None
    assert output.generator_logits.shape == (2, 1, 32, 32)
    assert output.point_coords.shape == (2, 2, 2)
    assert output.point_labels.shape == (2, 2)


def test_images_are_normalised_with_the_statistics_of_sam() -> None:
    model = tiny_sam()
    seen: list[Tensor] = []
    model.image_encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    image = torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1) + torch.tensor(PIXEL_STD).view(1, 3, 1, 1) * 2
    model(image.expand(1, 3, SIZE, SIZE))
    torch.testing.assert_close(seen[0], torch.full((1, 3, SIZE, SIZE), 2.0))


@pytest.mark.parametrize("map_size", [16, 32, 64])
def test_points_of_the_map_arrive_at_the_right_input_pixels(map_size: int) -> None:
    model = tiny_sam(points=2, map_size=map_size)
    model.prompt_generator = Bright()
    images = torch.zeros(1, 3, SIZE, SIZE)
    images[..., 16:24, 40:48] = 255  # its centre is (43.5, 19.5)
    output = model(images)
    assert output.point_labels.tolist() == [[1, -1, 0, -1]]
    assert output.point_coords[0, 0].tolist() == [43.5, 19.5]
    x, y = output.point_coords[0, 2].tolist()
    assert images[0, 0, round(y), round(x)] == 0, "the negative point lies on the bright square"
    assert output.point_coords[0, [1, 3]].abs().max() == 0, "padding is not at (0, 0)"


def test_the_generator_sees_the_image_at_its_own_size() -> None:
    model = tiny_sam(map_size=16)
    model.prompt_generator = Bright()
    model(torch.rand(2, 3, SIZE, SIZE) * 255)
    assert isinstance(model.prompt_generator, Bright)
    assert model.prompt_generator.seen is not None
    assert model.prompt_generator.seen.shape == (2, 3, 16, 16)


def test_expert_points_follow_the_automatic_ones_unchanged() -> None:
    model = tiny_sam(points=1)
    given = torch.tensor([[[5.0, 60.5], [0.0, 0.0]]])
    labels = torch.tensor([[1, -1]])
    images = torch.rand(1, 3, SIZE, SIZE) * 255
    output = model(images, given, labels)
    alone = model(images)
    assert torch.equal(output.point_coords, torch.cat([alone.point_coords, given], dim=1))
    assert torch.equal(output.point_labels, torch.cat([alone.point_labels, labels], dim=1))


def test_the_decoder_gets_all_points_as_sam_would_encode_them() -> None:
    model = tiny_sam(points=1)
    seen = decoder_inputs(model)
    output = model(torch.rand(1, 3, SIZE, SIZE) * 255, torch.tensor([[[9.0, 3.0]]]), torch.tensor([[0]]))
    points = (output.point_coords, output.point_labels)
    sparse, dense = model.prompt_encoder(points=points, boxes=None, masks=None)
    assert sparse.shape[1] == 4, "two automatic points, one expert point, SAM's own padding"
    assert torch.equal(seen["sparse"], sparse)
    assert torch.equal(seen["dense"], dense)
    assert torch.equal(seen["image_pe"], model.prompt_encoder.get_dense_pe())


def test_a_point_matters_where_it_is() -> None:
    model = tiny_sam(points=0)
    images = torch.rand(1, 3, SIZE, SIZE) * 255
    one = torch.ones(1, 1, dtype=torch.long)
    here, there = (model(images, torch.tensor([[[x, x]]]), one).logits for x in (5.0, 50.0))
    assert not torch.allclose(here, there, atol=1e-4), "moving a point does not move the mask"
    nowhere = model(images, torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.long)).logits
    torch.testing.assert_close(nowhere, model(images).logits)


def test_random_points_depend_on_the_seed_of_each_image() -> None:
    model = sam(TINY, Prompts(points=3, selection="R", threshold=0.0, map_size=32), SIZE).eval()
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 255
    coords = model(image.expand(3, -1, -1, -1), seeds=torch.tensor([1, 2, 1])).point_coords
    assert torch.equal(coords[0], coords[2]), "the same image and seed get other points"
    assert not torch.equal(coords[0], coords[1]), "another seed gets the same points"
    assert torch.equal(model(image).point_coords, model(image, seeds=torch.tensor([0])).point_coords)


def test_a_batch_equals_its_images_one_by_one() -> None:
    model = tiny_sam(points=2).eval()
    images = torch.rand(3, 3, SIZE, SIZE) * 255
    coords, labels = torch.rand(3, 2, 2) * SIZE, torch.tensor([[1, 0], [1, -1], [-1, -1]])
    with torch.no_grad():
        together = model(images, coords, labels)
        alone = [model(images[i : i + 1], coords[i : i + 1], labels[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together.logits, torch.cat([o.logits for o in alone]), atol=1e-4, rtol=0)
    assert torch.equal(together.point_coords, torch.cat([o.point_coords for o in alone]))


@pytest.mark.parametrize("points", [0, 1])
def test_prompts_are_encoded_in_full_precision_under_autocast(points: int) -> None:
    model = tiny_sam(points).eval()
    if points:
        model.prompt_generator = Bright()
    seen = decoder_inputs(model)
    images = torch.zeros(2, 3, SIZE, SIZE)
    images[..., 16:24, 40:48] = 255
    coords, labels = torch.tensor([[[50.25, 3.0]], [[17.0, 63.0]]]), torch.tensor([[1], [0]])
    with torch.no_grad():
        full = model(images, coords, labels)
        expected = dict(seen)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(images, coords, labels)
    same_image = torch.equal(seen["image_embeddings"], expected["image_embeddings"])
    assert not same_image, "the encoder did not run in bfloat16, so this test shows nothing"
    assert torch.equal(output.point_coords, full.point_coords), "the points move under bfloat16"
    for name in ("sparse", "dense", "image_pe"):
        assert torch.equal(seen[name], expected[name]), f"the decoder's {name} loses precision under bfloat16"
    assert output.logits.dtype == torch.float32
    assert output.logits.isfinite().all()


def test_frozen_parts_stay_in_eval_mode() -> None:
    model = sac(TINY, prompts(), SIZE, rank=2, dropout=0.1)
    assert model.train() is model
    for name, module in model.named_modules():
        parameters = list(module.parameters())
        if parameters:
            trains = any(p.requires_grad for p in parameters)
            assert module.training is trains, f"{name} is in the wrong mode (training: {module.training})"
    assert not model.prompt_encoder.pe_layer.training
    assert model.eval() is model
    assert not any(module.training for module in model.modules()), "something stays in training mode"


def test_a_model_that_trains_nothing_can_change_its_mode() -> None:
    model = tiny_sam(points=0)
    assert not any(p.requires_grad for p in model.parameters())
    model.train()
    assert not any(module.training for name, module in model.named_modules() if name)
    model.eval()
    assert not any(module.training for module in model.modules())


def test_the_normalisation_is_not_in_the_state_dict() -> None:
    assert not [name for name in tiny_sam().state_dict() if name.startswith("pixel_")]


# Dense prompts: the generator's logits as SAM's mask prompt


def dense_sac(map_size: int = 32) -> SAC:
    torch.manual_seed(0)
    asked = Prompts(points=1, map_size=map_size, dense=True, generator=Generator(init_features=2, depth=2))
    return sac(TINY, asked, SIZE, rank=2)


def noise(batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255


def resized(maps: Tensor, side: int) -> Tensor:
    """Pillow's bilinear resizing of maps (B, 1, m, m), which looks at every pixel when it shrinks."""
    images = [Image.fromarray(one.numpy()).resize((side, side), Image.Resampling.BILINEAR) for one in maps[:, 0]]
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))[:, None]


@pytest.mark.parametrize("map_size", [8, 16, 32, 64])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_decoder_gets_the_generator_s_logits_as_sam_would_encode_a_mask(batch: int, map_size: int) -> None:
    model = dense_sac(map_size).eval()
    seen = decoder_inputs(model)
    official = PromptEncoder(256, (4, 4), (SIZE, SIZE), mask_in_chans=16)
    official.load_state_dict(model.prompt_encoder.state_dict())
    coords, labels = torch.rand(batch, 2, 2) * SIZE, torch.tensor([[1, -1]]).expand(batch, -1)
    with torch.no_grad():
        output = model(noise(batch), coords, labels)
        assert output.generator_logits is not None
        masks = resized(output.generator_logits, 16)  # SAM takes masks of 4 times the grid of 4 x 4.
        sparse, dense = official((output.point_coords, output.point_labels), boxes=None, masks=masks)
    assert dense.shape == (batch, 256, 4, 4)
    torch.testing.assert_close(seen["dense"], dense, atol=1e-5, rtol=0)
    assert torch.equal(seen["sparse"], sparse), "the points are not as they were"


def test_dense_prompts_change_the_mask_and_nothing_before_it() -> None:
    model = dense_sac().eval()
    with torch.no_grad():
        on = model(noise())
        model.dense = False
        off = model(noise())
    assert not torch.allclose(on.logits, off.logits, atol=1e-4)
    assert torch.equal(on.generator_logits, off.generator_logits)
    assert torch.equal(on.point_coords, off.point_coords)


@pytest.mark.parametrize("points", [0, 1])
def test_without_dense_prompts_the_decoder_gets_sam_s_embedding_of_no_mask(points: int) -> None:
    model = tiny_sam(points)
    seen = decoder_inputs(model)
    model(noise())
    no_mask = model.prompt_encoder.no_mask_embed.weight.view(1, 256, 1, 1)
    assert torch.equal(seen["dense"], no_mask.expand(2, 256, 4, 4))


def test_the_mask_s_loss_does_not_reach_the_generator_through_dense_prompts() -> None:
    model = dense_sac().train()
    output = model(noise())
    output.logits.square().mean().backward()
    assert model.prompt_generator is not None
    reached = [name for name, p in model.prompt_generator.named_parameters() if p.grad is not None]
    assert not reached, f"the mask's loss trains the generator: {reached}"
    assert model.mask_decoder.iou_token.weight.grad is not None
    output.generator_logits.square().mean().backward()
    assert all(p.grad is not None for p in model.prompt_generator.parameters()), "nor does its own loss"


class Rounding(Bright):
    """A generator that answers in bfloat16, as a network under autocast does, with exactly the same numbers."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images).bfloat16()
        return logits if torch.is_autocast_enabled("cpu") else logits.float()


def test_dense_prompts_are_encoded_in_full_precision_under_autocast() -> None:
    model = dense_sac().eval()
    model.prompt_generator = Rounding()
    seen = decoder_inputs(model)
    with torch.no_grad():
        model(noise())
        expected = seen["dense"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(noise())
    assert seen["dense"].dtype == torch.float32
    assert torch.equal(seen["dense"], expected), "the mask prompt loses precision under bfloat16"
