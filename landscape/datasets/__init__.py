"""Labelled images: held as uint8, converted and normalised per batch on the device that holds them.

``load`` reads a data set by name. Nothing here touches the network unless ``download=True`` says so.
"""

from landscape.datasets.array_dataset import ArrayDataset
from landscape.datasets.augment import Augmentation, Augmented
from landscape.datasets.loading import load, names
from landscape.datasets.normalization import format_normalization, parse_normalization
from landscape.datasets.order import balanced_order
from landscape.datasets.source import SOURCES, RawSplit, Request, Source
from landscape.datasets.transform import Transform
from landscape.datasets.validation import split_validation

__all__ = [
    "SOURCES",
    "ArrayDataset",
    "Augmentation",
    "Augmented",
    "RawSplit",
    "Request",
    "Source",
    "Transform",
    "balanced_order",
    "format_normalization",
    "load",
    "names",
    "parse_normalization",
    "split_validation",
]
