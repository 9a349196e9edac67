#!/usr/bin/env python3
"""Make the images that come with the package from Debian's package dataset-fashion-mnist.

    apt-get install dataset-fashion-mnist
    python tools/make_fashion_mnist_mini.py

Takes the first 5,000 training and 1,000 test images of the class-balanced order of seed 0, unchanged: 28 x 28, uint8.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from landscape.datasets import balanced_order
from landscape.datasets.sources.fashion_mnist_mini import EMBEDDED

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
SEED = 0
SIZES = {"train": ("train", 5000), "test": ("t10k", 1000)}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes: magic number 0x000008DD (DD dimensions), big-endian lengths, values."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is no IDX file of unsigned bytes: it begins with {raw[:4].hex()}")
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def make(source: Path = DEBIAN) -> dict[str, NDArray[np.generic]]:
    """Choose the images; the arrays carry the names that ``npz:FILE`` reads."""
    arrays: dict[str, NDArray[np.generic]] = {"classes": np.array(CLASSES)}
    for split, (prefix, count) in SIZES.items():
        images = read_idx(source / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(source / f"{prefix}-labels-idx1-ubyte.gz")
        chosen = balanced_order(torch.from_numpy(labels.copy()), SEED)[:count].numpy()
        arrays[f"x_{split}"], arrays[f"y_{split}"] = images[chosen], labels[chosen]
    return arrays


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source", type=Path, default=DEBIAN, help="folder of the four .gz files (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="file to write (default: inside the package)")
    options = parser.parse_args()
    np.savez_compressed(options.out, **make(options.source))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
