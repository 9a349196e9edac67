"""What the values of a run depend on: stored with it, compared when it is continued."""

from __future__ import annotations

from typing import Any

from landscape import models
from landscape.training.config import TrainConfig
from landscape.training.data import TrainingData


def network_options(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """Return the options of the network: those asked for, and what the data and the seed say.

    Args:
        config: All settings.
        data: The images.

    Returns:
        Options by name.
    """
    known = {"num_classes": len(data.train.classes), "in_channels": data.train.shape[0], "seed": config.seed}
    family = models.family(config.model)
    known = {k: v for k, v in known.items() if k in family.options}
    return dict(family.defaults) | known | dict(config.model_options)


def recipe_of(config: TrainConfig, data: TrainingData, *, loss: str, steps_per_epoch: int) -> dict[str, Any]:
    """Collect what the values of a run depend on.

    Args:
        config: All settings.
        data: The images.
        loss: Name of the loss, with its number where it has one.
        steps_per_epoch: Steps of an epoch.

    Returns:
        Plain values. Settings that came later than the first runs are in it where they are in use.
    """
    options = network_options(config, data)
    return {
        "model": config.model,
        "model_options": models.recipe_options({k: v for k, v in options.items() if k != "seed"}),
        "learning_rate": config.learning_rate,
        "seed": config.seed,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "optimizer": config.optimizer,
        "weight_decay": config.weight_decay,
        "loss": loss,
        "precision": config.precision,
        "validation": config.validation,
        "validation_examples": len(data.validation),
        "steps_per_epoch": steps_per_epoch,
        "classes": len(data.train.classes),
        "data": data.train.describe(),
    } | config.chosen()
