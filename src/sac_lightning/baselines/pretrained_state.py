"""Pre-trained parameters from a model hub, for the compared networks that start from an ImageNet backbone."""

from timm.models import load_state_dict_from_hf
from torch import Tensor


def hub_state(source: str) -> dict[str, Tensor]:
    """Downloads the parameters of a model, or takes them from the cache of an earlier download.

    Args:
        source: The model's name on the Hugging Face hub, with ``@`` and a revision where one is wanted.

    Raises:
        OSError: They cannot be had.
    """
    try:
        return load_state_dict_from_hf(source, weights_only=True)  # type: ignore[no-any-return]
    # The hub's library has many kinds of errors for a missing connection, and not all of them are OSErrors.
    except Exception as error:
        raise OSError(f"the ImageNet weights {source} cannot be downloaded: {error}") from error
