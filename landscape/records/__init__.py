"""Results as frozen dataclasses over numpy arrays; each states its dimensions."""

from landscape.records.band import LossBand
from landscape.records.base import KINDS, Record, Variable, from_parts, to_parts
from landscape.records.evaluation import Evaluation
from landscape.records.grid import Grid
from landscape.records.line_search import LineSearchTrace, SmoothnessTrace
from landscape.records.measurement import Measurement
from landscape.records.run import Run
from landscape.records.surface import Surface
from landscape.records.sweep import Sweep
from landscape.records.variant_bands import VariantBands

__all__ = [
    "KINDS",
    "Evaluation",
    "Grid",
    "LineSearchTrace",
    "LossBand",
    "Measurement",
    "Record",
    "Run",
    "SmoothnessTrace",
    "Surface",
    "Sweep",
    "Variable",
    "VariantBands",
    "from_parts",
    "to_parts",
]
