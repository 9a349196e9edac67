"""Training here beside the loop that the labs use, in turns in one process.

The loop: a ``DataLoader`` over single images through ``ToTensor`` and ``Normalize``, float32, contiguous tensors, the
loss read by ``.item()`` in every step, a pass over the validation images after the epoch. A turn is one epoch from
the same weights over the same batches, so the step losses can be compared too. With ``--full-band`` the whole band of
``landscape train-variants`` is timed instead: six networks, four learning rates, 20 epochs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from common import Clock, Target, number
from limit import synchronize
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from landscape import devices, models
from landscape.datasets import ArrayDataset
from landscape.datasets.options import DataOptions
from landscape.progress import silent
from landscape.training import TrainConfig, TrainingData, VariantsConfig, train_variants
from landscape.training.trainer import Trainer

WANTED = {"fp32": 1.15, "bf16": 2.0}  # times as fast as the loop, on a CPU
BAND_SECONDS = 180.0  # all 24 runs of the band on an H200
COLUMNS = ("s/epoch", "min", "max", "ms/step", "loop over it", "validation loss")


class Images(Dataset[tuple[Tensor, int]]):
    """Single images as torchvision's data sets hand them out: PIL image, ``ToTensor``, ``Normalize``."""

    def __init__(self, data: ArrayDataset) -> None:
        from torchvision.transforms import Compose, Normalize, ToTensor

        plain = replace(data.transform, mean=(0.0,) * data.shape[0], std=(1.0,) * data.shape[0])
        pixels = (
            plain(data.images.cpu()).mul_(255).round_().to(torch.uint8)
        )  # padded, three channels, as a file of them
        self._arrays = np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())
        self._targets = data.targets.tolist()
        self._transform = Compose([ToTensor(), Normalize(data.transform.mean, data.transform.std)])

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self._transform(Image.fromarray(self._arrays[index])), self._targets[index]


@dataclass
class Epoch:
    """One turn.

    Args:
        seconds: Of the epoch and its validation.
        losses: Of its steps.
        validation: Loss on the validation images after it.
    """

    seconds: float
    losses: list[float]
    validation: float


@dataclass(eq=False)
class Loop:
    """The labs' loop.

    Args:
        config: The run.
        data: Its images.
        workers: Of the loader.
    """

    config: TrainConfig
    data: TrainingData
    workers: int

    def __post_init__(self) -> None:
        self.train, self.validation = Images(self.data.train), Images(self.data.validation)
        self._order = _orders(self.config, self.data)

    def turn(self) -> Epoch:
        """Train an epoch from the seeded weights, and validate."""
        c, device = self.config, self.data.train.device
        model = models.build(c.model, seed=c.seed).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=c.learning_rate, weight_decay=c.weight_decay)
        criterion, losses = nn.CrossEntropyLoss(), []
        synchronize(device)
        begun = Clock.now()
        loader = DataLoader(self.train, c.batch_size, sampler=self._order, num_workers=self.workers)
        model.train()
        for inputs, targets in loader:
            x, y = inputs.to(device), targets.to(device)
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        total = 0.0
        with torch.no_grad():
            for inputs, targets in DataLoader(self.validation, c.batch_size, num_workers=self.workers):
                x, y = inputs.to(device), targets.to(device)
                total += criterion(model(x), y).item() * len(y)
        return Epoch(Clock.now() - begun, losses, total / len(self.validation))


@dataclass(eq=False)
class Ours:
    """This package.

    Args:
        config: The run; ``precision`` is part of it.
        data: Its images.
    """

    config: TrainConfig
    data: TrainingData

    def turn(self) -> Epoch:
        """Train an epoch from the seeded weights, and validate."""
        trainer = Trainer(self.config, self.data, silent)
        synchronize(trainer.device)
        begun = Clock.now()
        with trainer.prepared():
            run = trainer.run()
        return Epoch(Clock.now() - begun, run.loss.tolist(), float(run.val_loss[-1]))


