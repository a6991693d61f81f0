"""The decoder of single nuclei: which part of an embedding it sees of a point, and that its form is SAM's."""

import pytest
import torch
from torch import Tensor

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Generator, Prompts
from sac_lightning.model.build import build_model
from sac_lightning.model.nucleus_decoder import CELLS, Refinement, cut_parts, find_corners, measure_distances
from sac_lightning.model.segment_any_cell import SAC

NUCLEUS = ["prompts=nucleus", "prompts.generator.widths=[4,8]"]
SEPARATING = Generator(separating=True)


def make(tiny: list[str], field: int) -> SAC:
    """An untrained SAC at 64 pixels, whose embeddings have 4 x 4 tokens."""
    torch.manual_seed(0)
    overrides = [*tiny, *NUCLEUS, f"prompts.field={field}", "output_dir=x"]
    model = build_model(resolve_config(compose_config("train", overrides))["model"])
    assert isinstance(model, SAC)
    return model.eval()


def test_the_part_around_a_point_is_the_one_whose_middle_is_nearest_within_the_embedding() -> None:
    points = torch.tensor([[31.5, 31.5], [0.0, 63.0], [40.0, 23.0], [63.0, 0.0]])
    corners = find_corners(points, field=2, grid=4, patch=16)
    assert corners.tolist() == [[1, 1], [0, 2], [2, 0], [2, 0]]
    inside = (points >= corners * 16 - 0.5) & (points < (corners + 2) * 16)
    assert inside.all()


def test_parts_are_cut_out_of_the_map_that_owns_the_point() -> None:
    maps = torch.arange(2 * 3 * 5 * 5).view(2, 3, 5, 5)
    parts = cut_parts(maps, torch.tensor([1, 0]), torch.tensor([[1, 3], [0, 0]]), 2)
    assert torch.equal(parts[0], maps[1, :, 3:5, 1:3])
    assert torch.equal(parts[1], maps[0, :, :2, :2])


def test_distances_are_from_the_point_in_fifths_of_the_part() -> None:
    # In a part of 2 tokens of 16 pixels from (16, 32) on: a cell is 2 pixels.
    points = torch.tensor([[20.5, 36.5]])
    distances = measure_distances(points, torch.tensor([[1, 2]]), field=2, patch=16)[0, 0]
    assert distances.shape == (2 * CELLS, 2 * CELLS)
    assert divmod(int(distances.argmin()), 2 * CELLS) == (2, 2)
    across = (distances[2, 12] - distances[2, 2]) * 2 * CELLS / 5
    assert float(across) == pytest.approx(10, abs=0.1)


def test_on_the_whole_embedding_it_is_sams_decoder(tiny: list[str]) -> None:
    model = make(tiny, field=12)
    assert model.nucleus_field == 4, "the whole of it, as there is no more"
    images = torch.rand(1, 3, 64, 64) * 255
    coords, labels = torch.tensor([[[10.0, 20.0], [50.0, 9.0]]]), torch.tensor([[1, 0]])
    with torch.no_grad():
        embeddings, maps = model.encode(images)
        assert maps is not None
        wanted, iou = model.decode(embeddings, coords, labels)
        masks = model.decode_nuclei(embeddings, maps, torch.zeros(1, dtype=torch.long), coords, labels)
    assert torch.allclose(masks.coarse, wanted, atol=1e-5)
    assert torch.allclose(masks.iou, iou, atol=1e-5)


def test_the_answer_moves_with_the_image(tiny: list[str]) -> None:
    model = make(tiny, field=2)
    torch.manual_seed(1)
    embeddings, maps = torch.randn(1, 256, 4, 4), torch.randn(1, 4, 32, 32)
    coords, labels = torch.tensor([[[30.0, 33.0], [20.0, 25.0]]]), torch.tensor([[1, 0]])
    owner = torch.zeros(1, dtype=torch.long)
    assert model.refinement is not None
    for parameter in model.refinement.parameters():
        torch.nn.init.normal_(parameter, std=0.1)

    def ask(shift: int) -> Tensor:
        moved = embeddings.roll(shift, dims=-1), maps.roll(shift * 8, dims=-1)
        with torch.no_grad():
            masks = model.decode_nuclei(*moved, owner, coords + torch.tensor([16.0 * shift, 0.0]), labels)
        assert masks.corners.tolist() == [[1 + shift, 1]]
        return masks.logits

    assert torch.allclose(ask(0), ask(1), atol=1e-4), "its positions are those of the middle, wherever the part is"
    assert not torch.allclose(ask(0), ask(0) + 1)


