"""Counted operations and kept bytes, against arithmetic by hand and against a pass with numbers."""

import torch
from torch import Tensor

from sac_lightning.benchmarking import cost
from sac_lightning.benchmarking.cost import count_encoder_operations, count_training_cost
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Generator, Prompts, sac
from sac_lightning.model.segment_any_cell import SAC

TINY = Backbone(
    "tiny", dim=32, depth=2, heads=2, global_blocks=(1,), patch=8, window=4, native_size=64, weights="x"
)


def tiny() -> SAC:
    return sac(TINY, Prompts(map_size=32, generator=Generator(init_features=4, depth=2)), 64)


def test_operations_of_the_encoder_are_those_of_its_products() -> None:
    tokens, dim, head = 8 * 8, 32, 16
    linear = 2 * tokens * 12 * dim**2 * 2  # qkv, output and MLP, in two blocks

    def attention_operations(windows: int, side: int) -> int:
        keys = side**2
        scores_and_values = 2 * 2 * windows * 2 * keys**2 * head
        biases = 2 * windows * 2 * keys * 2 * side * head  # a query with the positions of each row and column
        spread = 2 * windows * 2 * keys * 2 * side * keys  # narrow windows: to the keys by a product
        return scores_and_values + biases + spread

    patches = 2 * tokens * dim * 3 * 8**2
    neck = 2 * tokens * 256 * (dim + 9 * 256)
    expected = linear + attention_operations(4, 4) + attention_operations(1, 8) + patches + neck
    assert count_encoder_operations(TINY, 64) == expected


def test_kept_bytes_are_those_that_a_real_pass_keeps() -> None:
    counted = count_training_cost(tiny, 64, 2, bfloat16=False).kept
    model = tiny().train()
    kept: dict[int, int] = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            alive.append(tensor)
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = cost._compute_loss(model, 64, 2)
    assert loss.requires_grad
    assert abs(counted - sum(kept.values())) <= 0.01 * counted


def test_a_step_costs_more_than_twice_a_forward_pass_and_grows_with_the_batch() -> None:
    one, three = (count_training_cost(tiny, 64, batch, bfloat16=False) for batch in (1, 3))
    assert one.operations > 2 * count_encoder_operations(TINY, 64)
    assert three.operations == 3 * one.operations
    assert 2.5 * one.kept < three.kept <= 3 * one.kept
    model = tiny()
    assert one.parameters == 4 * sum(p.numel() for p in model.parameters())
    assert one.trained == 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_bfloat16_and_checkpointing_keep_less() -> None:
    def make_checkpointed() -> SAC:
        model = tiny()
        model.image_encoder.checkpointing = True
        return model

    # Under autocast frozen weights are kept in bfloat16 too, whatever the batch: what an image adds is compared.
    one, two = ([count_training_cost(tiny, 64, batch, half).kept for half in (False, True)] for batch in (1, 2))
    assert two[1] - one[1] < two[0] - one[0]
    full = count_training_cost(tiny, 64, 1, bfloat16=False)
    saved = count_training_cost(make_checkpointed, 64, 1, bfloat16=False)
    assert saved.kept < full.kept
    assert saved.operations > full.operations