def _orders(config: TrainConfig, data: TrainingData) -> list[int]:
    """The order of the first epoch here, so that the loop sees the same batches."""
    steps = Trainer(config, data, silent).stepping()
    first = next(steps)
    rows = [first]
    count = data.steps(config, models.build(config.model))
    while len(rows) < count:
        rows.append(steps.send((torch.zeros(()), torch.zeros((), dtype=torch.int64))))
    steps.close()
    return torch.cat(rows).tolist()


@dataclass(eq=False)
class Outcome:
    """Turns by contender.

    Args:
        turns: In the order of the rounds.
    """

    turns: dict[str, list[Epoch]] = field(default_factory=dict)

    def seconds(self, name: str) -> dict[str, float]:
        """Of an epoch."""
        return common.spread(epoch.seconds for epoch in self.turns[name])

    def over(self, name: str) -> dict[str, float]:
        """How many times as long the loop takes, within rounds."""
        pairs = zip(self.turns["loop"], self.turns[name], strict=True)
        return common.spread(loop.seconds / own.seconds for loop, own in pairs)

    def difference(self, name: str) -> float:
        """Largest relative difference of the first steps' losses from the loop's; later ones amplify rounding."""
        pairs = zip(self.turns["loop"][0].losses[:3], self.turns[name][0].losses[:3], strict=True)
        return max(abs(own - loop) / abs(loop) for loop, own in pairs)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            name: {
                "seconds": self.seconds(name),
                "rounds": [epoch.seconds for epoch in epochs],
                "loop_over_it": self.over(name),
                "difference_from_loop": self.difference(name),
                "validation_loss": epochs[0].validation,
                "steps": len(epochs[0].losses),
            }
            for name, epochs in self.turns.items()
        }


def play(network: str, data: TrainingData, options: argparse.Namespace) -> tuple[Outcome, int]:
    """Time the loop and this package on one network; also say which number of loader workers was the quicker."""
    config = TrainConfig(
        network,
        epochs=1,
        batch_size=options.batch_size,
        device=options.device,
        data=_images(options),
        seed=options.seed,
    )
    loops = {workers: Loop(config, data, workers) for workers in (0, 2)}
    trials = {workers: loop.turn().seconds for workers, loop in loops.items()}  # untimed, for warmth as well
    workers = min(trials, key=lambda w: trials[w])
    runners: dict[str, Callable[[], Epoch]] = {"loop": loops[workers].turn}
    for precision in options.precisions.split(","):
        own = TrainConfig(**{**_fields(config), "precision": precision})
        runners[f"landscape {precision}"] = Ours(own, data).turn
        runners[f"landscape {precision}"]()
    outcome, order = Outcome({name: [] for name in runners}), random.Random(options.seed)
    for done in range(options.rounds):
        for name in order.sample(sorted(runners), len(runners)):
            outcome.turns[name].append(runners[name]())
        common.say(f"  {network}: round {done + 1} of {options.rounds}")
    return outcome, workers


