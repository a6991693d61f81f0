"""The sizes of an image encoder, read off its tensors."""

from collections.abc import Mapping

from torch import Tensor

from sac_lightning.core.configuration import read_choice
from sac_lightning.model.image_encoder import Backbone

NAMES = ("vit_t", "vit_b", "vit_l", "vit_h")
POSITIONS = "image_encoder.pos_embed"
PATCHES = "image_encoder.patch_embed.proj.weight"
UNKNOWN = "a SAM of other sizes"


def count_blocks(state: Mapping[str, Tensor]) -> int:
    """Return the number of transformer blocks in a state dict of SAM."""
    return sum(name.startswith("image_encoder.") and name.endswith("attn.rel_pos_h") for name in state)


def read_sizes(state: Mapping[str, Tensor]) -> Backbone | None:
    """Return the sizes of the image encoder in a state dict of SAM, or None if it has none of SAM's form.

    It bears the name of the backbone of its width and depth, or UNKNOWN if there is none.
    """
    positions, patches = state.get(POSITIONS), state.get(PATCHES)
    relative = [state.get(f"image_encoder.blocks.{index}.attn.rel_pos_h") for index in range(count_blocks(state))]
    there = [tensor for tensor in relative if tensor is not None and tensor.ndim == 2]
    if positions is None or positions.ndim != 4 or patches is None or not there or len(there) < len(relative):
        return None
    dim, grid = positions.shape[-1], positions.shape[1]
    sides = [(len(tensor) + 1) // 2 for tensor in there]
    windows = [side for side in sides if side != grid]
    patch = patches.shape[-1]
    return Backbone(
        name=_name_backbone(dim, len(there)),
        dim=dim,
        depth=len(there),
        heads=dim // there[0].shape[1],
        global_blocks=tuple(index for index, side in enumerate(sides) if side == grid),
        patch=patch,
        window=windows[0] if windows else grid,
        native_size=grid * patch,
    )


def _name_backbone(dim: int, depth: int) -> str:
    for name in NAMES:
        choice = read_choice("backbone", name)
        if (choice["dim"], choice["depth"]) == (dim, depth):
            return name
    return UNKNOWN
