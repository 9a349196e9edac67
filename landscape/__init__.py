"""Loss landscapes and BatchNorm analysis of neural networks, with numbers that can be trusted.

Names are imported when first used, so that ``import landscape`` and ``landscape --help`` stay quick.
"""

from __future__ import annotations

import importlib
from typing import Any

from landscape._version import __version__

_HOME = {
    "flatten": "landscape.space",
    "unflatten": "landscape.space",
    "random_pair": "landscape.space",
    "random_pairs": "landscape.space",
    "DirectionPair": "landscape.space",
    "Grid": "landscape.records",
    "Surface": "landscape.records",
    "Measurement": "landscape.records",
    "Run": "landscape.records",
    "LossBand": "landscape.records",
    "VariantBands": "landscape.records",
    "Sweep": "landscape.records",
    "LineSearchTrace": "landscape.records",
    "SmoothnessTrace": "landscape.records",
    "Evaluation": "landscape.records",
    "Objective": "landscape.surface",
    "measure_surface": "landscape.surface",
    "measure_surfaces": "landscape.surface",
    "check_geometry": "landscape.surface",
    "AutoRange": "landscape.surface",
    "auto_range": "landscape.surface",
    "Metric": "landscape.surface.metrics",
    "metrics": "landscape.surface.metrics",
    "save": "landscape.storage",
    "load": "landscape.storage",
    "load_checkpoint": "landscape.storage",
    "save_checkpoint": "landscape.storage",
    "Checkpoint": "landscape.storage",
    "TrainConfig": "landscape.training",
    "VariantsConfig": "landscape.training",
    "SweepConfig": "landscape.training",
    "train": "landscape.training",
    "train_variants": "landscape.training",
    "train_sweep": "landscape.training",
    "collect_sweep": "landscape.training",
    "evaluate_classifier": "landscape.training",
    "loss_band": "landscape.smoothness",
    "line_search_probe": "landscape.smoothness",
    "internal_covariate_shift": "landscape.smoothness",
    "probe_training": "landscape.smoothness",
    "LandscapeError": "landscape.errors",
}
_ROOMS = ("models", "datasets", "figures", "losses")

__all__ = ["__version__", *_HOME, *_ROOMS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"landscape.{name}")
    raise AttributeError(f"module 'landscape' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