def test_corners_are_embedded_as_sam_embeds_boxes(tiny: list[str]) -> None:
    model = make(tiny, field=2)
    boxes = torch.tensor([[5.0, 9.0, 30.0, 41.0], [0.0, 1.0, 63.0, 20.0]])
    _, wanted, _ = model.encode_prompts(torch.zeros(2, 0, 2), torch.zeros(2, 0), boxes=boxes)
    labels = torch.tensor([[2, 3], [2, 3]])
    _, found, _ = model.encode_prompts(boxes.view(2, 2, 2), labels)
    assert torch.allclose(model._mark_corners(found, labels)[:, :2], wanted, atol=1e-6)


def test_a_box_is_answered_around_its_middle_and_changes_no_point_beside_it(tiny: list[str]) -> None:
    model = make(tiny, field=2)
    embeddings, maps, owners = torch.randn(1, 256, 4, 4), torch.randn(1, 4, 32, 32), torch.zeros(2).long()
    coords = torch.tensor([[[30.0, 33.0], [20.0, 25.0]], [[30.0, 36.0], [54.0, 60.0]]])
    labels = torch.tensor([[1, 0], [2, 3]])
    with torch.no_grad():
        both = model.decode_nuclei(embeddings, maps, owners, coords, labels)
        alone = model.decode_nuclei(embeddings, maps, owners[:1], coords[:1], labels[:1])
        coords[1] += torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
        larger = model.decode_nuclei(embeddings, maps, owners, coords, labels)
    assert both.corners.tolist() == [[1, 1], [2, 2]]
    assert torch.allclose(both.logits[:1], alone.logits, atol=1e-5)
    assert not torch.allclose(both.logits[1], larger.logits[1], atol=1e-4)


def test_points_of_an_image_are_answered_on_their_own_embedding(tiny: list[str]) -> None:
    model = make(tiny, field=2)
    embeddings, maps = torch.randn(2, 256, 4, 4), torch.randn(2, 4, 32, 32)
    coords, labels = torch.full((2, 1, 2), 31.0), torch.ones(2, 1, dtype=torch.long)
    with torch.no_grad():
        both = model.decode_nuclei(embeddings, maps, torch.tensor([1, 0]), coords, labels)
        first = model.decode_nuclei(embeddings[:1], maps[:1], torch.tensor([0]), coords[:1], labels[:1])
    assert torch.allclose(both.logits[1:], first.logits, atol=1e-5)
    assert not torch.allclose(both.logits[0], both.logits[1], atol=1e-3)


def test_the_generator_learns_nothing_from_the_decoder(tiny: list[str]) -> None:
    model = make(tiny, field=2).train()
    embeddings, maps = model.encode(torch.rand(1, 3, 64, 64) * 255)
    assert maps is not None
    coords, labels = torch.full((1, 1, 2), 31.0), torch.ones(1, 1, dtype=torch.long)
    masks = model.decode_nuclei(embeddings, maps, torch.tensor([0]), coords, labels)
    (masks.logits.sum() + masks.iou.sum()).backward()
    assert model.prompt_generator is not None
    assert all(parameter.grad is None for parameter in model.prompt_generator.parameters())
    lacking = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None and not name.startswith("prompt_generator.")
    ]
    assert lacking == [], "several processes need a gradient for every parameter that trains"


def test_at_first_the_refinement_changes_nothing() -> None:
    coarse = torch.randn(2, 1, 8, 8)
    refined = Refinement(4)(coarse, torch.randn(2, 4, 16, 16), torch.rand(2, 1, 16, 16))
    assert torch.equal(
        refined, torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear", align_corners=False)
    )


def test_the_mask_of_all_nuclei_is_the_generators_with_or_without_the_encoder(tiny: list[str]) -> None:
    model = make(tiny, field=2)
    images = torch.rand(2, 3, 64, 64) * 255
    with torch.no_grad():
        answer, maps = model(images), model.generate(images)
    assert maps is not None
    wanted = torch.nn.functional.interpolate(maps[:, :1], (64, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(answer.logits, wanted)
    assert answer.iou is None
    assert answer.image_embeddings is not None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"objective": "nuclei", "generator": SEPARATING},
            "prompts.objective is nuclei: choose mask or instances",
        ),
        ({"objective": "instances"}, "needs a prompt generator that tells nuclei apart: set prompts=nucleus"),
        ({"objective": "instances", "points": 0, "generator": SEPARATING}, "set prompts=nucleus"),
        ({"objective": "instances", "dense": True, "generator": SEPARATING}, "choose either"),
        ({"objective": "instances", "field": 0, "generator": SEPARATING}, "prompts.field is 0"),
    ],
)
def test_what_does_not_suit_it_is_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Prompts(**settings)
