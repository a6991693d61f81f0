"""The start of a compared network from ImageNet weights, where these are available."""

from sac_lightning.baselines.network import Network
from sac_lightning.core.processes import is_first_process


def start_from_imagenet(network: Network) -> str | None:
    """Load the ImageNet weights of a network's backbone, if there are any, and print whether it worked.

    Returns:
        A name for these weights; None if there are none, or they cannot be downloaded.
    """
    name, prints = type(network).__name__, is_first_process()
    try:
        weights = network.load_imagenet()
    except OSError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if prints:
            print(f"{name} starts from scratch: its ImageNet weights cannot be loaded ({reason}).")
        return None
    if weights is not None and prints:
        print(f"{name} starts from ImageNet weights: {weights}.")
    return weights