def _fields(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def _images(options: argparse.Namespace) -> DataOptions:
    return DataOptions(options.dataset, root=options.data_root, limit=options.limit)


def full_band(options: argparse.Namespace) -> dict[str, Any]:
    """Train the band of the labs in full, records and checkpoints included.

    Args:
        options: Of the command line.

    Returns:
        Plain values.
    """
    with tempfile.TemporaryDirectory() as folder:
        networks = {"variants": tuple(options.networks.split(","))} if options.networks else {}
        shared = TrainConfig(
            epochs=options.epochs, batch_size=options.batch_size, device=options.device, data=_images(options),
            precision="bf16", out=Path(folder),
        )  # fmt: skip
        config = VariantsConfig(**networks, fuse=options.fuse, shared=shared)
        begun = time.perf_counter()
        runs = train_variants(config)
        seconds = time.perf_counter() - begun
    methods = {str(run.provenance["name"]): str(run.provenance["method"]) for run in runs}
    examples = int(runs[0].recipe["data"]["examples"])
    steps = sum(len(run.loss) for run in runs)
    found = {"runs": len(runs), "epochs": options.epochs, "examples": examples, "seconds": seconds, "steps": steps}
    common.show("Band", ("runs", "epochs", "images", "s", "steps/s"), [
        (str(len(runs)), str(options.epochs), f"{examples:,}", number(seconds), number(steps / seconds))
    ])  # fmt: skip
    return found | {"methods": methods}


def targets_of(result: dict[str, Any], device: torch.device, options: argparse.Namespace) -> list[Target]:
    """The promises, judged where they were measured as they were made.

    Args:
        result: What was found.
        device: Where.
        options: Of the command line.

    Returns:
        The targets.
    """
    vgg = result["networks"].get("vgg_bn", {})
    judged = device.type == "cpu" and not options.quick
    targets = [
        Target(
            f"vgg_bn on a CPU, {p}: loop over landscape", wanted, found["loop_over_it"]["median"] if judged else None
        )
        for p, wanted in WANTED.items()
        if (found := vgg.get("contenders", {}).get(f"landscape {p}"))
    ]
    band = result.get("band", {})
    whole = (band.get("runs"), band.get("epochs"), band.get("examples")) == (24, 20, 45_000)
    there = whole and device.type == "cuda" and "H200" in torch.cuda.get_device_name(device)
    return [*targets, Target("24 runs on an H200: seconds", BAND_SECONDS, band["seconds"] if there else None, False)]


def shown(network: str, outcome: Outcome) -> None:
    rows = []
    for name in outcome.turns:
        s, over, first = outcome.seconds(name), outcome.over(name), outcome.turns[name][0]
        cells = (s["median"], s["min"], s["max"], 1e3 * s["median"] / len(first.losses), over["median"])
        rows.append((name, *(number(cell) for cell in cells), number(first.validation)))
    common.show(f"{network}: one epoch and its validation", ("", *COLUMNS), rows)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--networks", help="registered names; by default vgg_bn, or all six of the band")
    parser.add_argument("--dataset", default="cifar10", help="its images; npz:FILE is one")
    parser.add_argument("--data-root", type=Path, help="where archives are")
    parser.add_argument("--limit", type=int, help="images; by default 2,560, or all with --full-band")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--rounds", type=int, help="by default 5")
    parser.add_argument("--threads", type=int, help="by default torch's own")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:i")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full-band", action="store_true", help="time train-variants in bf16 instead")
    parser.add_argument("--epochs", type=int, default=20, help="of the band")
    parser.add_argument("--fuse", default="auto", help="of the band: auto, on, off")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 200 images, 2 rounds")
    parser.add_argument("--out", type=Path, help="JSON file")
    Clock.option(parser)
    options = parser.parse_args(argv)
    Clock.choose(parser, options)
    options.rounds = options.rounds or (2 if options.quick else 5)
    if options.limit is None and not (options.full_band and not options.quick):
        options.limit = 200 if options.quick else 2_560
    return options


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    argv = sys.argv[1:] if argv is None else list(argv)
    options = parse(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = devices.resolve(options.device)
    result = common.header("training", argv, device, ("torchvision", "pillow"))
    result |= {"seed": options.seed, "quick": options.quick, "networks": {}}
    if options.full_band:
        result["band"] = full_band(options)
    else:
        data = TrainingData.of(TrainConfig(device=options.device, data=_images(options)))
        for network in (options.networks or "vgg_bn").split(","):
            outcome, workers = play(network, data, options)
            result["networks"][network] = {"loader_workers": workers, "contenders": outcome.as_json()}
            common.write(options.out, result)  # what a run has found so far survives its end
            shown(network, outcome)
    result["targets"] = targets_of(result, device, options)
    common.write(options.out, result)
    common.show_targets(result["targets"])
    return result


if __name__ == "__main__":
    main()
