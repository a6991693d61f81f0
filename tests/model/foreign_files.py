"""Files as other projects write them, of a tiny SAM: the names that their code gives, not their code.

Each writer takes segment-anything's Sam and returns what the project hands to torch.save (or a flat state), and,
where the project changes the network, has changed the Sam in place, so that its own outputs are the reference.
"""

import argparse
import collections
import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

RANK = 2


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def rounded(sam: Sam, dtype: torch.dtype) -> dict[str, Tensor]:
    """The state in another precision, to which the Sam has been rounded too."""
    return {name: tensor.to(dtype) for name, tensor in state_of(sam.to(dtype).float()).items()}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def optimizer_state(network: nn.Module) -> dict[str, Any]:
    """The state of an Adam that has made a step."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


class Dataset:
    """What a torch_em training has in its checkpoint: an object of a class that nobody else has."""

    class Crop:
        """A class inside of a class, as pickle finds by getattr."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self.transform = functools.partial(sorted_names, reverse=True)
        self.crop = Dataset.Crop
        self.counts: dict[str, int] = collections.defaultdict(int, {"a": 1})


def sorted_names(names: Iterable[str], reverse: bool) -> list[str]:
    return sorted(names, reverse=reverse)


def torch_em(sam: Sam, prefix: str = "sam.", decoder: bool = True) -> dict[str, Any]:
    """micro-sam's training as torch_em's trainer saves it, best.pt."""
    content = {
        "iteration": 10, "epoch": 1, "best_epoch": 0, "best_metric": 0.5, "current_metric": 0.5,
        "model_state": collections.OrderedDict(under(prefix, state_of(sam))),
        "optimizer_state": optimizer_state(sam),
        "init": {"train_dataset": Dataset(["a.tif"]), "device": "cuda", "logger_class": "torch_em.trainer.TB"},
        "train_time": 1.5, "timestamp": "30-11-2026 (12:00:00)", "scaler_state": {"scale": 65536.0},
    }  # fmt: skip
    return content | ({"decoder_state": decoder_state()} if decoder else {})


def decoder_state() -> dict[str, Tensor]:
    """Some of the UNETR decoder that micro-sam trains beside SAM."""
    return {f"decoder.blocks.{i}.conv.weight": torch.randn(2, 2) for i in range(3)}


def micro_sam(sam: Sam) -> dict[str, Any]:
    """What micro-sam exports with its decoder; patho-sam's files have the same form."""
    return {"model_state": collections.OrderedDict(state_of(sam)), "decoder_state": decoder_state()}


def medsam(sam: Sam, wrapped: bool = False) -> dict[str, Any]:
    """A file of MedSAM's training on one GPU, or on several."""
    state = under("module." if wrapped else "", state_of(sam))
    return {"model": state, "optimizer": optimizer_state(sam), "epoch": 3}


def lightning(sam: Sam) -> dict[str, Any]:
    """A checkpoint of somebody's LightningModule with a SAM called net, compiled."""
    state = under("net._orig_mod.", state_of(sam)) | {"loss.weight": torch.ones(2)}
    settings = argparse.Namespace(lr=1e-4, arch="vit_b")
    return {
        "state_dict": state,
        "hyper_parameters": {"args": settings},
        "optimizer_states": [optimizer_state(sam)],
    }


HUGGING_FACE = (
    (r"iou_prediction_head\.layers\.0", "iou_prediction_head.proj_in"),
    (r"iou_prediction_head\.layers\.1", "iou_prediction_head.layers.0"),
    (r"iou_prediction_head\.layers\.2", "iou_prediction_head.proj_out"),
    (r"(output_hypernetworks_mlps\.\d+)\.layers\.0", r"\1.proj_in"),
    (r"(output_hypernetworks_mlps\.\d+)\.layers\.1", r"\1.layers.0"),
    (r"(output_hypernetworks_mlps\.\d+)\.layers\.2", r"\1.proj_out"),
    (r"mask_decoder\.output_upscaling\.0", "mask_decoder.upscale_conv1"),
    (r"mask_decoder\.output_upscaling\.1", "mask_decoder.upscale_layer_norm"),
    (r"mask_decoder\.output_upscaling\.3", "mask_decoder.upscale_conv2"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"point_embeddings", "point_embed"),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"image_encoder", "vision_encoder"),
    (r"neck\.0", "neck.conv1"),
    (r"neck\.1", "neck.layer_norm1"),
    (r"neck\.2", "neck.conv2"),
    (r"neck\.3", "neck.layer_norm2"),
    (r"patch_embed\.proj", "patch_embed.projection"),
    (r"\.norm", ".layer_norm"),
    (r"blocks", "layers"),
)
SHARED = "prompt_encoder.shared_embedding.positional_embedding"


