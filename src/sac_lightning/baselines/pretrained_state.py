"""Pre-trained weights from a model hub, for the compared networks that start from an ImageNet backbone."""

from timm.models import load_state_dict_from_hf
from torch import Tensor


def download_state(source: str) -> dict[str, Tensor]:
    """Download the weights of a model, or read them from the cache of an earlier download.

    Args:
        source: The model's name on the Hugging Face hub, followed by ``@`` and a revision if one is wanted.

    Returns:
        The state dict.

    Raises:
        OSError: The weights cannot be downloaded.
    """
    try:
        return load_state_dict_from_hf(source, weights_only=True)  # type: ignore[no-any-return]
    # Without a connection, the hub's library raises many kinds of errors, and not all of them are OSErrors.
    except Exception as error:
        raise OSError(f"the ImageNet weights {source} cannot be downloaded: {error}") from error
