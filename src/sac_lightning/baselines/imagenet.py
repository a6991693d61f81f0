"""A compared network's start from ImageNet weights, where they can be had."""

from sac_lightning.baselines.network import Network
from sac_lightning.core.processes import is_first_process


def start_from_imagenet(network: Network) -> str | None:
    """Load the ImageNet weights of a network's backbone, and print which; without them it starts from scratch.

    Returns:
        The name of the weights; None if the network has none or they cannot be had.
    """
    name, prints = type(network).__name__, is_first_process()
    try:
        weights = network.load_imagenet()
    except OSError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if prints:
            print(f"{name} starts from scratch: its ImageNet weights cannot be had ({reason}).")
        return None
    if weights is not None and prints:
        print(f"{name} starts from ImageNet weights: {weights}.")
    return weights