def hugging_face(sam: Sam, tied: bool = True) -> dict[str, Tensor]:
    """A SamModel's state: pytorch_model.bin with tied tensors twice, model.safetensors without the second."""
    state = {}
    for name, tensor in state_of(sam).items():
        for official, theirs in HUGGING_FACE:
            renamed, count = re.subn(official, theirs, name)
            # An MLP's layers.1 becomes layers.0: only the first of these rules is for it.
            done = count and ("proj_in" in renamed or "layers.0" in renamed) and "mask_decoder" in name
            name = renamed
            if done and ("mlps" in name or "iou_prediction_head" in name):
                break
        state[name] = tensor
    state["shared_image_embedding.positional_embedding"] = state[SHARED].clone()
    if not tied:
        del state[SHARED]
    return state


class Updated(nn.Module):
    """A layer beside whose output's slices low-rank updates are added; q, k and v if there are three."""

    def __init__(self, layer: nn.Linear, called: str, updates: dict[str, tuple[str, str]]) -> None:
        super().__init__()
        self.called, self.updates = called, updates
        setattr(self, called, layer)
        width = layer.out_features // (3 if set(updates) <= set("qkv") else 1)
        self.in_features = layer.in_features
        for a, b in updates.values():
            setattr(self, a, nn.Linear(layer.in_features, RANK, bias=False))
            setattr(self, b, nn.Linear(RANK, width, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out = getattr(self, self.called)(x)
        slices = list(out.chunk(3, -1)) if set(self.updates) <= set("qkv") else [out]
        for index, (a, b) in ((max(0, "qkv".find(s)), names) for s, names in self.updates.items()):
            slices[index] = slices[index] + getattr(self, b)(getattr(self, a)(x))
        return torch.cat(slices, -1)


def _wrap_decoder(sam: Sam) -> None:
    transformer = sam.mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.self_attn, layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        for name in ("q_proj", "v_proj"):
            setattr(attention, name, Updated(getattr(attention, name), "proj", {"all": ("w_a", "w_b")}))


def _wrap_encoder(sam: Sam, called: str, names: str, slices: str) -> None:
    for block in sam.image_encoder.blocks:
        updates = {s: (names.format("a") + s, names.format("b") + s) for s in slices}
        block.attn.qkv = Updated(block.attn.qkv, called, updates)


def samed_network(sam: Sam, decoder: bool = False) -> dict[str, Tensor]:
    """finetune-SAM's LoRA, as SAMed's: the state of the whole network."""
    _wrap_encoder(sam, "qkv", "linear_{}_", "qv")
    if decoder:
        _wrap_decoder(sam)
    return state_of(sam)


def samed(sam: Sam, decoder: bool = False) -> dict[str, Tensor]:
    """SAMed's own file: LoRA by number, the prompt encoder, and of the decoder what is not in LoRA's shadow."""
    state = samed_network(sam, decoder)
    saved = {name: tensor for name, tensor in state.items() if not name.startswith("image_encoder.")}
    for index, block in enumerate(sam.image_encoder.blocks):
        for odd, which in enumerate("qv"):
            for factor in "ab":
                weight = getattr(block.attn.qkv, f"linear_{factor}_{which}").weight
                saved[f"w_{factor}_{2 * index + odd:03d}"] = weight.detach().clone()
    if not decoder:
        return saved
    saved = {name: tensor for name, tensor in saved.items() if "mask_decoder.transformer" not in name}
    transformer = sam.mask_decoder.transformer
    kinds = {"sa": "self_attn", "cti": "cross_attn_token_to_image", "cit": "cross_attn_image_to_token"}
    for kind, attention in kinds.items():
        for index, layer in enumerate(transformer.layers):
            for odd, which in enumerate("qv"):
                for factor in "ab":
                    update = getattr(getattr(getattr(layer, attention), f"{which}_proj"), f"w_{factor}")
                    saved[f"{kind}_{factor}_{2 * index + odd:03d}"] = update.weight.detach().clone()
    for which in "qv":
        for factor in "ab":
            update = getattr(getattr(transformer.final_attn_token_to_image, f"{which}_proj"), f"w_{factor}")
            saved[f"fati_{which}{factor}"] = update.weight.detach().clone()
    return saved


class UpdatedMLP(nn.Module):
    """micro-sam's MLP with updates of both of its layers."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.mlp_layer = mlp
        for number, layer in (("1", mlp.lin1), ("2", mlp.lin2)):
            setattr(self, f"w_a_linear_{number}", nn.Linear(layer.in_features, RANK, bias=False))
            setattr(self, f"w_b_linear_{number}", nn.Linear(RANK, layer.out_features, bias=False))

    def forward(self, x: Any) -> Any:
        hidden: Any = self.mlp_layer.lin1(x) + self.w_b_linear_1(self.w_a_linear_1(x))
        hidden = self.mlp_layer.act(hidden)
        return self.mlp_layer.lin2(hidden) + self.w_b_linear_2(self.w_a_linear_2(hidden))


def micro_sam_lora(sam: Sam, slices: str = "qv", mlp: bool = False) -> dict[str, Any]:
    """The best.pt of a training with micro-sam's PEFT_Sam."""
    _wrap_encoder(sam, "qkv_proj", "w_{}_linear_", slices)
    if mlp:
        for block in sam.image_encoder.blocks:
            block.mlp = UpdatedMLP(block.mlp)
    return {"model_state": under("sam.", state_of(sam)), "epoch": 1}


def add_adapters(state: dict[str, Tensor], names: Iterable[str], dim: int, where: str) -> None:
    for index in range(2):
        for name in names:
            adapter = f"{where.format(index)}.{name}"
            state |= {
                f"{adapter}.D_fc1.weight": torch.randn(dim // 4, dim) / 4,
                f"{adapter}.D_fc1.bias": torch.randn(dim // 4) / 4,
                f"{adapter}.D_fc2.weight": torch.randn(dim, dim // 4) / 4,
                f"{adapter}.D_fc2.bias": torch.randn(dim) / 4,
            }


def medical_sam_adapter(sam: Sam, positions: str = "rel_") -> dict[str, Any]:
    """Medical-SAM-Adapter's best_dice_checkpoint.pth; its later code calls relative positions rel_h and rel_w."""
    state = {name.replace("attn.rel_pos_", f"attn.{positions}"): t for name, t in state_of(sam).items()}
    adapters = ("MLP_Adapter", "Space_Adapter", "Depth_Adapter")
    add_adapters(state, adapters, state["image_encoder.pos_embed"].shape[-1], "image_encoder.blocks.{}")
    return {
        "epoch": 5, "model": "sam", "state_dict": state, "optimizer": optimizer_state(sam), "best_tol": 0.8,
        "path_helper": {"ckpt_path": "logs"},
    }  # fmt: skip


def finetune_sam_adapters(sam: Sam) -> dict[str, Tensor]:
    """finetune-SAM's checkpoint_best.pth with adapters in the mask decoder."""
    state = state_of(sam)
    add_adapters(state, ("MLP_Adapter", "Adapter"), 256, "mask_decoder.transformer.layers.{}")
    return state


def sam_hq(sam: Sam) -> dict[str, Tensor]:
    """SAM-HQ's file: SAM's with a token and features of the decoder's own."""
    return state_of(sam) | {
        "mask_decoder.hf_token.weight": torch.randn(1, 256),
        "mask_decoder.hf_mlp.layers.0.weight": torch.randn(256, 256),
        "mask_decoder.compress_vit_feat.0.weight": torch.randn(32, 256, 2, 2),
        "mask_decoder.embedding_encoder.0.weight": torch.randn(256, 64, 2, 2),
        "mask_decoder.embedding_maskfeature.0.weight": torch.randn(64, 32, 3, 3),
    }


def peft(sam: Sam) -> dict[str, Tensor]:
    """A network with peft's LoRA on qkv; its scale stands in another file."""
    state = {n.replace("attn.qkv.", "attn.qkv.base_layer."): t for n, t in state_of(sam).items()}
    for i in range(2):
        state[f"image_encoder.blocks.{i}.attn.qkv.lora_A.default.weight"] = torch.randn(RANK, 32)
        state[f"image_encoder.blocks.{i}.attn.qkv.lora_B.default.weight"] = torch.randn(96, RANK)
    return state


def adapt_former(sam: Sam) -> dict[str, Tensor]:
    """A network of micro-sam's PEFT_Sam with AdaptFormer: nothing that could be merged."""
    state = {re.sub(r"(blocks\.\d+)\.mlp\.", r"\1.mlp.mlp_proj.", n): t for n, t in state_of(sam).items()}
    for i in range(2):
        state[f"sam.image_encoder.blocks.{i}.mlp.down_proj.weight"] = torch.randn(64, 32)
        state[f"sam.image_encoder.blocks.{i}.mlp.alpha"] = torch.ones(1)
    return state


def mobile_sam(sam: Sam) -> dict[str, Tensor]:
    """MobileSAM: SAM's decoders below a TinyViT."""
    state = {name: tensor for name, tensor in state_of(sam).items() if not name.startswith("image_encoder.")}
    return state | {
        "image_encoder.patch_embed.seq.0.c.weight": torch.randn(4, 3, 3, 3),
        "image_encoder.layers.1.blocks.0.attn.qkv.weight": torch.randn(12, 4),
        "image_encoder.neck.0.weight": torch.randn(256, 4, 1, 1),
    }


def sam2(sam: Sam) -> dict[str, Any]:
    """SAM 2's own file."""
    names = (
        "image_encoder.trunk.pos_embed",
        "image_encoder.neck.convs.0.conv.weight",
        "memory_attention.norm.weight",
    )
    return {"model": {name: torch.randn(2, 2) for name in names} | under("sam_", state_of(sam.mask_decoder))}


def classes(sam: Sam) -> dict[str, Tensor]:
    """SAMed's network with a mask for each of eight classes and the background."""
    return state_of(sam) | {"mask_decoder.mask_tokens.weight": torch.randn(9, 256)}


Writer = Callable[[Sam], Any]
