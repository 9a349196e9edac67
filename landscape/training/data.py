"""The images of a run: a part to train on and a part held out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from landscape import devices
from landscape.datasets import ArrayDataset, split_validation
from landscape.errors import DataError
from landscape.space import batchnorm_layers
from landscape.training.config import TrainConfig


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The two parts of a train split, on the device of the run.

    Args:
        train: What is trained on.
        validation: What is held out.
    """

    train: ArrayDataset
    validation: ArrayDataset

    @classmethod
    def of(cls, config: TrainConfig) -> TrainingData:
        """Load and divide the images of a configuration."""
        device = devices.resolve(config.device)
        whole = config.data.load("train")
        parts = split_validation(whole, config.validation, seed=config.data.seed)
        return cls(*(part.to(device) for part in parts))

    def steps(self, config: TrainConfig, model: nn.Module) -> int:
        """Return the steps of an epoch.

        A last batch of one image is dropped where there is BatchNorm: the layer cannot take it where its input has one
        value per channel, and elsewhere it would learn from the statistics of a single image.

        Raises:
            DataError: No batch is left.
        """
        n = len(self.train)
        full, rest = divmod(n, config.batch_size)
        extra = int(rest > 1 or (rest == 1 and not batchnorm_layers(model)))
        if full + extra == 0:
            raise DataError(f"{n} training images give no batch that BatchNorm could take; use more images")
        return full + extra
