"""Examine the truths of a data set when it is opened: what one file alone does not show.

What is doubtful is refused. What is merely odd is listed; the doctor shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.data.mask_file import MOST_CLASSES, MOST_REGIONS_PER_LABEL
from sac_lightning.data.sample import FileSample, Sample
from sac_lightning.data.truth_facts import TruthFacts, measure_truth
from sac_lightning.images.pillow_file import read_orientation

# A number or region that covers more than these shares of an image and of its border is likely its background. One
# does in 99 % of DSB2018's masks and all of MoNuSeg's, inverted; as they are, in none, and in 1 % of GlaS's.
BACKGROUND_OF_IMAGE, BACKGROUND_OF_BORDER = 0.5, 0.6
# Nuclei that cover more of an image than this are odd.
CROWDED = 0.9
# The least share of label maps with one number for several regions that makes masks of them all.
FEWEST_MASKS = 0.1
# The least share of masks that look inverted among others that makes a mixture of them; in GlaS, 1 % look so.
FEWEST_INVERTED = 0.05
# What nucleus is in masks of two values: one, white of 8 bits or almost, white of 16 bits.
USUAL_VALUES = {1.0, 254.0, 255.0, 65535.0}


@dataclass(frozen=True)
class Oddity:
    """Something odd in a data set, which may be as it should be.

    Attributes:
        noun: What is odd, in the singular, such as ``mask``.
        what: What is odd about it, such as ``without an image``.
        samples: The samples with it, to be counted and shown.
    """

    noun: str
    what: str
    samples: Sequence[Sample]

    @property
    def title(self) -> str:
        """What is odd, such as ``masks without an image``."""
        return f"{self.noun}s {self.what}"

    def __str__(self) -> str:
        """Return how many there are and what is odd, such as ``3 masks without an image``."""
        return f"1 {self.noun} {self.what}" if len(self.samples) == 1 else f"{len(self.samples)} {self.title}"


def examine_truths(samples: Sequence[Sample]) -> list[Oddity]:
    """Measure the truths of a data set that are files.

    Raises:
        UserError: A truth cannot be read, or what it means is doubtful.
    """
    files = [sample for sample in samples if isinstance(sample, FileSample)]
    progress = tqdm(files, desc="examining truths", leave=False, disable=None)
    measured = [(sample, measure_truth(sample.instances, sample.mask)) for sample in progress]
    masks = [(sample, facts) for sample, facts in measured if sample.mask is not None]
    label_maps = [(sample, facts) for sample, facts in measured if sample.mask is None]
    if masks:
        _refuse_masks(masks)
        _refuse_mixture(masks)
        _refuse_classes(masks)
    if label_maps:
        _refuse_label_maps(label_maps)
    if measured and not any(facts.labels for _, facts in measured):
        raise UserError(
            f"no truth in {files[0].instances.parent} holds a nucleus: save the truths anew, with 0 for the "
            "background alone"
        )
    for sample in files:
        _refuse_turned(sample)
    found = (
        Oddity("truth", "without a nucleus", [sample for sample, facts in measured if not facts.labels]),
        Oddity(
            "truth",
            f"with nuclei on more than {CROWDED:.0%} of the image",
            [sample for sample, facts in measured if facts.foreground > CROWDED],
        ),
        Oddity(
            "mask",
            "as if inverted",
            [sample for sample, facts in masks if _is_inverted(sample, facts) and facts.foreground <= CROWDED],
        ),
        Oddity(
            "label map",
            "with a number for several separate regions",
            [sample for sample, facts in label_maps if _in_pieces(facts)],
        ),
    )
    return [oddity for oddity in found if oddity.samples]


def _refuse_masks(measured: Sequence[tuple[FileSample, TruthFacts]]) -> None:
    folder, meaning = measured[0][0].instances.parent, measured[0][0].mask
    assert meaning is not None
    facts = [facts for _, facts in measured]
    there = sorted({value for one in facts for value in one.values})
    for value in meaning.values or ():
        if value not in there and all(one.values for one in facts):
            named = ", ".join(f"{one:g}" for one in there)
            raise UserError(
                f"data.mask_values names {value:g}, which no mask in {folder} holds: choose of {named}"
            )
    if meaning.threshold is not None and not meaning.inverted and not any(one.labels for one in facts):
        raise UserError(
            f"no mask in {folder} holds a value of data.threshold={meaning.threshold:g}: say a lower one"
        )
    suspects = sum(_is_background(one) for one in facts)
    nonempty = sum(one.labels > 0 for one in facts)
    if meaning.inverted is None and meaning.values is None and suspects > nonempty / 2:
        raise UserError(
            f"in {suspects} of {len(facts)} masks in {folder}, one nucleus would cover most of the image and "
            "of its border, as when background is white: say data.inverted=true, or false if the masks are right"
        )


def _refuse_mixture(measured: Sequence[tuple[FileSample, TruthFacts]]) -> None:
    """Raise UserError if some masks look inverted and others do not; one that is full may be so in both."""
    meaning = measured[0][0].mask
    assert meaning is not None
    if meaning.inverted is False or meaning.values is not None:
        return
    some = [(sample, facts) for sample, facts in measured if facts.labels and facts.foreground < 1]
    inverted = [sample for sample, facts in some if _is_background(facts)]
    others = [sample for sample, facts in some if not _is_background(facts)]
    if inverted and others and len(inverted) >= FEWEST_INVERTED * len(some):
        right = ", or say data.inverted=false if they are right" if meaning.inverted is None else ""
        raise UserError(
            f"{len(inverted)} of {len(some)} masks in {inverted[0].instances.parent}, such as "
            f"{inverted[0].instances.name}, look inverted, but others, such as {others[0].instances.name}, do "
            f"not: save them alike{right}"
        )


def _refuse_classes(measured: Sequence[tuple[FileSample, TruthFacts]]) -> None:
    """Raise UserError if masks of two values differ in the one beside 0, as those of one class each do."""
    meaning = measured[0][0].mask
    if meaning is None or meaning.values is not None or meaning.threshold is not None:
        return
    there = sorted({value for _, facts in measured for value in facts.values if value})
    if len(there) > 1 and not USUAL_VALUES.issuperset(there):
        few = there[:MOST_CLASSES]
        raise UserError(
            f"masks in {measured[0][0].instances.parent} hold different values beside 0 "
            f"({', '.join(f'{value:g}' for value in few)}{' and more' if few != there else ''}), one in each, as "
            "classes do: say which are nucleus, such as "
            f"data.mask_values=[{','.join(f'{value:g}' for value in there)}]"
        )


def _refuse_turned(sample: FileSample) -> None:
    image, truth = read_orientation(sample.image), read_orientation(sample.instances)
    if image != truth:
        raise UserError(
            f"{sample.image} is to be shown in orientation {image} of EXIF but {sample.instances} in {truth}: "
            "save both as they are to be shown, without an orientation"
        )


def _refuse_label_maps(measured: Sequence[tuple[FileSample, TruthFacts]]) -> None:
    folder = measured[0][0].instances.parent
    nonempty = [facts for _, facts in measured if facts.labels]
    several = [facts for facts in nonempty if facts.regions > 1]
    like_masks = sum(facts.regions >= 2 * facts.labels for facts in several)
    if like_masks > len(several) / 2 and like_masks >= FEWEST_MASKS * len(nonempty):
        raise UserError(
            f"in {like_masks} of {len(measured)} label maps in {folder}, a number stands for several separate "
            f"regions, as in masks: rename {folder.name}/ to masks/, or, if label maps were resized, do it again "
            "without interpolation"
        )
    suspects = sum(facts.labels > 1 and _is_background(facts) for facts in nonempty)
    if suspects > len(nonempty) / 2:
        raise UserError(
            f"in {suspects} of {len(measured)} label maps in {folder}, one number covers most of the image and of "
            "its border, as a background that is numbered like a nucleus: save it as 0"
        )
    if any(facts.labels > 1 for facts in nonempty) and all(facts.foreground == 1 for facts in nonempty):
        raise UserError(
            f"no label map in {folder} has a pixel of 0, as when the background is numbered like a nucleus: "
            "save the background as 0"
        )


def _is_inverted(sample: FileSample, facts: TruthFacts) -> bool:
    """Return whether a mask looks inverted and nobody has said that it is right."""
    return _is_background(facts) and sample.mask is not None and sample.mask.inverted is not False


def _is_background(facts: TruthFacts) -> bool:
    return facts.largest > BACKGROUND_OF_IMAGE and facts.border > BACKGROUND_OF_BORDER


def _in_pieces(facts: TruthFacts) -> bool:
    return facts.regions > MOST_REGIONS_PER_LABEL * facts.labels
