"""Which images, as one value that settings of a run or a command can carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landscape.datasets.array_dataset import ArrayDataset
from landscape.datasets.loading import load


@dataclass(frozen=True)
class DataOptions:
    """The arguments of ``landscape.datasets.load`` other than the split; see there.

    Args:
        dataset: Name of the data set.
        root: Folder of the archives.
        limit: Number of images, a class-balanced prefix of one shuffle; None for all.
        seed: Seed of that shuffle.
        normalization: ``dataset``, ``half``, ``none`` or ``M,M,M/S,S,S``.
        image_size: Height and width wanted; None keeps the data's own.
        channels: Channels wanted; None keeps the data's own.
        download: Whether the network may be used.
    """

    dataset: str = "cifar10"
    root: str | Path | None = None
    limit: int | None = None
    seed: int = 0
    normalization: str = "dataset"
    image_size: int | None = None
    channels: int | None = None
    download: bool = False

    def load(self, split: str = "train") -> ArrayDataset:
        """Load a split with these options.

        Args:
            split: ``train`` or ``test``.

        Returns:
            The images.
        """
        return load(
            self.dataset,
            root=self.root,
            split=split,
            limit=self.limit,
            seed=self.seed,
            normalization=self.normalization,
            image_size=self.image_size,
            channels=self.channels,
            download=self.download,
        )
