"""Loss and accuracy of a network on a data set, in evaluation mode."""

from __future__ import annotations

import torch
from torch import nn

from landscape import devices, losses
from landscape.datasets import ArrayDataset
from landscape.records import Measurement
from landscape.surface.session import Examples, correct


def evaluate(
    model: nn.Module,
    dataset: ArrayDataset,
    *,
    loss: str = "cross_entropy",
    batch_size: int = 500,
    precision: str = "fp32",
) -> Measurement:
    """Evaluate a network in place: dropout off, running statistics used and not changed.

    Args:
        model: The network, on the data set's device.
        dataset: Images on that device.
        loss: Name of the per-example loss.
        batch_size: Images at a time; the result does not depend on it beyond rounding.
        precision: ``fp32``, ``tf32`` or ``bf16``.

    Returns:
        The measurement.
    """
    _, per_example = losses.resolve(loss)
    training = model.training
    model.eval()
    parts, hits = [], []
    with torch.inference_mode(), devices.exact_products(precision), devices.autocast(dataset.device, precision):
        for rows in torch.split(torch.arange(len(dataset), device=dataset.device), batch_size):
            inputs, targets = dataset.batch(rows)
            outputs = model(inputs.contiguous(memory_format=torch.channels_last))
            parts.append(per_example(outputs.double(), targets).double())
            hits.append(correct(outputs, targets))
        found = None if any(h is None for h in hits) else torch.cat([h for h in hits if h is not None])
        value, sem, _, accuracy = Examples(torch.cat(parts), found).statistics().tolist()
    model.train(training)
    return Measurement(value, sem, accuracy, len(dataset))
