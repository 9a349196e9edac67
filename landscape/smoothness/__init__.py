"""What training curves and probes say about smoothness.

Numbers need no network: what touches one, and so torch, is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

from landscape.smoothness.band import BandGap, GapWindow, band_gap, default_window, loss_band, running_mean
from landscape.smoothness.compare import (
    Comparison,
    Panel,
    Ratio,
    RawGap,
    compare_bands,
    find_panels,
    flag,
    rate_names,
    spread,
    variant_band,
)
from landscape.smoothness.measures import (
    MEASURES,
    MeasureRatio,
    Window,
    compare_traces,
    default_windows,
    gradient_predictiveness,
    gradient_range,
    log_loss_variation,
    loss_variation,
    saturation,
    trace_windows,
    windowed,
)

_HOME = {
    "CovariateShift": "landscape.smoothness.covariate_shift",
    "DeepLinearConfig": "landscape.smoothness.deep_linear",
    "internal_covariate_shift": "landscape.smoothness.covariate_shift",
    "line_search_probe": "landscape.smoothness.line_search",
    "probe_training": "landscape.smoothness.probing",
    "train_deep_linear": "landscape.smoothness.deep_linear",
}

__all__ = [  # noqa: PLE0604
    "MEASURES",
    "BandGap",
    "Comparison",
    "GapWindow",
    "MeasureRatio",
    "Panel",
    "Ratio",
    "RawGap",
    "Window",
    "band_gap",
    "compare_bands",
    "compare_traces",
    "default_window",
    "default_windows",
    "find_panels",
    "flag",
    "gradient_predictiveness",
    "gradient_range",
    "log_loss_variation",
    "loss_band",
    "loss_variation",
    "rate_names",
    "running_mean",
    "saturation",
    "trace_windows",
    "spread",
    "variant_band",
    "windowed",
    *_HOME,
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'landscape.smoothness' has no attribute {name!r}")
