"""Which images a checkpoint is measured on: what the user says, else the file, else an assumption that is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from landscape.datasets import SOURCES, ArrayDataset, format_normalization
from landscape.datasets.options import DataOptions
from landscape.errors import DataError, TooFewImagesError
from landscape.storage import Checkpoint
from landscape.training.fit import check_fit, check_outputs

__all__ = ["DataChoice", "check_fit", "images_for", "subset_facts"]


@dataclass(frozen=True)
class DataChoice:
    """What the user said about the images; None leaves it to the checkpoint.

    Args:
        dataset: Name of the data set.
        root: Folder of the archives.
        split: ``train`` or ``test``.
        limit: Number of images; None for all.
        fewer: Whether fewer will do, where there are not so many: nobody asked for that number.
        normalization: As ``landscape.datasets.load`` takes it.
        image_size: Height and width.
        channels: Channels.
        download: Whether the network may be used.
    """

    dataset: str | None = None
    root: Path | None = None
    split: str = "train"
    limit: int | None = None
    fewer: bool = False
    normalization: str | None = None
    image_size: int | None = None
    channels: int | None = None
    download: bool = False

    def options(self, known: Mapping[str, Any] | None = None) -> DataOptions:
        """Settle every option.

        Args:
            known: What the checkpoint says of its data, as ``ArrayDataset.describe`` returned it.

        Returns:
            The options; data set and normalization that nobody named are the defaults.
        """
        known = known or {}
        numbers = format_normalization(known["mean"], known["std"]) if "mean" in known and "std" in known else None
        size = known.get("image_size")
        return DataOptions(
            dataset=self.dataset or known.get("dataset") or "cifar10",
            root=self.root,
            limit=self.limit,
            seed=int(known.get("seed", 0)),
            normalization=self.normalization or numbers or "dataset",
            image_size=self.image_size or (size if isinstance(size, int) else None),
            channels=self.channels or known.get("channels"),
            download=self.download,
        )


def images_for(checkpoint: Checkpoint, choice: DataChoice) -> tuple[ArrayDataset, list[str]]:
    """Load the images that a checkpoint is measured on.

    Args:
        checkpoint: The weights with what their file says.
        choice: What the user says; it wins.

    Returns:
        The images, and a sentence for everything that was assumed.

    Raises:
        DataError: The images are not where they are looked for.
    """
    known = checkpoint.meta.get("data") or {}
    told = str(known.get("dataset", ""))
    if choice.dataset is None and told and told.split(":", maxsplit=1)[0] not in SOURCES:
        raise DataError(
            f"the checkpoint says that it was trained on {told!r}, which is no registered data set, and a file is not "
            f"trusted to name code. If you know it, say so: --dataset {told}"
        )
    options = choice.options(known)
    assumed = []
    if not known and choice.dataset is None:
        assumed.append(f"the checkpoint does not name its data set; assumed {options.dataset} (--dataset changes it)")
    if not known and choice.normalization is None:
        assumed.append(
            "the checkpoint does not say how its images were normalized; assumed the data set's own statistics "
            "(--normalization changes it)"
        )
    try:
        data = _loaded(options, choice, assumed)
    except DataError as error:
        if choice.dataset is None and ":" in options.dataset:
            raise DataError(
                f"the checkpoint was trained on {options.dataset}, of which only the name is kept. Say where it is: "
                f"--dataset {options.dataset.split(':')[0]}:PATH. ({error})"
            ) from error
        raise
    check_outputs(int(checkpoint.model_options.get("num_classes", len(data.classes))), data)
    if known and known.get("dataset") != data.name:
        constants = "the training" if choice.normalization is None else "the given"
        assumed.append(
            f"the network was trained on {known.get('dataset')} and is measured on {data.name}, normalized with "
            f"{constants} constants"
        )
    return data, assumed


def _loaded(options: DataOptions, choice: DataChoice, assumed: list[str]) -> ArrayDataset:
    try:
        return options.load(choice.split)
    except TooFewImagesError:
        if not choice.fewer:
            raise
    data = replace(options, limit=None).load(choice.split)
    assumed.append(
        f"there are {len(data)} {choice.split} images of {data.name}, fewer than {options.limit}; all are used"
    )
    return data


def subset_facts(data: ArrayDataset) -> dict[str, Any]:
    """Return what a recipe says of the images."""
    facts = data.describe() | {"classes": len(data.classes)}
    facts["data_seed"] = facts.pop("seed")  # a surface's own seed is that of its directions
    return facts
