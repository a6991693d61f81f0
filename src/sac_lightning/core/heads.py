"""The further heads that a compared network can have. Without torch, so that a wrong value is reported at once."""

from typing import Literal, get_args

from sac_lightning.core.errors import UserError

Heads = Literal["separating"]

WITH_HEADS = ("u_net", "uctransnet", "medt", "histoseg", "ssformer_l", "ssformer_s", "smp")
"""By the name of their configuration. The others' own losses take more than one output, or see their own masks."""


def refuse_heads(heads: object, network: str | None = None) -> None:
    """Raise UserError if there are no such heads, or a network of conf/model cannot have them."""
    if heads is None:
        return
    if heads not in get_args(Heads):
        raise UserError(f"model.heads is {heads}: choose separating, or null for the mask alone")
    if network is not None and network not in WITH_HEADS:
        raise UserError(
            f"model.heads={heads} is not for {network}, whose loss or feedback is made for masks alone: choose "
            f"{', '.join(WITH_HEADS[:-1])} or {WITH_HEADS[-1]}, or leave it out"
        )
