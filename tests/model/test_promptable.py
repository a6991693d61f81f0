"""What takes points: which models do, and that one forward pass serves them all."""

from collections.abc import Callable

import pytest
import torch
from tests.commands import settings_of
from torch import Tensor, nn
from torch.nn import functional

from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Prompts
from sac_lightning.inference.onnx.model import OnnxNetwork, OnnxSAC
from sac_lightning.model.build import build_model
from sac_lightning.model.point_selection import PADDING, PointSelection
from sac_lightning.model.promptable import Promptable, choose_points
from sac_lightning.model.segment_any_cell import SAC


class Session:
    """An ONNX file as OnnxSAC knows it, its networks a model's in torch."""

    channels: tuple[int, ...] = (1,)

    def __init__(self, run: Callable[..., tuple[Tensor | None, ...]], inputs: set[str], outputs: set[str]) -> None:
        self.run, self.inputs, self.outputs = run, inputs, outputs

    def __call__(self, **inputs: Tensor) -> list[Tensor]:
        return [output for output in self.run(**inputs) if output is not None]


def make_model(tiny: list[str], *overrides: str) -> SAC:
    torch.manual_seed(0)
    model = build_model(settings_of(*tiny, *overrides)["model"])
    assert isinstance(model, SAC)
    return model.eval()


def decode_unpadded(model: SAC) -> Callable[..., tuple[Tensor, ...]]:
    """The decoder of an export wants a point of padding, which SAM's prompt encoder adds by itself."""

    def decode(image_embeddings: Tensor, point_coords: Tensor, point_labels: Tensor) -> tuple[Tensor, ...]:
        return model.decode(image_embeddings, point_coords[:, :-1], point_labels[:, :-1])

    return decode


def in_sessions(model: SAC) -> OnnxSAC:
    outputs = {"image_embeddings", *(("generator_logits",) if model.has_generator else ())}
    encoder = Session(model.encode, {"images"}, outputs)
    decoder = Session(decode_unpadded(model), {"image_embeddings", "point_coords", "point_labels"}, set())
    return OnnxSAC(encoder, decoder, model.point_selection, model.refine)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["sam", "sam_ft", "msa", "sac"])
def test_sac_and_what_is_exported_of_it_take_points(name: str, tiny: list[str]) -> None:
    model = make_model(tiny, f"model={name}", "prompts.points=1")
    exported = in_sessions(model)
    assert isinstance(model, Promptable)
    assert isinstance(exported, Promptable)
    assert not isinstance(exported, SAC)
    assert model.has_generator
    assert exported.has_generator
    assert not make_model(tiny, f"model={name}", "prompts.points=0").has_generator


def test_only_sams_own_decoder_has_learnt_no_nuclei(tiny: list[str]) -> None:
    assert not make_model(tiny, "model=sam").has_trained_decoder
    assert make_model(tiny, "model=sac").has_trained_decoder


@pytest.mark.parametrize("network", [nn.Conv2d(3, 1, 1), OnnxNetwork(Session(tuple, set(), set()))])  # type: ignore[arg-type]
def test_a_plain_network_takes_none(network: nn.Module) -> None:
    assert not isinstance(network, Promptable)


def test_a_compared_network_takes_none(tiny: list[str]) -> None:
    model = build_model(settings_of(*tiny, "model=u_net", "model.init_features=4")["model"])
    assert not isinstance(model, Promptable)


@pytest.mark.parametrize("points", [0, 2])
@torch.no_grad()
def test_one_forward_pass_serves_both(points: int, tiny: list[str]) -> None:
    refine = f"prompts.refine={points > 0}"
    model = make_model(tiny, "model=sac", f"prompts.points={points}", "prompts.selection=R", refine)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    given = (torch.tensor([[[5.0, 9.0]], [[40.0, 3.0]]]), torch.tensor([[1], [0]]), torch.tensor([3, 4]))
    expected, found = model(images, *given), in_sessions(model)(images, *given)
    assert expected.point_coords.shape == (2, 2 * points + 1, 2)
    assert torch.equal(found.point_coords, expected.point_coords)
    assert torch.equal(found.point_labels, expected.point_labels)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=0)


def test_chosen_points_are_in_pixels_of_the_input_and_padding_at_the_origin() -> None:
    logits = torch.full((1, 1, 8, 8), -9.0)
    logits[..., 2, 5] = 9.0
    coords, labels = choose_points(PointSelection(2), logits, torch.zeros(1, dtype=torch.long), size=32)
    assert labels.tolist() == [[1, PADDING, 0, PADDING]]
    assert coords[0, 0].tolist() == [21.5, 9.5]  # The middle of the 4 x 4 pixels of cell (5, 2).
    assert coords[0, [1, 3]].tolist() == [[0, 0], [0, 0]]


def noise() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255


@pytest.mark.parametrize("separating", [True, False])
def test_a_refined_mask_is_the_generators_and_what_the_decoder_adds(separating: bool, tiny: list[str]) -> None:
    options = ("model=sac", f"prompts.generator.separating={separating}")
    model = make_model(tiny, *options, "prompts.refine=true").eval()
    assert model.decoder_weight is not None
    with torch.no_grad():
        model.decoder_weight.fill_(0.5)
        refined = model(noise())
        model.refine = False
        alone = model(noise())
    maps = refined.generator_logits
    own = functional.interpolate(maps[:, :1], (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(refined.logits, alone.logits + own)
    assert torch.equal(maps, alone.generator_logits)
    assert torch.equal(refined.point_coords, alone.point_coords)


def test_a_decoder_that_has_learnt_nothing_leaves_the_generators_mask_as_it_is(tiny: list[str]) -> None:
    model = make_model(tiny, "model=sac", "prompts.refine=true").train()
    output = model(noise())
    own = functional.interpolate(output.generator_logits, (64, 64), mode="bilinear", align_corners=False)
    assert torch.equal(output.logits, own)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    (output.logits - own.detach() - 1).square().mean().backward()
    optimizer.step()
    assert not torch.equal(model(noise()).logits, own), "and learns to add to it"


def test_the_mask_s_loss_does_not_reach_the_generator_whose_mask_is_refined(tiny: list[str]) -> None:
    model = make_model(tiny, "model=sac", "prompts.refine=true").train()
    model(noise()).logits.square().mean().backward()
    assert model.prompt_generator is not None
    assert all(p.grad is None for p in model.prompt_generator.parameters())
    assert model.decoder_weight is not None
    assert model.decoder_weight.grad != 0


@torch.no_grad()
def test_sams_own_decoder_which_has_not_learnt_what_is_lacking_adds_nothing(tiny: list[str]) -> None:
    model = make_model(tiny, "model=sam", "prompts.points=1", "prompts.refine=true").eval()
    refined = model(noise()).logits
    model.refine = False
    assert torch.equal(refined, model(noise()).logits)


@pytest.mark.parametrize("name", ["dense", "refine"])
def test_without_a_generator_there_is_nothing_to_refine_or_to_give_as_a_mask(name: str) -> None:
    with pytest.raises(UserError, match=rf"prompts\.{name} needs the prompt generator"):
        Prompts(points=0, **{name: True})
