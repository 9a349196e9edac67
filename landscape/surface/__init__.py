"""Measuring the loss around a network."""

from landscape.surface.checks import check_geometry
from landscape.surface.measure import measure_surface, measure_surfaces
from landscape.surface.objective import Objective

__all__ = ["Objective", "check_geometry", "measure_surface", "measure_surfaces"]
