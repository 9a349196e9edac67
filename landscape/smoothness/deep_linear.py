"""The paper's deep linear networks: regression of ``A x`` by 25 square layers, in full batches, probed on the way.

What the paper says: 25 layers of 10 x 10, ``x`` Gaussian, ``A`` with independent Gaussian entries, 1000 examples in
one batch, squared error, Glorot initialisation, 10,000 steps of gradient descent at 1e-6 (and 1e-7). What is ours: the
loss is the *sum* of squared errors over outputs and examples, without a factor; ``x`` and the entries of ``A`` have
variance 1; layers have no bias; BatchNorm with gamma and beta follows every layer, the last one too; Glorot's normal
distribution; float64. The sum is what the size of the published losses tells: a network whose outputs are of order 1
starts at about 1000 x 10 x (10 + 1), some 10^5, and 10^4.9 is what the paper's figure shows with BatchNorm.

Source: Santurkar et al. 2018, arXiv:1805.11604, sections 2.1 and 3.2, figure 10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape import devices, models, weights
from landscape.environment import environment
from landscape.errors import UsageError
from landscape.progress import Progress, Report, silent
from landscape.records import SmoothnessTrace
from landscape.smoothness.covariate_shift import Layer
from landscape.smoothness.line_search import checked_step_sizes
from landscape.smoothness.mini_batch import PROTOCOL
from landscape.smoothness.table import ProbeTable
from landscape.storage import check_recipe, save, save_checkpoint, stored_record

STEP_SIZES = (1e-8, 1e-7, 1e-6, 1e-5, 3.16e-5)  # as the vector data of figure 11 has them
_KEPT = 10  # probes from one checkpoint to the next


def total_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error, scaled so that its mean over the examples is the sum over examples and outputs.

    Args:
        outputs: Shape ``(n, width)``.
        targets: Of the same shape.

    Returns:
        ``n`` times the squared distance of every example, shape ``(n,)``.
    """
    return len(outputs) * (outputs - targets).square().sum(dim=1)


@dataclass(frozen=True)
class DeepLinearConfig:
    """Settings of one run.

    Args:
        model: ``dln`` or ``dln_bn``.
        learning_rate: Learning rate of gradient descent on the summed loss.
        steps: Updates.
        seed: Seed of initial weights.
        data_seed: Seed of ``x`` and ``A``.
        examples: Number of ``x``; all make one batch.
        width: Entries of ``x`` and of ``A x``.
        depth: Layers.
        init: Initialisation.
        every: Steps from one probe to the next; the first is at step 0.
        step_sizes: The step sizes ``eta`` of the probes.
        layers: Layers whose internal covariate shift is measured.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.

    Raises:
        UsageError: A number is out of range.
    """

    model: str = "dln"
    learning_rate: float = 1e-6
    steps: int = 10_000
    seed: int = 0
    data_seed: int = 0
    examples: int = 1000
    width: int = 10
    depth: int = 25
    init: str = "xavier"
    every: int = 100
    step_sizes: Sequence[float] = STEP_SIZES
    layers: Sequence[Layer] = ()
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check the numbers, and make tuples of lists."""
        if min(self.steps, self.examples, self.every) < 1:
            found = f"{self.steps}, {self.examples} and {self.every}"
            raise UsageError(f"steps, examples and steps between probes are at least 1; got {found}")
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"a learning rate is a number above zero; got {self.learning_rate}")
        object.__setattr__(self, "step_sizes", checked_step_sizes(self.step_sizes))
        object.__setattr__(self, "layers", tuple(self.layers))

    @property
    def recipe(self) -> dict[str, Any]:
        """What the values depend on."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if k != "device"}
        probe = {name: plain.pop(name) for name in ("every", "step_sizes", "layers")}
        fixed = {"loss": "squared error, summed over outputs and examples", "optimizer": "sgd", "precision": "fp64"}
        return {**plain, **fixed, "probe": {**probe, **PROTOCOL}}


def vectors(config: DeepLinearConfig) -> tuple[Tensor, Tensor]:
    """Draw the data: ``x`` and ``A x``.

    Args:
        config: Seed, number and width.

    Returns:
        Inputs and targets, float64 of shape ``(examples, width)``, on the CPU.
    """
    key = hashlib.sha256(f"deep linear data {config.data_seed}".encode()).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(key[:8], "big") >> 1)
    matrix = torch.randn(config.width, config.width, dtype=torch.float64, generator=generator)
    inputs = torch.randn(config.examples, config.width, dtype=torch.float64, generator=generator)
    return inputs, inputs @ matrix.T


