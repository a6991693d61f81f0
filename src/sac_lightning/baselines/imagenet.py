"""A compared network's start from ImageNet weights, where they can be had."""

from sac_lightning.baselines.network import Network


def start_from_imagenet(network: Network) -> str | None:
    """Loads the ImageNet weights of a network's backbone, or says that it starts from scratch.

    Returns:
        Which weights these are; None where there are none, or none to be had.
    """
    name = type(network).__name__
    try:
        weights = network.load_imagenet()
    except OSError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        print(f"{name} starts from scratch: its ImageNet weights cannot be had ({reason}).")
        return None
    if weights is not None:
        print(f"{name} starts from ImageNet weights: {weights}.")
    return weights
