"""Training small image classifiers: one run, or every variant x learning rate x seed."""

from landscape.training.assess import evaluate_classifier
from landscape.training.config import TrainConfig, VariantsConfig
from landscape.training.data import TrainingData
from landscape.training.evaluate import evaluate
from landscape.training.trainer import train
from landscape.training.variants import collect, keep_best, train_variants

__all__ = [
    "TrainConfig",
    "TrainingData",
    "VariantsConfig",
    "collect",
    "evaluate",
    "evaluate_classifier",
    "keep_best",
    "train",
    "train_variants",
]
