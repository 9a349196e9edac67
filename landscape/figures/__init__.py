"""Figures and pages: interactive with plotly, static with matplotlib, from the same finished numbers."""

from landscape.figures.page import write_page
from landscape.figures.public import band, surface, write_band_png, write_surface_png
from landscape.figures.public_training import training, training_section, write_training_png
from landscape.figures.sections import Control, Section, band_section, surface_section
from landscape.figures.text_band import band_summary
from landscape.figures.text_sampling import surface_assumed
from landscape.figures.text_surface import surface_summary
from landscape.figures.text_training import training_summary

__all__ = [
    "Control",
    "Section",
    "band",
    "band_section",
    "band_summary",
    "surface",
    "surface_assumed",
    "surface_section",
    "surface_summary",
    "training",
    "training_section",
    "training_summary",
    "write_band_png",
    "write_page",
    "write_surface_png",
    "write_training_png",
]
