"""Loss and accuracy of a network on a data set, in evaluation mode."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from landscape import devices, losses
from landscape.datasets import ArrayDataset
from landscape.progress import Progress, Report, silent
from landscape.records import Measurement
from landscape.surface.session import Examples, correct

T = TypeVar("T")


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

    def judge(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        return per_example(outputs.double(), targets).double(), correct(outputs, targets)

    parts = judged(model, dataset, judge, batch_size=batch_size, precision=precision)
    hits = [h for _, h in parts if h is not None]
    found = Examples(torch.cat([value for value, _ in parts]), torch.cat(hits) if len(hits) == len(parts) else None)
    value, sem, _, accuracy = found.statistics().tolist()
    return Measurement(value, sem, accuracy, len(dataset))


def judged(
    model: nn.Module,
    dataset: ArrayDataset,
    judge: Callable[[Tensor, Tensor], T],
    *,
    batch_size: int,
    precision: str,
    report: Report = silent,
) -> list[T]:
    """Send every image through a network in evaluation mode and judge the outputs, batch by batch.

    Nothing waits for the device in between, unless ``judge`` does. The network's modes are put back.

    Args:
        model: The network, on the data set's device.
        dataset: The images.
        judge: Called with outputs and targets of a batch.
        batch_size: Images at a time.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        report: Called with progress; first with an estimate, once one batch is through.

    Returns:
        What ``judge`` returned for each batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    found: list[T] = []
    started, done = time.perf_counter(), 0
    model.eval()
    try:
        with torch.inference_mode(), devices.exact_products(precision), devices.autocast(dataset.device, precision):
            for rows in torch.split(torch.arange(len(dataset), device=dataset.device), batch_size):
                inputs, targets = dataset.batch(rows)
                found.append(judge(model(inputs.to(dtype=dtype, memory_format=torch.channels_last)), targets))
                done += len(rows)
                pace = (time.perf_counter() - started) / done
                if len(found) == 1:
                    report(Progress(0, len(dataset), "image", pace * len(dataset), dataset.name, estimate=True))
                report(Progress(done, len(dataset), "image", pace * (len(dataset) - done), dataset.name))
    finally:
        for module, training in modes:
            module.training = training
    return found
