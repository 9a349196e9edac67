"""Training small image classifiers: one run, every variant x learning rate x seed, or a grid of settings."""

from landscape.training.assess import evaluate_classifier
from landscape.training.config import TrainConfig, VariantsConfig
from landscape.training.data import TrainingData
from landscape.training.evaluate import evaluate
from landscape.training.sweep import Failure, collect_sweep, train_sweep
from landscape.training.sweep_config import SweepConfig
from landscape.training.trainer import train
from landscape.training.variants import collect, keep_best, train_variants

__all__ = [
    "Failure",
    "SweepConfig",
    "TrainConfig",
    "TrainingData",
    "VariantsConfig",
    "collect",
    "collect_sweep",
    "evaluate",
    "evaluate_classifier",
    "keep_best",
    "train",
    "train_sweep",
    "train_variants",
]
