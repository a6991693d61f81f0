"""The settings of a method's points. Without torch, so that a wrong value is reported at once."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sac_lightning.core.errors import UserError

Selection = Literal["O", "R"]
Placement = Literal["centre", "random"]
Norm = Literal["batch", "group"]
Objective = Literal["mask", "instances"]


@dataclass(frozen=True)
class Generator:
    """Settings of the prompt generator.

    Attributes:
        init_features, depth, norm, widths, stem, fine: See UNet.
        separating: Three maps more, of which touching nuclei are told apart: one point per nucleus, and the
            watershed's markers, come from them. False in every table of the paper.
        lr_factor: Its learning rate divided by that of the other parts. The paper has one rate for all, 1. The
            generator starts from scratch beside pre-trained parts, so short trainings need a higher factor.
        alone: Share of the training, at its beginning, in which the generator learns by itself, in half the time.
            0 in every table of the paper.
    """

    init_features: int = 32
    depth: int = 4
    norm: Norm = "batch"
    widths: Sequence[int] | None = None
    stem: int = 1
    fine: int = 0
    separating: bool = False
    lr_factor: float = 1.0
    alone: float = 0.0

    def __post_init__(self) -> None:
        """Raise UserError if a value is out of its range."""
        if not self.lr_factor > 0:
            raise UserError(f"prompts.generator.lr_factor is {self.lr_factor}: choose a number above 0, such as 1")
        if not 0 <= self.alone < 1:
            raise UserError(f"prompts.generator.alone is {self.alone}: choose a share of the training in [0, 1)")
        if self.norm not in get_args(Norm):
            raise UserError(f"prompts.generator.norm is {self.norm}: choose batch or group")
        if self.stem not in (1, 2):
            raise UserError(f"prompts.generator.stem is {self.stem}: choose 1 (none) or 2 (half the resolution)")
        if self.fine and self.stem == 1:
            raise UserError("prompts.generator.fine is beside a stem: set prompts.generator.stem to 2, or it to 0")
        if self.widths is not None and len(self.widths) < 2:
            raise UserError("prompts.generator.widths has fewer than two levels: give the channels of each")

    @property
    def factor(self) -> int:
        """Of which its input's side is a multiple."""
        levels = self.depth if self.widths is None else len(self.widths) - 1
        return self.stem << levels


@dataclass(frozen=True)
class Prompts:
    """Settings of the points that a method gets.

    Attributes:
        points: Number n of automatic points: n positive and n negative ones. 0: no prompt generator.
        selection, threshold, fill_with_random, keep_raw_centroid, min_area, margin: See PointSelection. The last
            two are 0 in every table of the paper.
        experts, expert_negatives, expert_placement: See ExpertPoints; per image.
        dense: Give the generator's logits to SAM's prompt encoder as its mask prompt, beside the points. False in
            every table of the paper.
        refine: Add the decoder's logits to the generator's M, which is four times as fine or more. False in every
            table of the paper.
        map_size: Side in pixels at which the generator sees the image. 256, the grid of SAM's low-resolution
            masks, is our choice: the paper is silent.
        objective: What the decoder learns. ``mask``, the paper's: it answers all points of an image with one mask
            of everything. ``instances``: it answers one point with one nucleus; the mask of all of them is the
            generator's, which has to be one that separates.
        field: With ``instances``, the side of the part of an image embedding around a point that is decoded for
            it, in tokens: what is larger than that is no nucleus. At most the whole embedding is.
        generator: Settings of the prompt generator.
    """

    points: int = 1
    selection: Selection = "O"
    threshold: float = 0.5
    fill_with_random: bool = False
    keep_raw_centroid: bool = False
    min_area: int = 0
    margin: int = 0
    experts: int = 0
    expert_negatives: int = 0
    expert_placement: Placement = "centre"
    dense: bool = False
    refine: bool = False
    map_size: int = 256
    objective: Objective = "mask"
    field: int = 12
    generator: Generator = dataclasses.field(default_factory=Generator)

    def __post_init__(self) -> None:
        """Raise UserError if a value is out of its range or does not suit the prompt generator."""
        refuse_selection(self.points, self.selection, self.threshold, self.min_area, self.margin)
        refuse_expert_points(self.experts, self.expert_negatives, self.expert_placement)
        for name in ("dense", "refine"):
            if getattr(self, name) and not self.points:
                raise UserError(f"prompts.{name} needs the prompt generator: set prompts.points to at least 1")
        self._refuse_objective()
        factor = self.generator.factor
        if self.map_size % factor:
            raise UserError(
                f"prompts.map_size is {self.map_size}: choose a multiple of {factor}, which the generator divides "
                "it by"
            )

    def _refuse_objective(self) -> None:
        """Raise UserError if there is no such objective, or the rest does not suit it."""
        if self.objective not in get_args(Objective):
            raise UserError(f"prompts.objective is {self.objective}: choose mask or instances")
        if not isinstance(self.field, int) or self.field < 1:
            raise UserError(f"prompts.field is {self.field}: choose a whole number of tokens, such as 12")
        if self.objective == "instances" and not (self.points and self.generator.separating):
            raise UserError(
                "prompts.objective=instances needs a prompt generator that tells nuclei apart: set "
                "prompts=nucleus, or prompts.points=1 and prompts.generator.separating=true"
            )
        if self.objective == "instances" and self.dense:
            raise UserError(
                "prompts.dense shows the decoder all nuclei at once, and prompts.objective=instances asks for "
                "one: choose either"
            )


def refuse_selection(points: int, selection: str, threshold: float, min_area: int = 0, margin: int = 0) -> None:
    """Raise UserError if automatic points cannot be chosen like this."""
    if not isinstance(points, int) or points < 0:
        raise UserError(f"prompts.points is {points}: choose a whole number, 0 or more")
    if selection not in get_args(Selection):
        raise UserError(f"prompts.selection is {selection}: choose O (centroids) or R (random)")
    if not 0 <= threshold < 1:
        raise UserError(f"prompts.threshold is {threshold}: choose a probability in [0, 1)")
    for name, pixels in (("min_area", min_area), ("margin", margin)):
        if not isinstance(pixels, int) or pixels < 0:
            raise UserError(f"prompts.{name} is {pixels}: choose a whole number of pixels, 0 or more")


def refuse_expert_points(positives: int, negatives: int, placement: str) -> None:
    """Raise UserError if expert points cannot be drawn like this."""
    for name, number in (("experts", positives), ("expert_negatives", negatives)):
        if not isinstance(number, int) or number < 0:
            raise UserError(f"prompts.{name} is {number}: choose a whole number, 0 or more")
    if placement not in get_args(Placement):
        raise UserError(f"prompts.expert_placement is {placement}: choose centre or random")
