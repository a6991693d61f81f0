"""Every method with every kind of prompt: it runs, trains what it should, and leaves the rest unchanged."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.model.adapter import Adapter
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.lora import lora_layers
from sac_lightning.model.methods import Generator, Prompts, msa, sac, sam, sam_ft
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.losses import FocalDice, segmentation_losses

SIZE = 64
BATCH = 2
# The weights only need a name: methods read no file.
TINY = Backbone(
    "tiny", dim=16, depth=2, heads=2, global_blocks=(1,), window=2, native_size=SIZE, weights="no_such_file.pth"
)
BARE = Backbone("tiny", dim=16, depth=2, heads=2, global_blocks=(1,), window=2, native_size=SIZE)
VIT_H = Backbone("vit_h", dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31), weights="no_such_file.pth")
Method = Callable[[Backbone, Prompts, int], SAC]
METHODS: dict[str, Method] = {"sam": sam, "sam_ft": sam_ft, "msa": msa, "sac": partial(sac, rank=2)}
METHODS["sac on k and o"] = partial(sac, rank=2, projections=("k", "o"))
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def prompts(points: int) -> Prompts:
    return Prompts(points=points, map_size=32, generator=Generator(init_features=2, depth=2))


def built(method: Method, points: int, backbone: Backbone = TINY) -> SAC:
    torch.manual_seed(0)
    return method(backbone, prompts(points), SIZE)


def batch(experts: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, masks, expert points and their labels; the last of several points is padding."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(BATCH, 3, SIZE, SIZE, generator=generator) * 255
    masks = (torch.rand(BATCH, 1, SIZE, SIZE, generator=generator) > 0.5).float()
    labels = torch.ones(BATCH, experts, dtype=torch.long)
    coords = torch.rand(BATCH, experts, 2, generator=generator) * SIZE
    if experts > 1:
        labels[:, -1], coords[:, -1] = -1, 0
    return images, masks, coords, labels


def loss_of(model: SAC, experts: int = 1) -> Tensor:
    images, masks, coords, labels = batch(experts)
    output = model(images, coords, labels, torch.arange(BATCH))
    return torch.stack(list(segmentation_losses(output, masks, FocalDice()).values())).sum()


def must_train(name: str, method: str) -> bool:
    """What a method trains, by the name of the parameter."""
    if name.startswith("prompt_generator."):
        return True
    if name.startswith("prompt_encoder."):
        return False
    if name.startswith("mask_decoder."):
        return method != "sam"
    part = {
        "sam": (),
        "sam_ft": ("image_encoder.neck.",),
        "msa": (".attention_adapter.", ".mlp_adapter."),
        "sac": (".qkv.q_a", ".qkv.q_b", ".qkv.v_a", ".qkv.v_b"),
        "sac on k and o": (".qkv.k_a", ".qkv.k_b", ".attn.proj.o_a", ".attn.proj.o_b"),
    }[method]
    return any(piece in name for piece in part)


@every_method
@pytest.mark.parametrize("experts", [0, 1, 3])
@pytest.mark.parametrize("points", [0, 1, 3])
def test_gives_finite_logits_for_every_kind_of_prompt(method: Method, points: int, experts: int) -> None:
    model = built(method, points).eval()
    images, _, coords, labels = batch(experts)
    with torch.no_grad():
        output = model(images, coords, labels)
    assert output.logits.shape == (BATCH, 1, SIZE, SIZE)
    assert output.logits.isfinite().all()
    assert output.point_coords.shape == (BATCH, 2 * points + experts, 2)
    assert output.point_labels.shape == (BATCH, 2 * points + experts)
    assert output.point_labels.dtype == torch.int64
    assert (output.generator_logits is None) == (points == 0)


@pytest.mark.parametrize("points", [0, 1])
@pytest.mark.parametrize("method", METHODS)
def test_trains_what_it_should(method: str, points: int) -> None:
    model = built(METHODS[method], points)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad is must_train(name, method), f"{name}: {parameter.requires_grad}"


@pytest.mark.parametrize("method", ["sam_ft", "msa", "sac", "sac on k and o"])
def test_an_encoder_without_weights_trains_in_full(method: str) -> None:
    model = built(METHODS[method], 1, BARE)
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen
    assert all(name.startswith("prompt_encoder.") for name in frozen), f"frozen: {frozen}"


@every_method
def test_frozen_modules_are_in_eval_mode_while_training(method: Method) -> None:
    model = built(method, 1).train()
    for name, module in model.named_modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            assert not module.training, f"{name} is frozen but in training mode"
        if parameters and all(p.requires_grad for p in parameters):
            assert module.training, f"{name} trains but is in eval mode"


@pytest.mark.parametrize("points", [0, 1])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_frozen_is_bit_identical_after_two_steps(method: str, points: int) -> None:
    model = built(METHODS[method], points).train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:  # sam without automatic points has nothing to train
        assert (method, points) == ("sam", 0)
        return
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.Adam(trainable, lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    touched = [name for name in changed if not must_train(name, method)]
    assert not touched, f"frozen, but changed by training: {touched}"
    # Masks 2 to 4 of the decoder are for multiple answers: their gradient is zero.
    spare = tuple(f"mask_decoder.output_hypernetworks_mlps.{i}." for i in (1, 2, 3))
    wanted = {name for name in before if must_train(name, method) and not name.startswith(spare)}
    assert wanted <= changed, f"trains, but is as it was after two steps: {sorted(wanted - changed)}"


@pytest.mark.parametrize("backbone", [TINY, BARE], ids=["weights", "no weights"])
@pytest.mark.parametrize(("points", "experts"), [(0, 0), (1, 0), (0, 1), (3, 3)])
@every_method
def test_every_trainable_parameter_gets_a_gradient(
    method: Method, points: int, experts: int, backbone: Backbone
) -> None:
    model = built(method, points, backbone).train()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        assert method is sam
        return
    loss_of(model, experts).backward()
    without = [name for name, parameter in trainable.items() if parameter.grad is None]
    assert not without, f"these parameters get no gradient, which stops DDP: {without}"
    broken = [name for name, p in trainable.items() if p.grad is not None and not p.grad.isfinite().all()]
    assert not broken, f"the gradient of these is not finite: {broken}"
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad and p.grad is not None]
    assert not frozen, f"these frozen parameters got a gradient: {frozen}"


@every_method
def test_batch_norm_of_the_generator_trains(method: Method) -> None:
    model = built(method, 1).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 10, "two per level of a UNet of depth 2"
    loss_of(model)
    assert all(norm.num_batches_tracked == 1 for norm in norms), "a BatchNorm does not track its batches"
    model.eval()
    loss_of(model)
    assert all(norm.num_batches_tracked == 1 for norm in norms), "a BatchNorm tracks batches in eval mode"


@pytest.mark.parametrize("method", ["sam", "sac", "sac on k and o"])
def test_starts_as_sam(method: str) -> None:
    model = built(METHODS[method], 1).eval()
    reference = built(sam, 1).eval()
    state = {name.replace(".base.", "."): tensor for name, tensor in model.state_dict().items()}
    reference.load_state_dict({name: state[name] for name in reference.state_dict()})
    images, _, coords, labels = batch(1)
    with torch.no_grad():
        assert torch.equal(model(images, coords, labels).logits, reference(images, coords, labels).logits)


def test_prompts_reach_the_point_selection() -> None:
    wanted = Prompts(3, "R", 0.7, fill_with_random=True, keep_raw_centroid=True, map_size=32)
    selection = sam(TINY, wanted, SIZE).point_selection
    assert (selection.points, selection.selection, selection.threshold) == (3, "R", 0.7)
    assert selection.fill_with_random
    assert selection.keep_raw_centroid


def test_dense_reaches_the_model_and_is_off_unless_asked_for() -> None:
    assert sac(TINY, Prompts(map_size=32, dense=True), SIZE).dense is True
    assert sac(TINY, Prompts(map_size=32), SIZE).dense is False


def test_dense_without_a_generator_is_refused() -> None:
    with pytest.raises(UserError, match=r"prompts\.dense needs the prompt generator: set prompts\.points"):
        Prompts(points=0, dense=True)


@every_method
def test_dense_prompts_train_the_same_parameters(method: Method) -> None:
    model = built(method, 1)
    wanted = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.dense = True
    loss_of(model.train()).backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == wanted


def test_options_reach_lora() -> None:
    model = sac(TINY, prompts(0), SIZE, rank=4, alpha=2.0, dropout=0.25, blocks=[1])
    (layer,) = lora_layers(model.image_encoder.blocks[1])
    assert layer.q_a.shape == (4, 16)
    assert layer.scale == 0.5
    assert layer.dropout.p == 0.25
    assert not list(lora_layers(model.image_encoder.blocks[0]))


@pytest.mark.parametrize("choice", [[], ["q", "x"]])
def test_projections_that_are_none_of_attention_s_are_refused(choice: list[str]) -> None:
    with pytest.raises(UserError, match=r"model\.projections names"):
        sac(TINY, prompts(0), SIZE, projections=choice)


def trainable_count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_vit_h_has_the_counts_of_table_6() -> None:
    """LoRA 52,428,800, adapters 52,531,200, neck 918,528, decoder 4,058,340, UNet 7,763,041."""
    with torch.device("meta"):
        unet, decoder = 7_763_041, 4_058_340
        assert trainable_count(sam(VIT_H, Prompts(points=1), 1024)) == unet
        assert trainable_count(sam_ft(VIT_H, Prompts(points=1), 1024)) == unet + decoder + 918_528
        assert trainable_count(msa(VIT_H, Prompts(points=1), 1024)) == unet + decoder + 52_531_200
        model = sac(VIT_H, Prompts(points=1), 1024)
        assert trainable_count(model) == unet + decoder + 52_428_800
        every = sac(VIT_H, Prompts(points=1), 1024, projections=("q", "k", "v", "o"))
        assert trainable_count(every) == unet + decoder + 2 * 52_428_800
    assert sum(p.numel() for p in model.prompt_encoder.parameters()) == 6_220
    assert not any(isinstance(module, Adapter) for module in model.modules())


@pytest.mark.parametrize(("blocks", "adapted"), [("all", [0, 1]), (None, [0, 1]), ("global", [1]), ([0], [0])])
def test_blocks_of_lora_go_by_index_or_by_name(blocks: list[int] | str | None, adapted: list[int]) -> None:
    assert list(TINY.global_blocks) == [1]
    model = sac(TINY, prompts(0), SIZE, rank=4, blocks=blocks)
    assert [i for i, block in enumerate(model.image_encoder.blocks) if list(lora_layers(block))] == adapted


def test_an_unknown_name_of_blocks_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.blocks is some: choose all, global, or a list"):
        sac(TINY, prompts(0), SIZE, rank=4, blocks="some")