def train_deep_linear(
    config: DeepLinearConfig, *, path: Path | None = None, progress: Report | None = None
) -> SmoothnessTrace:
    """Train a deep linear network by gradient descent in full batches, and probe it on the way.

    Beside the trace's file lies a checkpoint of weights and probes, written every ten probes, until the run is
    finished: a run that was stopped goes on from there, and gives the bits of one that was not. A run that diverges
    goes on with infinite and undefined losses: they are what was measured.

    Args:
        config: All settings.
        path: The trace's file; what it holds of these settings is returned without training. None keeps nothing.
        progress: Called with a ``Progress`` at probes.

    Returns:
        The trace.

    Raises:
        ResumeError: The file holds a trace of other settings, or the checkpoint beside it is of another run.
        StorageError: A file cannot be written; what was there before is untouched.
    """
    stored = stored_record(path, SmoothnessTrace, config.recipe)
    if stored is not None:
        _forget(path)
        return stored
    device, report = devices.resolve(config.device), progress or silent
    options = {"width": config.width, "depth": config.depth, "init": config.init, "seed": config.seed}
    model = models.build(config.model, **options).to(device=device, dtype=torch.float64)
    inputs, targets = (t.to(device) for t in vectors(config))
    optimizer = torch.optim.SGD(model.parameters(), lr=config.learning_rate)
    table = ProbeTable(config.step_sizes, tuple(config.layers), loss=total_squared_error)
    begun, threads = _take_up(config, path, model, table)
    with devices.threads(threads):
        for step in range(begun, config.steps):
            probed = step % config.every == 0
            after = table.probe(step, model, inputs, targets) if probed else None
            _update(model, optimizer, inputs, targets)
            if after is not None:
                after()
            if probed:
                seconds = table.seconds_left(step + 1 - begun, config.steps - begun)
                report(Progress(step + 1, config.steps, "step", seconds, config.model))
            if path is not None and (step + 1) % (_KEPT * config.every) == 0 and step + 1 < config.steps:
                state = {"made": step + 1, "threads": threads, "probes": table.state()}
                facts = {"recipe": config.recipe}
                save_checkpoint(unfinished(path), model, model_name=config.model, meta=facts, training=state)
    made = environment(devices.describe(device))
    trace = table.trace(recipe=config.recipe, environment=made, provenance={"name": config.model})
    if path is not None:
        save(trace, path)
    _forget(path)
    return trace


def unfinished(path: Path) -> Path:
    """Name the checkpoint of a run that is not finished.

    Args:
        path: The file of its trace.

    Returns:
        The file beside it.
    """
    return path.with_suffix(".pth")


def steps_made(config: DeepLinearConfig, path: Path | None) -> int:
    """Count the steps that need not be made again.

    Args:
        config: All settings.
        path: The trace's file.

    Returns:
        All steps where the trace is there, else those behind its checkpoint.

    Raises:
        ResumeError: One of the two is of another run.
    """
    if stored_record(path, SmoothnessTrace, config.recipe) is not None:
        return config.steps
    kept = _kept(config, path)
    return int(kept["training"]["made"]) if kept else 0


def _kept(config: DeepLinearConfig, path: Path | None) -> dict[str, Any]:
    """What the checkpoint holds; nothing where there is none."""
    if path is None or not unfinished(path).exists():
        return {}
    content = weights.read(unfinished(path))
    check_recipe(unfinished(path), content.get("landscape", {}).get("recipe", {}), config.recipe)
    return content


def _take_up(config: DeepLinearConfig, path: Path | None, model: nn.Module, table: ProbeTable) -> tuple[int, int]:
    """Go on from the checkpoint, if there is one; return the steps made and the CPU threads that they were made by."""
    kept = _kept(config, path)
    if not kept:
        return 0, torch.get_num_threads()
    model.load_state_dict(kept["state_dict"])
    table.load(kept["training"]["probes"])
    return int(kept["training"]["made"]), int(kept["training"]["threads"])


def _forget(path: Path | None) -> None:
    """Remove the checkpoint of a finished run."""
    if path is not None:
        unfinished(path).unlink(missing_ok=True)


def _update(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    total_squared_error(model(inputs), targets).mean().backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def medians(trace: SmoothnessTrace, *, first: int = 0, last: int = 1000) -> dict[str, float]:
    """Take the medians that figure 10 of the paper is read by.

    Args:
        trace: A probed run.
        first: First step.
        last: Last step.

    Returns:
        log10 of the median over steps of the largest loss, the largest change of the gradient and
        ``beta_smoothness``; infinite where that is.
    """
    window = (trace.step >= first) & (trace.step <= last)
    curves = {
        "loss": trace.loss.max(axis=1),
        "gradient_distance": trace.gradient_distance.max(axis=1),
        "beta_smoothness": trace.beta_smoothness,
    }
    return {name: float(np.log10(np.median(values[window]))) for name, values in curves.items()}
