"""A network lent out for measuring: write parameters into it, read losses of all examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from landscape.errors import ObjectiveError, ShapeError
from landscape.records import Measurement
from landscape.space import Params, apply_mode, check_single_use, recalibrate

_PROBED = 2  # examples of a probe: batch statistics of one may not exist
_MISFIT = (  # torch's words for tensors that do not fit each other
    "cannot be multiplied",
    "size mismatch",
    "must match the",
    "expected input",
    "Expected 3D",
    "is invalid for input of size",
    "input size",  # smaller than a kernel
    "scalar type",
    "same dtype",
)


@dataclass(frozen=True)
class Examples:
    """What one evaluation says of every example.

    Args:
        losses: Per-example losses, float64, shape ``(..., n)``; leading dimensions are several points.
        correct: True where the target class had the largest output, same shape; None without classes.
    """

    losses: Tensor
    correct: Tensor | None

    def statistics(self, center: Tensor | None = None) -> Tensor:
        """Reduce to four float64 numbers on the device, so that nothing waits for a transfer.

        Args:
            center: Per-example losses of the center.

        Returns:
            Loss, its standard error, the paired standard error of ``loss - center``, accuracy; NaN where undefined.
            Shape ``(..., 4)``.
        """
        n, x = self.losses.shape[-1], self.losses
        nan = torch.full(x.shape[:-1], torch.nan, dtype=torch.float64, device=x.device)
        sem = x.std(-1) / n**0.5 if n > 1 else nan
        paired = (x - center).std(-1) / n**0.5 if center is not None and n > 1 else nan
        accuracy = nan if self.correct is None else self.correct.double().mean(-1)
        return torch.stack([x.mean(-1), sem, paired, accuracy], dim=-1)


class Session:
    """Made by ``Objective.session``; valid inside its ``with`` block.

    Attributes:
        settled: Entered for an evaluation whose statistics have just been recalibrated.

    Args:
        model: The borrowed network.
        batches: Inputs and targets on the device.
        per_example: Losses of a batch.
        bn: BN mode.
        calibration: Batches for ``recalibrated``; None takes the evaluation inputs.
        calibrates_itself: Whether the one evaluation batch is the calibration set too. Then every layer normalizes
            with the statistics of the very input that it has, and ``recalibrated`` takes the one pass of ``batch``.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: list[tuple[Any, Tensor]],
        per_example: Callable[[Any, Tensor], Any],
        bn: str,
        calibration: list[Any] | None,
        *,
        calibrates_itself: bool = False,
    ) -> None:
        self.model = model
        self.parameters = dict(model.named_parameters())
        self.batches, self._per_example = batches, per_example
        self._calibration = [x for x, _ in batches] if calibration is None else calibration
        self.recalibrated = bn == "recalibrated" and not calibrates_itself
        self.settled: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.live_statistics = bn != "frozen"
        apply_mode(model, bn)
        self._uses_unchecked, self._used = calibrates_itself, 0
        if calibrates_itself:
            apply_mode(model, "batch")

    def load(self, params: Params) -> None:
        """Write parameters into the borrowed network.

        Args:
            params: Tensors under the network's names; those left out stay as they are.
        """
        for name, tensor in params.items():
            self.parameters[name].data.copy_(tensor)

    def examples(self) -> Examples:
        """Evaluate all examples at the present parameters.

        Returns:
            Per-example losses and correctness, on the device.
        """
        if self._uses_unchecked:
            check_single_use(self.model, self.probe)
            self._uses_unchecked = False
        if self.recalibrated:
            self._used = recalibrate(self.model, self._calibration, self._forward, used=self._used)
        with self.settled() if self.recalibrated else nullcontext():
            parts = [self.judge(self._forward(inputs), targets) for inputs, targets in self.batches]
        hits = [p.correct for p in parts if p.correct is not None]
        return Examples(torch.cat([p.losses for p in parts]), torch.cat(hits) if len(hits) == len(parts) else None)

    def judge(self, outputs: Any, targets: Tensor) -> Examples:
        """Compare a batch's outputs with its targets.

        Args:
            outputs: What the network returned.
            targets: The batch's targets.

        Returns:
            Per-example losses and correctness.
        """
        return Examples(_checked(self._per_example(outputs, targets), targets), correct(outputs, targets))

    def probe(self) -> None:
        """Run the network on a few examples, for the sake of its hooks."""
        self._forward(tree_map(lambda t: t[:_PROBED], self.batches[0][0]))

    def measure(self) -> Measurement:
        """Evaluate at the present parameters.

        Returns:
            The measurement.
        """
        examples = self.examples()
        loss, sem, _, accuracy = examples.statistics().tolist()
        return Measurement(loss, sem, accuracy, len(examples.losses))

    def check_deterministic(self) -> Examples:
        """Evaluate twice and refuse an objective that changes from call to call.

        Returns:
            The evaluation.

        Raises:
            ObjectiveError: The two differ, or the forward pass draws random numbers.
        """
        state = torch.get_rng_state()
        first = self.examples()
        draws = not torch.equal(state, torch.get_rng_state())
        second = self.examples()
        a, b = first.losses, second.losses
        tolerance = 1e-6 * float(torch.nan_to_num(a, nan=0.0, posinf=0.0, neginf=0.0).abs().mean())
        gap = torch.nan_to_num(a - b, nan=0.0).abs()
        same_kind = torch.equal(torch.isnan(a), torch.isnan(b))
        if draws or not same_kind or float(gap.mean()) > tolerance:
            raise ObjectiveError(
                f"the loss changes from call to call at the same parameters ({float(a.mean()):.6g}, then "
                f"{float(b.mean()):.6g})"
                + ("; the forward pass draws random numbers" if draws else "")
                + ". A surface of it would be a picture of the noise. Dropout modules are switched off already: look "
                "for functional dropout with training=True, augmentation or sampling inside forward() or the loss."
            )
        return first

    def _forward(self, inputs: Any) -> Any:
        try:
            if isinstance(inputs, Tensor):
                return self.model(inputs)
            return self.model(**inputs) if isinstance(inputs, Mapping) else self.model(*inputs)
        except RuntimeError as error:
            if not any(text in str(error) for text in _MISFIT):
                raise  # memory that ran out, or the network's own words
            raise ShapeError(
                f"the network {type(self.model).__name__} cannot take inputs of {_described(inputs)}: "
                f"{str(error).strip().splitlines()[0].rstrip('.')}. Give inputs of the size that it was made for."
            ) from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ObjectiveError(
                "a BatchNorm layer sees one value per channel in a batch, which has no variance: use more examples or "
                "a larger batch, or BN mode 'frozen'"
            ) from error


