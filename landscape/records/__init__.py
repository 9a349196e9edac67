"""Results as frozen dataclasses over numpy arrays; each states its dimensions."""

from landscape.records.band import LossBand
from landscape.records.base import KINDS, Record, Variable, from_parts, to_parts
from landscape.records.grid import Grid
from landscape.records.measurement import Measurement
from landscape.records.run import Run
from landscape.records.surface import Surface
from landscape.records.variant_bands import VariantBands

__all__ = [
    "KINDS",
    "Grid",
    "LossBand",
    "Measurement",
    "Record",
    "Run",
    "Surface",
    "Variable",
    "VariantBands",
    "from_parts",
    "to_parts",
]
