"""Measuring the loss around a network."""

from landscape.surface.checks import check_geometry
from landscape.surface.measure import measure_surface, measure_surfaces
from landscape.surface.objective import Objective
from landscape.surface.radius import AutoRange, auto_range, cover

__all__ = [
    "AutoRange",
    "Objective",
    "auto_range",
    "check_geometry",
    "cover",
    "measure_surface",
    "measure_surfaces",
]
