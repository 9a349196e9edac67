"""Images and their classes in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from landscape.datasets.transform import Transform
from landscape.records.base import Json

_CHUNK = 2048  # images prepared at once by `inputs`: bounds what resizing needs beside the result


@dataclass(frozen=True, eq=False)
class ArrayDataset:
    """Labelled images, held as uint8 and converted per batch on the device that holds them.

    Args:
        images: Stored pixels (n, c, h, w), uint8.
        targets: Class of each image (n,), int64, on the same device.
        classes: Names of the classes; a target is a position in it.
        name: What ``load`` calls the data set; of a path only the last part.
        split: ``"train"``, ``"test"`` or ``"validation"``.
        transform: What happens to the pixels before a network sees them.
        normalization: The normalization as the user wrote it.
        limit: How many images were asked for; None for all.
        seed: Seed of the order from which a limit takes a prefix.
    """

    images: Tensor
    targets: Tensor
    classes: tuple[str, ...]
    name: str
    split: str
    transform: Transform
    normalization: str = "dataset"
    limit: int | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        channels, height, width = self.shape
        return f"ArrayDataset({self.name!r}, {self.split!r}, {len(self)} images of {channels} x {height} x {width})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one prepared image."""
        return (self.transform.channels, *self.transform.size)

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    @property
    def inputs(self) -> Tensor:
        """All prepared images ``(n, *shape)``, float32; computed anew at every call."""
        prepared = torch.empty((len(self), *self.shape), dtype=torch.float32, device=self.device)
        for start in range(0, len(self), _CHUNK):
            prepared[start : start + _CHUNK] = self.transform(self.images[start : start + _CHUNK])
        return prepared

    def batch(self, indices: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Prepare some of the images.

        Args:
            indices: Positions (m,). A tensor on the images' device costs no copy.

        Returns:
            Inputs ``(m, *shape)`` float32, equal bit for bit to the same rows of ``inputs``; and targets (m,).
        """
        rows = torch.as_tensor(indices, dtype=torch.int64, device=self.device)
        return self.transform(self.images[rows]), self.targets[rows]

    def subset(self, indices: Tensor | Sequence[int]) -> ArrayDataset:
        """Take some of the images, with the normalization of this data set.

        Args:
            indices: Positions (m,), in the order wanted.

        Returns:
            A data set of m images.
        """
        rows = torch.as_tensor(indices, dtype=torch.int64, device=self.device)
        return replace(self, images=self.images[rows], targets=self.targets[rows])

    def to(self, device: str | torch.device) -> ArrayDataset:
        """Move to a device.

        Args:
            device: Where to.

        Returns:
            The same data set, its images and targets there.
        """
        return replace(self, images=self.images.to(device), targets=self.targets.to(device))

    def describe(self) -> dict[str, Json]:
        """Say what a value measured on these images depends on, in plain JSON values for a recipe.

        ``digest`` tells apart what the other entries cannot: two files of one name, or two subsets of one size.

        Returns:
            Data set, split, subset, normalization (as written and as numbers), size, channels, number and digest.
        """
        _, height, width = self.shape
        return {
            "dataset": self.name,
            "split": self.split,
            "limit": self.limit,
            "seed": self.seed,
            "normalization": self.normalization,
            "mean": list(self.transform.mean),
            "std": list(self.transform.std),
            "image_size": height if height == width else [height, width],
            "channels": self.transform.channels,
            "examples": len(self),
            "digest": self._digest(),
        }

    def _digest(self) -> str:
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for tensor in (self.images, self.targets):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]
