"""The order of a data set's items, with the epoch that each is asked for in."""

from collections.abc import Iterator

import torch
import torch.distributed
from torch.utils.data import Sampler, SequentialSampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Indices with their epoch, divided among the processes of a distributed run.

    The epoch travels with the index, so that a worker process always knows it. A shuffled set is padded to
    equal shares per process by repeating a few windows; an unshuffled one is not, so that no image is tested
    twice.
    """

    def __init__(
        self, length: int, shuffle: bool, seed: int, first_epoch: int = 0, batch_size: int | None = None
    ) -> None:
        """Create the sampler.

        Args:
            length: Number of items in the data set.
            shuffle: Whether to draw a new order each epoch.
            seed: Seed of the order.
            first_epoch: First epoch of this training. When a training is resumed, Lightning starts the loading
                processes while its own epoch counter is still 0.
            batch_size: With it, the last index is left out if it would be alone in its batch.
        """
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.first_epoch = self.epoch = first_epoch
        self.batch_size = batch_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this before every epoch."""
        self.epoch = max(epoch, self.first_epoch)

    def _indices(self) -> list[int]:
        rank, processes = _rank_and_processes()
        if not self.shuffle:
            return list(range(rank, self.length, processes))
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        share = -(-self.length // processes)
        own = (order * processes)[: share * processes][rank::processes]
        return own[:-1] if self.batch_size is not None and share % self.batch_size == 1 else own

    def __len__(self) -> int:
        """Return the number of indices of this process."""
        return len(self._indices())

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over the (epoch, index) pairs of this process."""
        return iter([(self.epoch, index) for index in self._indices()])


class SameEpochSampler(EpochSampler, SequentialSampler):  # type: ignore[misc]  # yields pairs, not indices
    """The same indices in the same order in every epoch, for Lightning's ``overfit_batches``.

    Lightning would put a SequentialSampler in the place of any sampler that is none, and lose the epoch.
    """

    def __init__(self, length: int) -> None:
        """Create the sampler of a data set with so many items."""
        super().__init__(length, shuffle=False, seed=0)

    def set_epoch(self, epoch: int) -> None:
        """Stay in the first epoch."""


def _rank_and_processes() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
