"""``landscape evaluate``: from a checkpoint file to an evaluation file, a page and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landscape import devices, figures
from landscape.figures.text_evaluation import TOP
from landscape.progress import Report
from landscape.records import Evaluation
from landscape.storage import load_checkpoint, save
from landscape.tasks.data import DataChoice, check_fit, images_for
from landscape.tasks.files import check_replaceable, origin, record_file
from landscape.tasks.loss import loss_for
from landscape.training import evaluate_classifier


@dataclass(frozen=True)
class EvaluateOptions:
    """Settings of an evaluation.

    Args:
        loss: Name of the loss; None takes that of the training, where the checkpoint names it.
        mistakes: How many of the most confident mistakes are kept.
        batch_size: Images at a time.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        model: Name of the network, where the file does not say it.
        model_options: Its options.
        data: Which images.
    """

    loss: str | None = None
    mistakes: int = 12
    batch_size: int = 500
    device: str = "auto"
    precision: str = "fp32"
    model: str | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict)
    data: DataChoice = field(default_factory=lambda: DataChoice(split="test"))


@dataclass(frozen=True)
class WrittenEvaluation:
    """What the task left behind.

    Args:
        evaluation: The record.
        file: Its file.
        page: The page.
        image: The picture.
    """

    evaluation: Evaluation
    file: Path
    page: Path
    image: Path


def evaluate_checkpoint(
    ckpt: Path,
    out: Path | None = None,
    options: EvaluateOptions = EvaluateOptions(),
    *,
    command: str = "",
    standalone: bool = False,
    progress: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> WrittenEvaluation:
    """Evaluate a checkpoint class by class and draw the outcome.

    Args:
        ckpt: The checkpoint.
        out: The evaluation file, replaced if it exists; by default ``results/evaluations/<checkpoint stem>.h5``.
            In a folder that exists its name is the checkpoint's.
        options: All settings.
        command: What the user typed, to be shown on the page.
        standalone: Whether the page carries plotly's script.
        progress: Called with a ``Progress`` in images.
        say: Called with a sentence for everything that is assumed, before anything is measured.

    Returns:
        Record and files.

    Raises:
        UsageError: ``out`` has the ending of the page or the picture.
        StorageError: ``out`` holds a result of another kind.
    """
    checkpoint = load_checkpoint(ckpt, options.model, model_options=options.model_options)
    out = record_file(out, Path("results/evaluations") / f"{ckpt.stem}.h5", "evaluation")
    check_replaceable(out, Evaluation)
    loss, notes = loss_for(checkpoint, options.loss)
    data, assumed = images_for(checkpoint, options.data)
    assumed = [*checkpoint.notes, *assumed, *notes]
    if say is not None:
        for text in assumed:
            say(f"Assumed: {text}")
    model = checkpoint.build()
    check_fit(model, data)
    evaluation = evaluate_classifier(
        model.to(devices.resolve(options.device)),
        data,
        loss=loss,
        mistakes=options.mistakes,
        batch_size=options.batch_size,
        precision=options.precision,
        recipe={"model": checkpoint.model_name, "model_options": dict(checkpoint.model_options)},
        provenance=origin(ckpt, checkpoint, assumed, command),
        progress=progress,
    )
    save(evaluation, out)
    return draw_evaluation(evaluation, out, standalone=standalone)


def draw_evaluation(evaluation: Evaluation, out: Path, *, standalone: bool = False) -> WrittenEvaluation:
    """Write the page and the picture of an evaluation.

    Args:
        evaluation: The record.
        out: Its file; page and picture are written beside it, under its stem.
        standalone: Whether the page carries plotly's script.

    Returns:
        Record and files.
    """
    section = figures.evaluation_section(evaluation)
    page = figures.write_page(out.with_suffix(".html"), section, title=section.title, standalone=standalone)
    image = figures.write_evaluation_png(out.with_suffix(".png"), evaluation)
    return WrittenEvaluation(evaluation, out, page, image)


def evaluation_json(written: WrittenEvaluation) -> dict[str, Any]:
    """Say everything but the images in plain values, for other programs.

    Args:
        written: Record and files.

    Returns:
        What JSON can hold: a number that is not defined or not finite is None.
    """
    e, overall = written.evaluation, written.evaluation.overall
    plain: dict[str, Any] = _strict(
        {
            "images": overall.examples,
            "accuracy": overall.accuracy,
            "accuracy_interval": e.accuracy_interval,
            f"top{TOP}_accuracy": e.top(TOP),
            "loss": overall.loss,
            "loss_sem": overall.loss_sem,
            "classes": [_class(e, k) for k in range(len(e.true_class))],
            "outputs": e.predicted_class.tolist(),
            "confusion": {"counts": e.confusion.tolist(), "rates": e.rates.tolist()},
            "mistakes": [_mistake(e, k) for k in range(len(e.mistake_index))],
            "notes": list(figures.evaluation_notes(e)),
            "recipe": e.recipe,
            "environment": e.environment,
            "provenance": e.provenance,
            "files": {"record": str(written.file), "page": str(written.page), "image": str(written.image)},
        }
    )
    return plain


def _class(e: Evaluation, k: int) -> dict[str, Any]:
    low, high = e.class_accuracy_interval
    return {
        "class": str(e.true_class[k]),
        "images": int(e.class_examples[k]),
        "right": int(e.class_hits[k]),
        "unpredicted": int(e.unpredicted[k]),
        "accuracy": e.class_accuracy[k],
        "accuracy_interval": [low[k], high[k]],
        "loss": e.class_loss[k],
        "loss_sem": e.class_loss_sem[k],
    }


def _mistake(e: Evaluation, k: int) -> dict[str, Any]:
    return {
        "image": int(e.mistake_index[k]),
        "true": str(e.true_class[e.mistake_true[k]]),
        "predicted": str(e.predicted_class[e.mistake_predicted[k]]),
        "confidence": e.mistake_confidence[k],
    }


def _strict(value: Any) -> Any:
    """Numbers of Python, and None for NaN and infinity, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):  # numpy's float64 is one
        return float(value) if math.isfinite(value) else None
    return value
