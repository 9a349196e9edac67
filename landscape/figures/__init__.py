"""Figures and pages: interactive with plotly, static with matplotlib, from the same finished numbers."""

from landscape.figures.page import write_page
from landscape.figures.public import band, surface, write_band_png, write_surface_png
from landscape.figures.public_evaluation import evaluation, write_evaluation_png
from landscape.figures.public_smoothness import smoothness, write_smoothness_png
from landscape.figures.public_sweep import sweep, sweep_section, write_sweep_png
from landscape.figures.public_training import training, training_section, write_training_png
from landscape.figures.sections import Control, Section, band_section, surface_section
from landscape.figures.sections_evaluation import evaluation_section
from landscape.figures.sections_smoothness import smoothness_section
from landscape.figures.tables_smoothness import smoothness_summary, smoothness_tables
from landscape.figures.text_band import band_summary
from landscape.figures.text_evaluation import (
    class_table,
    confusion_table,
    evaluation_notes,
    evaluation_summary,
    evaluation_title,
    mistake_captions,
    mistake_table,
)
from landscape.figures.text_sampling import surface_assumed
from landscape.figures.text_surface import surface_summary
from landscape.figures.text_sweep import ranking, sweep_summary, sweep_table
from landscape.figures.text_training import training_summary

__all__ = [
    "Control",
    "Section",
    "band",
    "band_section",
    "band_summary",
    "class_table",
    "confusion_table",
    "evaluation",
    "evaluation_notes",
    "evaluation_section",
    "evaluation_summary",
    "evaluation_title",
    "mistake_captions",
    "mistake_table",
    "ranking",
    "smoothness",
    "smoothness_section",
    "smoothness_summary",
    "smoothness_tables",
    "surface",
    "surface_assumed",
    "surface_section",
    "surface_summary",
    "sweep",
    "sweep_section",
    "sweep_summary",
    "sweep_table",
    "training",
    "training_section",
    "training_summary",
    "write_band_png",
    "write_evaluation_png",
    "write_page",
    "write_smoothness_png",
    "write_surface_png",
    "write_sweep_png",
    "write_training_png",
]
