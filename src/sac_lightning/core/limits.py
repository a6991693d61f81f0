"""Limits of settings, checked by a command before it imports torch and by the parts that take them."""

from sac_lightning.core.errors import UserError


def refuse_test_metric(callback: str, monitor: str | None) -> None:
    """Raise UserError if a callback would choose by a test metric."""
    if monitor is not None and monitor.startswith("test"):
        raise UserError(f"{callback} would monitor {monitor}: choose a validation metric, such as val/dice")


def refuse_image_size(image_size: int | None, patch: int, backbone: str) -> None:
    """Raise UserError if an image encoder cannot cut its input into whole patches."""
    if image_size is None or image_size % patch:
        raise UserError(f"view.image_size is {image_size}: choose a multiple of the patch of {backbone}, {patch}")


def refuse_rank(rank: int | None) -> None:
    """Raise UserError if LoRA cannot have this rank; None stands for its default."""
    if rank is not None and (not isinstance(rank, int) or rank < 1):
        raise UserError(f"model.rank is {rank}: choose a LoRA rank of at least 1")


def read_picture_count(pictures: object) -> int | None:
    """Return of how many test images an evaluation draws pictures, None for all.

    Raises:
        UserError: It is neither ``all`` nor a number.
    """
    if pictures == "all":
        return None
    if type(pictures) is not int or pictures < 0:
        raise UserError(f"pictures is {pictures}: choose all, or a number of test images, 0 or more")
    return pictures
