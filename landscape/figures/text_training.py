"""A training run in words: title, finding, table and the facts behind them."""

from __future__ import annotations

from landscape.figures.data import Facts, Table, count, data_words, facts, number, percent
from landscape.figures.data_training import best, epoch_losses, steps_per_epoch
from landscape.records import Run

_CONDITIONS = ("optimizer", "learning_rate", "scheduler", "batch_size", "weight_decay", "grad_clip", "augment", "loss")
_ROWS = 40  # of the table


def training_title(run: Run) -> str:
    """State what was trained.

    Args:
        run: The run.

    Returns:
        For instance ``Training of vgg_bn · 4,500 CIFAR-10 training images · 10 epochs``.
    """
    parts = [f"Training of {run.recipe.get('model', 'a network')}", data_words(run.recipe.get("data", {}))]
    return " · ".join([*parts, count(len(run.epoch), "epoch")])


def training_summary(run: Run) -> str:
    """Say the finding in numbers: for a terminal, and above the figure.

    Args:
        run: The run.

    Returns:
        Validation accuracy and loss at the end and at best, training loss, and why it ended before its time.
    """
    if not run.epoch.size:
        return "No epoch is finished."
    found = best(run)
    last = f"validation accuracy {percent(run.val_accuracy[-1])}, validation loss {number(run.val_loss[-1])}"
    parts = [f"After {count(len(run.epoch), 'epoch')}: {last}, training loss {number(float(epoch_losses(run)[-1]))}."]
    if found is not None:
        epochs = "1 epoch" if found.place == 1 else f"{number(found.place)} epochs"
        parts.append(f"Best: {percent(found.accuracy)} after {epochs}, kept as the best checkpoint.")
    return " ".join([*parts, *training_notes(run)])


def training_notes(run: Run) -> tuple[str, ...]:
    """Collect what must be read with the curves.

    Args:
        run: The run.

    Returns:
        Sentences: why the run ended before its time, and that it learned nothing.
    """
    notes = []
    asked = run.recipe.get("epochs", len(run.epoch))
    if run.provenance.get("stopped_by_validation_loss"):
        waited = count(int(run.recipe["early_stop"]), "epoch")
        notes.append(f"Stopped before {asked} epochs: the validation loss did not fall for {waited}.")
    if run.diverged:
        notes.append("Warning: a loss or a weight is not finite, the run diverged.")
    if run.collapsed:
        notes.append("Warning: the network is at chance, the run collapsed.")
    return tuple(notes)


def training_conditions(run: Run) -> tuple[str, ...]:
    """List the conditions that stand beside the figure.

    Args:
        run: The run.

    Returns:
        Settings, each as one short phrase.
    """
    phrases = [f"seed {run.recipe.get('seed', 0)}", count(len(run.step), "training step")]
    return (*phrases, *(f"{key.replace('_', ' ')} {run.recipe[key]}" for key in _CONDITIONS if run.recipe.get(key)))


def training_table(run: Run) -> Table:
    """Tabulate the epochs.

    Args:
        run: The run.

    Returns:
        One row per epoch; of many epochs evenly chosen ones and the last.
    """
    losses, n = epoch_losses(run), len(run.epoch)
    every = -(-n // _ROWS) if n else 1
    shown = [k for k in range(n) if (k + 1) % every == 0 or k == n - 1]
    columns = (losses, run.train_accuracy, run.val_loss, run.val_accuracy)
    rows = tuple((str(int(run.epoch[k])), *(number(float(values[k])) for values in columns)) for k in shown)
    header = ("epoch", "training loss", "training accuracy", "validation loss", "validation accuracy")
    note = (
        "Training loss and accuracy are means over the steps of the epoch, in training mode and before each update, on "
        "images as they were trained on; validation is in evaluation mode, after the epoch."
    )
    return Table("Epochs", header, rows, words=1, note=note)


def training_facts(run: Run) -> tuple[Facts, ...]:
    """Collect how the run was made: for the folded block.

    Args:
        run: The run.

    Returns:
        Groups of facts; empty groups are left out.
    """
    recipe, provenance = dict(run.recipe), dict(run.provenance)
    command, data = provenance.pop("command", None), recipe.pop("data", {})
    groups = (
        facts("Training", recipe | {"steps_per_epoch": steps_per_epoch(run)}),
        facts("Data", data),
        facts("Environment", run.environment),
        facts("Origin", {k: v for k, v in provenance.items() if v}),
        Facts("Command that remakes it", (("command", str(command)),) if command else (), code=True),
    )
    return tuple(group for group in groups if group.items)
