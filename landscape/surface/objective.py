"""An objective: network + data + loss + BN mode, which turns parameters into a measurement.

The data are moved to the device once. A ``Session`` lends the network out for as long as many points are measured; the
caller's network stays where it is and as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from itertools import pairwise
from operator import itemgetter
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from landscape import devices, losses
from landscape.errors import LayoutError, ObjectiveError, UsageError
from landscape.records import Measurement
from landscape.space import Params, batchnorm_layers, borrowed, check_layout, parameters_of, tensor_hash
from landscape.surface.session import Session
from landscape.words import BN_MODES, PRECISIONS

Inputs = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]
T = TypeVar("T")

_BATCH, _GPU_BATCH = 512, 4096  # largest batches that nobody asked for
_WORDS = {torch.float64: "fp64", torch.bfloat16: "bf16 parameters", torch.float16: "fp16 parameters"}


class Objective:
    """The loss of a network on fixed data, as a function of its parameters.

    Args:
        model: The network. It stays on its device and is never changed.
        inputs: A tensor, or a tuple or mapping of tensors of one length, which the network takes as arguments.
        targets: Targets, first dimension as long as the inputs.
        loss: A name (``landscape.losses.names()``), or a callable ``(outputs, targets) -> (n,)`` losses.
        bn: BN mode: ``frozen``, ``batch`` or ``recalibrated``.
        batch_size: Largest batch; batches are near-equal in size. In mode ``batch`` it is part of the value. None takes
            512, and 4,096 on a GPU where no value depends on it.
        calibration: Inputs for the statistics of mode ``recalibrated``; None takes the evaluation inputs.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        precision: ``fp32``, ``tf32`` or ``bf16``; a float64 network stays float64.

    Raises:
        UsageError: An option has no such value, or there are no examples.
        LayoutError: Inputs and targets differ in length.
        ObjectiveError: A calibration set is given and the mode does not use it.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        targets: Tensor,
        *,
        loss: str | losses.PerExampleLoss = "cross_entropy",
        bn: str = "frozen",
        batch_size: int | None = None,
        calibration: Inputs | None = None,
        device: str | torch.device = "auto",
        precision: str = "fp32",
    ) -> None:
        if bn not in BN_MODES:
            raise UsageError(f"there is no BN mode {bn!r}; known: {', '.join(BN_MODES)}")
        if precision not in PRECISIONS:
            raise UsageError(f"there is no precision {precision!r}; known: {', '.join(PRECISIONS)}")
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"a batch holds at least one example; got batch_size={batch_size}")
        if calibration is not None and bn != "recalibrated":
            raise ObjectiveError(f"a calibration set was given, which BN mode {bn!r} does not use")
        self.examples = _length(inputs, "inputs")
        if self.examples == 0 or len(targets) != self.examples:
            raise LayoutError(f"{self.examples} inputs and {len(targets)} targets: equal numbers above zero are needed")
        if calibration is not None and _length(calibration, "calibration inputs") == 0:
            raise LayoutError("the calibration set is empty; calibration=None takes the evaluation inputs")
        self.model = model
        self.bn, self.precision = bn, precision
        self.device = devices.resolve(device)
        roomy = self.device.type == "cuda" and (self.batch_is_free or bn == "recalibrated")
        self.batch_size = batch_size or (_GPU_BATCH if roomy else _BATCH)
        self.loss_name, self._loss = losses.resolve(loss)
        self._named_loss = isinstance(loss, str)
        self._data_hash = _hash(inputs) + _hash(targets)
        self._calibration_hash = None if calibration is None else _hash(calibration)
        self.channels_last = any(isinstance(m, nn.Conv2d) for m in model.modules())
        self._inputs, self._targets = self._place(inputs), self._place(targets)
        self._calibration = None if calibration is None else self._place(calibration)

    @property
    def center(self) -> dict[str, Tensor]:
        """Parameters of the network, detached, by name; they share its storage."""
        return parameters_of(self.model)

    @property
    def recipe(self) -> dict[str, Any]:
        """What a value depends on, as plain values."""
        buffers = {f"buffer.{name}": b for name, b in self.model.named_buffers()}
        batchnorm = bool(batchnorm_layers(self.model))
        recipe: dict[str, Any] = {
            "network": type(self.model).__qualname__,
            "model_hash": tensor_hash(self.center | buffers),
            "data_hash": self._data_hash,
            "examples": self.examples,
            "loss": self.loss_name,
            "bn": self.bn,
            "has_batchnorm": batchnorm,
            "precision": _WORDS.get(self._dtype, self.precision),
        }
        if self.bn == "batch" and batchnorm:
            parts = -(-self.examples // self.batch_size)
            recipe["batch_size"] = -(-self.examples // parts)  # of the largest: what the statistics are of
        if self.bn == "recalibrated":
            recipe["calibration"] = self._calibration_hash or "evaluation inputs"
        return recipe

    def __call__(self, params: Params) -> Measurement:
        """Measure the loss at ``params``.

        Args:
            params: Tensors under the network's parameter names.

        Returns:
            Loss, its standard error, accuracy, number of examples.
        """
        check_layout(params, self.center, what="the point")
        with self.session() as session:
            session.load(params)
            return session.measure()

    def in_batches_of(self, batch_size: int) -> Objective:
        """Return this objective with another batch size; network and data are shared."""
        twin = copy(self)
        twin.batch_size = batch_size
        return twin

    def in_precision(self, precision: str) -> Objective:
        """Return this objective in another precision; network and data are shared."""
        twin = copy(self)
        twin.precision = precision
        return twin

    def same_but_for_mode(self, other: Objective) -> bool:
        """Whether another objective differs in its BN mode at most."""
        alike = ("examples", "precision", "device", "loss_name", "_data_hash")
        whole = self.batch_size >= self.examples and other.batch_size >= other.examples
        batches = whole or self.batch_size == other.batch_size
        return self._loss is other._loss and batches and all(getattr(self, k) == getattr(other, k) for k in alike)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend the network out, on this objective's device and data.

        Yields:
            A session; it starts at the center.
        """
        precision = "fp32" if self._dtype == torch.float64 else self.precision
        with (
            borrowed(self.model, device=self.device, channels_last=self.channels_last) as model,
            devices.exact_products(precision),
            devices.autocast(self.device, precision),
            torch.inference_mode(),
        ):
            batches = list(zip(self._split(self._inputs), self._split(self._targets), strict=True))
            calibration = None if self._calibration is None else self._split(self._calibration)
            yield Session(
                model,
                batches,
                self._per_example,
                self.bn,
                calibration,
                calibrates_itself=self.calibrates_itself,
            )

    @property
    def calibrates_itself(self) -> bool:
        """Whether the calibration set of ``recalibrated`` is the one evaluation batch."""
        return self.bn == "recalibrated" and self._calibration is None and self.examples <= self.batch_size

    @property
    def batch_is_free(self) -> bool:
        """Whether no value depends on the batch size."""
        return self.bn == "frozen" or not batchnorm_layers(self.model)

    @property
    def arithmetic(self) -> str:
        """How products are rounded: ``fp64``, ``fp32``, ``tf32`` or ``bf16``; so are half-precision parameters."""
        kinds = {torch.float64: "fp64", torch.float32: self.precision}
        return kinds.get(self._dtype, "bf16")

    @property
    def reduced(self) -> bool:
        """Whether float32 parameters are multiplied in a lower precision."""
        return self.precision != "fp32" and self._dtype == torch.float32

    @property
    def lowered(self) -> bool:
        """Whether the network computes in bfloat16 from float32 parameters."""
        return self.precision == "bf16" and self._dtype == torch.float32

    @property
    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)

    def _per_example(self, outputs: Any, targets: Tensor) -> Any:
        """Losses; the named ones are computed in float64, where rounding of tiny losses would show."""
        if self._named_loss:
            outputs = outputs.double()
            targets = targets.double() if targets.is_floating_point() else targets
        return self._loss(outputs, targets)

    def _place(self, tree: Any) -> Any:
        """Copy to the device: floats in the network's dtype, images laid out as convolutions want them."""
        # a copy also where nothing changes: a forward pass may write into its input

        def place(t: Tensor) -> Tensor:
            dtype = self._dtype if t.is_floating_point() else t.dtype
            layout = torch.channels_last if self.channels_last and t.ndim == 4 else torch.preserve_format
            return t.detach().to(device=self.device, dtype=dtype, memory_format=layout, copy=True)

        return _map(tree, place)

    def _split(self, tree: Any) -> list[Any]:
        """Near-equal batches of at most ``batch_size`` examples."""
        n = _length(tree, "inputs")
        parts = -(-n // self.batch_size)
        bounds = [n * i // parts for i in range(parts + 1)]
        return [_map(tree, itemgetter(slice(a, b))) for a, b in pairwise(bounds)]


def _map(tree: Any, change: Callable[[Tensor], T]) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {name: change(t) for name, t in tree.items()}
    return tuple(change(t) for t in tree)


def _length(tree: Any, what: str) -> int:
    tensors = [tree] if isinstance(tree, Tensor) else list(tree.values() if isinstance(tree, Mapping) else tree)
    lengths = {len(t) for t in tensors}
    if len(lengths) != 1:
        raise LayoutError(f"{what} need one length; got {sorted(lengths) or 'nothing'}")
    return lengths.pop()


def _hash(tree: Any) -> str:
    if isinstance(tree, Tensor):
        return tensor_hash({"": tree})
    return tensor_hash(tree if isinstance(tree, Mapping) else {str(i): t for i, t in enumerate(tree)})
