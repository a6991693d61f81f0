"""What QuPath's extension asks, checked before anything is computed; fields that mean nothing here are ignored."""

from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sac_lightning.qupath.refusal import RefusalError

SamType = Literal["vit_h", "vit_l", "vit_b", "vit_t"]
"""What a person chooses as the kind of SAM. Our model answers for all of them."""
SAM_TYPES: tuple[SamType, ...] = get_args(SamType)
OtherType = Literal["sam2_l", "sam2_bp", "sam2_s", "sam2_t", "sam3"]
"""Kinds that the extension asks other things of, such as to follow an object: none of them is here."""
MOST_POINTS = 1000
# Of signs that begin a value: an honest question has four for a point. Each costs the parser memory.
MOST_VALUES = 10 * MOST_POINTS

# Beyond every image, and exact as a floating-point number.
FURTHEST = 2**20
Pixel = Annotated[int, Field(ge=-FURTHEST, le=FURTHEST)]
Position = tuple[Pixel, Pixel]
Box = tuple[Pixel, Pixel, Pixel, Pixel]

Asked = TypeVar("Asked", bound=BaseModel)


class Question(BaseModel):
    """A question about an image: with no more fields, which nuclei there are.

    Attributes:
        type: The kind of SAM that is asked for.
        b64img: A PNG, in base64: what QuPath's viewer shows.
        checkpoint_url: Of the weights that are asked for.
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    type: SamType = "vit_h"
    b64img: str
    checkpoint_url: str | None = None


class Prompt(Question):
    """Which nucleus is at some points, or in a box.

    Attributes:
        bbox: Left, top, right and bottom edge, in pixels of the image from its corner.
        point_coords: xy, column and row of a pixel each.
        point_labels: 1 nucleus, 0 background.
        b64mask: A mask, in base64, of which nothing is made here.
    """

    bbox: Box | None = None
    point_coords: Annotated[list[Position], Field(max_length=MOST_POINTS)] | None = None
    point_labels: Annotated[list[Literal[0, 1]], Field(max_length=MOST_POINTS)] | None = None
    b64mask: None = None

    @model_validator(mode="after")
    def _check_prompts(self) -> Self:
        if len(self.point_coords or []) != len(self.point_labels or []):
            raise ValueError("point_coords and point_labels differ in number: give a label for each point")
        if self.bbox is None and 1 not in (self.point_labels or []):
            raise ValueError("there is neither a box nor a point with the label 1: draw one on a nucleus")
        return self

    def points(self, label: int) -> list[Position]:
        """Return the points of a label, each once."""
        given = zip(self.point_coords or [], self.point_labels or [], strict=True)
        return list(dict.fromkeys(point for point, sign in given if sign == label))


def read_question(kind: type[Asked], body: bytes) -> Asked:
    """Read a question.

    Args:
        kind: Question, or one of more fields.
        body: JSON.

    Raises:
        RefusalError: It is something else.
    """
    if sum(map(body.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise RefusalError(f"the request has too many values: give at most {MOST_POINTS:,} points")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise RefusalError(f"{place}: {reason}" if place else reason) from error
