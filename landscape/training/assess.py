"""Everything that a classifier's outputs say about a data set, in one pass over its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape import devices, losses
from landscape.datasets import ArrayDataset
from landscape.environment import environment
from landscape.errors import ShapeError, UsageError
from landscape.progress import Report, silent
from landscape.records import Evaluation, Measurement
from landscape.space import batchnorm_layers, tensor_hash
from landscape.surface.session import Examples
from landscape.training.evaluate import judged

NO_PREDICTION = -1
_SURENESS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "bce": ("sigmoid", torch.sigmoid),
    "mse": ("output", lambda outputs: outputs),  # trained to be 1 for the class: softmax would never come near it
}


class _Verdicts(NamedTuple):
    """What is kept of a batch, or of all: tensors of shape ``(n,)`` on the device, and the number of outputs."""

    losses: Tensor
    predicted: Tensor
    rank: Tensor  # of the right class, from 0
    confidence: Tensor
    outputs: int


def evaluate_classifier(
    model: nn.Module,
    dataset: ArrayDataset,
    *,
    loss: str | losses.PerExampleLoss = "cross_entropy",
    mistakes: int = 12,
    batch_size: int = 500,
    precision: str = "fp32",
    recipe: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Report | None = None,
) -> Evaluation:
    """Evaluate a classifier class by class: dropout off, running statistics used; the network is left as it was.

    Args:
        model: The network; it stays on its device, and the images are copied there.
        dataset: The images, with a class each.
        loss: A loss by name, or a callable ``(outputs, targets) -> (n,)``.
        mistakes: How many of the most confident mistakes are kept with their images, at most.
        batch_size: Images at a time; the result does not depend on it beyond rounding.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        recipe: More entries for the recipe, for instance the network's name.
        provenance: Where the network comes from.
        progress: Called with a ``Progress`` in images.

    Returns:
        The evaluation.

    Raises:
        ShapeError: The network's outputs are not ``(n, k)`` with an output for every class.
        UsageError: ``mistakes`` is negative.
    """
    if mistakes < 0:
        raise UsageError(f"mistakes={mistakes} has no meaning: give the number of mistakes to keep, 0 or more")
    name, per_example = losses.resolve(loss)
    how, sureness = _SURENESS.get(name, ("softmax", lambda outputs: outputs.softmax(dim=1)))
    tensors = {**dict(model.named_parameters()), **{f"buffer.{key}": b for key, b in model.named_buffers()}}
    images = dataset.to(next(iter(tensors.values()), dataset.images).device)

    def judge(outputs: Tensor, targets: Tensor) -> _Verdicts:
        _check(outputs, dataset)
        outputs = outputs.double()
        return _verdicts(outputs, targets, per_example(outputs, targets).double(), sureness(outputs))

    parts = judged(model, images, judge, batch_size=batch_size, precision=precision, report=progress or silent)
    kept = _joined(parts)
    average, sem, _, accuracy = Examples(kept.losses, kept.predicted == images.targets).statistics().tolist()
    facts = _recipe(model, dataset, tensors, loss=name, confidence=how, precision=precision)
    return Evaluation(
        **_counts(dataset, kept, mistakes),
        overall=Measurement(average, sem, accuracy, len(dataset)),
        recipe=facts | dict(recipe or {}),
        environment=environment(devices.describe(images.device)),
        provenance=dict(provenance or {}),
    )


def _joined(parts: Sequence[_Verdicts]) -> _Verdicts:
    return _Verdicts(
        torch.cat([part.losses for part in parts]),
        torch.cat([part.predicted for part in parts]),
        torch.cat([part.rank for part in parts]),
        torch.cat([part.confidence for part in parts]),
        parts[0].outputs,
    )


def _counts(dataset: ArrayDataset, kept: _Verdicts, mistakes: int) -> dict[str, Any]:
    """The arrays of the record, from what was kept of every image."""
    values, predicted, rank, confidence = (column.cpu().numpy() for column in kept[:-1])
    targets, classes, outputs = dataset.targets.cpu().numpy(), len(dataset.classes), kept.outputs
    mean, sem = _class_losses(values, targets, classes)
    shown = _most_confident(predicted, targets, confidence, mistakes)
    pixels = dataset.images[torch.as_tensor(shown, device=dataset.device)]
    return {
        "true_class": np.array(dataset.classes, dtype=np.str_),
        "predicted_class": np.array(_output_names(dataset.classes, outputs), dtype=np.str_),
        "confusion": _confusion(predicted, targets, (classes, outputs)),
        "unpredicted": np.bincount(targets[predicted == NO_PREDICTION], minlength=classes),
        "class_loss": mean,
        "class_loss_sem": sem,
        "rank_count": np.bincount(rank[predicted != NO_PREDICTION], minlength=outputs),
        "mistake_index": shown,
        "mistake_true": targets[shown],
        "mistake_predicted": predicted[shown],
        "mistake_confidence": confidence[shown],
        "mistake_image": pixels.permute(0, 2, 3, 1).cpu().numpy(),
    }


def _check(outputs: Any, dataset: ArrayDataset) -> None:
    wanted = f"one output for each of the {len(dataset.classes)} classes of {dataset.name} is needed"
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        found = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise ShapeError(f"the network returned {found}; {wanted}, shape (images, classes)")
    if outputs.shape[1] < len(dataset.classes):
        raise ShapeError(f"the network has {outputs.shape[1]} outputs; {wanted}: choose the data set of its training")


def _verdicts(outputs: Tensor, targets: Tensor, values: Tensor, sureness: Tensor) -> _Verdicts:
    """Of equal outputs the first counts as larger, as for ``argmax``: rank 0 is a hit, and nothing else is."""
    largest = outputs.argmax(dim=1)
    right = outputs.gather(1, targets[:, None])
    before = torch.arange(outputs.shape[1], device=outputs.device) < targets[:, None]
    rank = ((outputs > right) | ((outputs == right) & before)).sum(dim=1)
    confidence = sureness.gather(1, largest[:, None]).squeeze(1)
    predicted = torch.where(outputs.isnan().any(dim=1), NO_PREDICTION, largest)
    return _Verdicts(values, predicted, rank, confidence, outputs.shape[1])


def _confusion(predicted: NDArray[Any], targets: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.int64]:
    said = predicted != NO_PREDICTION
    cells = np.ravel_multi_index((targets[said], predicted[said]), shape)
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


def _class_losses(values: NDArray[Any], targets: NDArray[Any], classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard error of every class; NaN where there is no image, or for the error only one."""
    mean, sem = np.full(classes, np.nan), np.full(classes, np.nan)
    with np.errstate(invalid="ignore"):  # an infinite loss has no spread
        for k in range(classes):
            own = values[targets == k]
            if len(own):
                mean[k] = own.mean()
            if len(own) > 1:
                sem[k] = own.std(ddof=1) / len(own) ** 0.5
    return mean, sem


def _most_confident(
    predicted: NDArray[Any], targets: NDArray[Any], confidence: NDArray[Any], most: int
) -> NDArray[np.int64]:
    """Positions of wrong predictions, the surest first; of equally sure ones the first in the data set."""
    wrong = np.flatnonzero((predicted != targets) & (predicted != NO_PREDICTION))
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]  # NaN comes last


def _output_names(classes: Sequence[str], outputs: int) -> list[str]:
    return [*classes, *(f"output {k}" for k in range(len(classes), outputs))]


def _recipe(model: nn.Module, dataset: ArrayDataset, tensors: Mapping[str, Tensor], **measured: str) -> dict[str, Any]:
    data = dataset.describe() | {"classes": len(dataset.classes)}
    data["data_seed"] = data.pop("seed")  # as in other records, whose own seed is another
    return {
        "network": type(model).__qualname__,
        "model_hash": tensor_hash({name: t.detach() for name, t in tensors.items()}),
        "bn": "frozen",
        "has_batchnorm": bool(batchnorm_layers(model)),
        **measured,
        **data,
    }
