"""What training curves and probes say about smoothness. Numbers only: numpy, no network."""

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

__all__ = [
    "BandGap",
    "Comparison",
    "GapWindow",
    "Panel",
    "Ratio",
    "RawGap",
    "band_gap",
    "compare_bands",
    "default_window",
    "find_panels",
    "flag",
    "loss_band",
    "rate_names",
    "running_mean",
    "spread",
    "variant_band",
]