def _described(inputs: Any) -> str:
    tensors = [inputs] if isinstance(inputs, Tensor) else inputs.values() if isinstance(inputs, Mapping) else inputs
    return ", ".join(f"{str(t.dtype).removeprefix('torch.')} of shape {tuple(t.shape)}" for t in tensors)


def _checked(losses: Any, targets: Tensor) -> Tensor:
    if not isinstance(losses, Tensor) or losses.shape != (len(targets),):
        found = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else f"a {type(losses).__name__}"
        raise ObjectiveError(
            f"the loss returned {found} for {len(targets)} examples; one number per example is "
            "needed, shape (n,): torch's losses give it with reduction='none'"
        )
    return losses.double()


def correct(outputs: Any, targets: Tensor) -> Tensor | None:
    """Say which examples are classified right.

    Args:
        outputs: Logits, shape ``(n, classes)``.
        targets: Classes, int64 of shape ``(n,)``.

    Returns:
        Truth values, shape ``(n,)``; False where an output is NaN. None where there are no classes.
    """
    if targets.dtype != torch.int64 or targets.ndim != 1 or not isinstance(outputs, Tensor) or outputs.ndim != 2:
        return None
    hits = outputs.argmax(dim=1) == targets
    return hits & ~outputs.isnan().any(dim=1)  # argmax of NaN is an index all the same
