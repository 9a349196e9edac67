"""An evaluation in words: title, finding, tables, captions of the mistakes and the facts behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape.figures.data import Facts, Table, count, data_words, facts, listed, number, percent, with_error
from landscape.figures.data_evaluation import interval
from landscape.records import Evaluation

TOP = 5
_NETWORK = ("model", "model_options", "network", "model_hash")
_DATA = ("dataset", "split", "limit", "examples", "classes", "normalization", "image_size", "channels", "digest")
_MEASUREMENT = ("loss", "precision", "confidence")
_SAID = ("assumed", "warnings", "command", "checkpoint")
_FREQUENT = 10  # confusions in the table
_SURENESS = {
    "softmax": "confidence is the softmax of the outputs",
    "sigmoid": "confidence is the sigmoid of the output, for the network was trained with bce",
    "output": "the number is the output itself, which the loss mse pulls to 1 for the class and to 0 for the others",
}


def evaluation_title(evaluation: Evaluation) -> str:
    """State what was measured.

    Args:
        evaluation: The record.

    Returns:
        For instance ``Classification by vgg_bn · 10,000 CIFAR-10 test images``.
    """
    recipe = evaluation.recipe
    model = recipe.get("model") or recipe.get("network") or "the network"
    return f"Classification by {model} · {data_words(recipe, evaluation.overall.examples)}"


def evaluation_summary(evaluation: Evaluation) -> str:
    """Say the finding in numbers: for a terminal, and above the figure.

    Args:
        evaluation: The record.

    Returns:
        Accuracy with its interval, top-5, loss, the best and the worst class.
    """
    overall, hits = evaluation.overall, int(evaluation.class_hits.sum())
    parts = [
        f"{hits:,} of {count(overall.examples, 'image')} are classified right: accuracy {percent(overall.accuracy)} "
        f"(95 % interval {interval(*evaluation.accuracy_interval)})."
    ]
    top = evaluation.top(TOP)
    if not math.isnan(top):
        parts.append(f"Top-{TOP} accuracy {percent(top)}.")
    parts.append(f"Loss {with_error(overall.loss, overall.loss_sem)} ({evaluation.recipe.get('loss', 'loss')}).")
    return " ".join([*parts, *_extremes(evaluation)])


def _extremes(evaluation: Evaluation) -> list[str]:
    accuracy = evaluation.class_accuracy
    there = np.flatnonzero(np.isfinite(accuracy))
    if len(there) < 2 or accuracy[there].min() == accuracy[there].max():
        return []
    best, worst = there[accuracy[there].argmax()], there[accuracy[there].argmin()]
    text = f"Best class {evaluation.true_class[best]} with {percent(accuracy[best])}, "
    text += f"worst {evaluation.true_class[worst]} with {percent(accuracy[worst])}"
    taken = _taken_for(evaluation, int(worst))
    return [f"{text}, most often taken for {taken}." if taken else f"{text}."]


def _taken_for(evaluation: Evaluation, k: int) -> str:
    """The most frequent wrong answer of a class, with its share; empty where there is none."""
    wrong = evaluation.confusion[k].copy()
    wrong[k] = 0
    if not wrong.any():
        return ""
    said = int(wrong.argmax())
    return f"{evaluation.predicted_class[said]} ({percent(wrong[said] / evaluation.class_examples[k])})"


def evaluation_conditions(evaluation: Evaluation) -> tuple[str, ...]:
    """List the conditions that stand beside the figure.

    Args:
        evaluation: The record.

    Returns:
        Data, loss, precision and BatchNorm statistics, each as one short phrase.
    """
    recipe = evaluation.recipe
    phrases = [f"data {data_words(recipe, evaluation.overall.examples)}"]
    if recipe.get("limit"):
        phrases.append(f"limit {recipe['limit']:,}")
    phrases += [f"{key} {recipe[key]}" for key in ("loss", "precision") if recipe.get(key)]
    if recipe.get("has_batchnorm"):
        phrases.append("BN statistics of the checkpoint")
    return tuple(phrases)


def evaluation_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """Collect what must be read with the figure: assumptions, warnings, what is missing and why.

    Args:
        evaluation: The record.

    Returns:
        Sentences.
    """
    notes = []
    for key, word in (("assumed", "Assumed"), ("warnings", "Warning")):
        value = evaluation.provenance.get(key) or ()
        notes += [f"{word}: {text}" for text in ([value] if isinstance(value, str) else value)]
    if evaluation.at_chance:
        text = (
            f"Warning: an accuracy of {percent(evaluation.overall.accuracy)} is that of guessing among "
            f"{len(evaluation.true_class)} classes"
        )
        notes.append(text + ("; what was assumed may be wrong." if evaluation.provenance.get("assumed") else "."))
    lost = int(evaluation.unpredicted.sum())
    if lost:
        notes.append(f"Warning: {count(lost, 'image')} gave an output of NaN: no prediction, counted as wrong.")
    absent = [str(evaluation.true_class[k]) for k in np.flatnonzero(evaluation.class_examples == 0)]
    if absent:
        shown = listed(absent) if len(absent) <= _FREQUENT else f"{len(absent)} classes"
        notes.append(f"There is no image of {shown}: a gap, not an accuracy of 0.")
    if math.isnan(evaluation.top(TOP)):
        outputs = count(len(evaluation.predicted_class), "output")
        notes.append(f"No top-{TOP} accuracy: with {outputs} every class would be among the {TOP} largest.")
    return tuple(notes)


def class_table(evaluation: Evaluation) -> Table:
    """Tabulate every class.

    Args:
        evaluation: The record.

    Returns:
        One row per class, and one for all.
    """
    low, high = evaluation.class_accuracy_interval
    rows = [
        (
            str(name),
            _taken_for(evaluation, k) or "–",
            f"{evaluation.class_examples[k]:,}",
            *_shares(float(evaluation.class_accuracy[k]), float(low[k]), float(high[k])),
            with_error(float(evaluation.class_loss[k]), float(evaluation.class_loss_sem[k])),
        )
        for k, name in enumerate(evaluation.true_class)
    ]
    whole = evaluation.overall
    rows.append(
        (
            "all classes",
            "",
            f"{whole.examples:,}",
            *_shares(whole.accuracy, *evaluation.accuracy_interval),
            with_error(whole.loss, whole.loss_sem),
        )
    )
    header = ("class", "mostly taken for", "images", "accuracy", "95 % interval", "loss")
    name = str(evaluation.recipe.get("loss", "loss"))
    note = f"Intervals of accuracies are Wilson's; ± is the standard error of the mean {name} over the images."
    return Table("Accuracy by class", header, tuple(rows), words=2, note=note)


def _shares(accuracy: float, low: float, high: float) -> tuple[str, str]:
    return ("–", "–") if math.isnan(accuracy) else (percent(accuracy), interval(low, high))


def confusion_table(evaluation: Evaluation) -> Table | None:
    """Tabulate the most frequent confusions.

    Args:
        evaluation: The record.

    Returns:
        At most ten rows, most frequent first; None where nothing was confused.
    """
    wrong = evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_FREQUENT]
    places = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j]]
    rows = tuple(
        (
            str(evaluation.true_class[i]),
            str(evaluation.predicted_class[j]),
            f"{wrong[i, j]:,}",
            percent(wrong[i, j] / evaluation.class_examples[i]),
        )
        for i, j in places
    )
    header = ("true class", "said", "images", "of the class")
    return Table("Most frequent confusions", header, rows, words=2) if rows else None


def mistake_table(evaluation: Evaluation) -> Table | None:
    """Tabulate the most confident mistakes: where there is no place for their images.

    Args:
        evaluation: The record.

    Returns:
        One row per mistake; None where there is none.
    """
    rows = tuple(
        (true, said, sure, f"{index:,}")
        for (true, said, sure), index in zip(_mistakes(evaluation), evaluation.mistake_index, strict=True)
    )
    header = ("true class", "said", "confidence", "image")
    return Table("Most confident mistakes", header, rows, words=2, note=sureness_note(evaluation)) if rows else None


def mistake_captions(evaluation: Evaluation) -> tuple[str, ...]:
    """Word the mistakes.

    Args:
        evaluation: The record.

    Returns:
        For instance ``true cat, said dog, 99.2 %``, one for each.
    """
    return tuple(f"true {true}, said {said}, {sure}" for true, said, sure in _mistakes(evaluation))


def _mistakes(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    raw = evaluation.recipe.get("confidence") == "output"
    return [
        (
            str(evaluation.true_class[true]),
            str(evaluation.predicted_class[said]),
            f"output {number(sure, 3)}" if raw else "–" if math.isnan(sure) else percent(sure),
        )
        for true, said, sure in zip(
            evaluation.mistake_true,
            evaluation.mistake_predicted,
            map(float, evaluation.mistake_confidence),
            strict=True,
        )
    ]


def sureness_note(evaluation: Evaluation) -> str:
    """Say what the number beside a mistake is."""
    text = _SURENESS.get(str(evaluation.recipe.get("confidence")), "")
    return f"{text[0].upper()}{text[1:]}." if text else ""


def evaluation_facts(evaluation: Evaluation) -> tuple[Facts, ...]:
    """Collect how an evaluation was made: for the folded block.

    Args:
        evaluation: The record.

    Returns:
        Groups of facts; empty groups are left out.
    """
    recipe, provenance = dict(evaluation.recipe), dict(evaluation.provenance)
    known = {*_NETWORK, *_DATA, *_MEASUREMENT, "bn", "has_batchnorm"}
    statistics = {"BatchNorm statistics": "those of the checkpoint"} if recipe.get("has_batchnorm") else {}
    groups = [
        Facts("Network", facts("", recipe, _NETWORK).items + facts("", provenance, ("checkpoint",)).items),
        facts("Data", recipe, _DATA),
        Facts("Measurement", facts("", recipe, _MEASUREMENT).items + facts("", statistics).items),
        facts("Other settings", {k: v for k, v in recipe.items() if k not in known}),
        facts("Environment", evaluation.environment),
        facts("Origin", {k: v for k, v in provenance.items() if k not in _SAID and v}),
        Facts("Command that remakes it", _command(provenance), code=True),
    ]
    return tuple(group for group in groups if group.items)


def _command(provenance: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    command = provenance.get("command")
    return (("command", str(command)),) if command else ()
