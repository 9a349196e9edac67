"""Lending a network out and putting it back, and what its BatchNorm layers normalize with meanwhile.

``frozen`` uses the running statistics that the network came with, ``batch`` those of each evaluation batch, and
``recalibrated`` those that every layer's own input has over a calibration set once all layers below it use theirs.

What is said of BatchNorm layers here holds for other layers with batch statistics too, if they offer what
``BatchStatistics`` asks for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from landscape.errors import ObjectiveError, UsageError
from landscape.words import BN_MODES


@runtime_checkable
class BatchStatistics(Protocol):
    """What the BN modes need of a layer that is no BatchNorm and normalizes with statistics of its batch all the same.

    Its running statistics are buffers called ``running_...``, ``running_mean`` among them. Without them (None) it uses
    those of its batch; in training mode it uses those of its batch and moves the running ones towards them by
    ``momentum``, with 1 all the way. An input is ``(n, channels, ...)``.
    """

    running_mean: Tensor | None
    momentum: float

    def reset_running_stats(self) -> None:
        """Make the running statistics finite, whatever they were."""
        ...

    def gather(self, activations: Tensor, so_far: Any) -> Any:
        """Take one more batch of inputs into statistics over several, None at first."""
        ...

    def keep(self, gathered: Any) -> None:
        """Make what ``gather`` returned the running statistics."""
        ...


def batchnorm_layers(model: nn.Module) -> dict[str, BatchNorm]:
    """Return the layers of a network that have batch statistics, by name: BatchNorm and its relatives."""
    found = {n: module for n, module in model.named_modules() if isinstance(module, BatchNorm | BatchStatistics)}
    return cast("dict[str, BatchNorm]", found)  # what is used of one here, the other has too


@contextmanager
def borrowed(
    model: nn.Module, *, device: torch.device | None = None, channels_last: bool = False
) -> Iterator[nn.Module]:
    """Lend ``model`` out on storage of its own; on exit everything it came with is in place again.

    Parameters and buffers are replaced by copies, so the caller's tensors are never written to: on exit the originals
    come back, not their values. Gradients are set aside, and train flags, BatchNorm momenta, ``requires_grad`` and the
    states of the random number generators (torch, NumPy, Python) are put back too, also when the body raises.

    Args:
        model: The network. It stays on its device.
        device: Where the copies live; by default where the originals do.
        channels_last: Lay out four-dimensional weights as the fastest convolutions want them.

    Yields:
        The same network on its copies. It may be moved, trained or broken.
    """
    tensors, shelf = _tensors(model), _Shelf(model)
    rng = random_state()
    try:
        copies: dict[int, Tensor] = {}
        with torch.no_grad():
            for owner, name, tensor in tensors:
                if id(tensor) not in copies:
                    copies[id(tensor)] = _copy(tensor, device, channels_last)
                owner[name] = copies[id(tensor)]
        for parameter, original, _, _ in shelf.parameters:
            parameter.grad = None
            parameter.data = _copy(original, device, channels_last)
        yield model
    finally:
        shelf.restore()
        for owner, name, tensor in tensors:
            owner[name] = tensor
        restore_random_state(rng)


def _tensors(model: nn.Module) -> list[tuple[dict[str, Any], str, Tensor]]:
    """Where every buffer is held: (table, key, tensor)."""
    found: list[tuple[dict[str, Any], str, Tensor]] = []
    for module in model.modules():
        found += [(module._buffers, name, b) for name, b in module._buffers.items() if b is not None]
    return found


class _Shelf:
    """What a network came with: parameter storage, gradients, flags."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = [(p, p.data, p.grad, p.requires_grad) for p in model.parameters()]
        self._modes = [(module, module.training) for module in model.modules()]
        self._momenta = [(layer, layer.momentum) for layer in batchnorm_layers(model).values()]

    def restore(self) -> None:
        for parameter, data, grad, requires_grad in self.parameters:
            parameter.grad = None  # a gradient of another device would refuse the data
            parameter.data = data
            parameter.grad = grad
            parameter.requires_grad_(requires_grad)
        for module, training in self._modes:
            module.training = training
        for layer, momentum in self._momenta:
            layer.momentum = momentum


def _copy(tensor: Tensor, device: torch.device | None, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last and tensor.ndim == 4 else torch.preserve_format
    return tensor.detach().to(device=device, copy=True, memory_format=layout)


def random_state() -> tuple[Any, ...]:
    """Return the states of torch's, NumPy's and Python's generators, CUDA's where it is in use."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    return torch.get_rng_state(), cuda, np.random.get_state(), random.getstate()  # noqa: NPY002 - the caller's own


def restore_random_state(state: tuple[Any, ...]) -> None:
    """Put back what ``random_state`` returned."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state_all(state[1])
    np.random.set_state(state[2])  # noqa: NPY002
    random.setstate(state[3])


def apply_mode(model: nn.Module, mode: str) -> None:
    """Put a borrowed network into evaluation mode with the BatchNorm statistics of ``mode``.

    Dropout is off in every mode. In ``batch`` mode the running statistics are taken away, which makes a layer use its
    input's without updating anything. ``recalibrated`` starts as ``frozen``; ``recalibrate`` then fills the statistics.

    Args:
        model: A network inside ``borrowed``.
        mode: ``frozen``, ``batch`` or ``recalibrated``.

    Raises:
        UsageError: ``mode`` is another word.
        ObjectiveError: A layer keeps no running statistics and the mode needs them.
    """
    if mode not in BN_MODES:
        raise UsageError(f"there is no BN mode {mode!r}; known: {', '.join(BN_MODES)}")
    model.eval()
    for name, layer in batchnorm_layers(model).items():
        if mode == "batch":
            for buffer in [b for b in layer._buffers if b.startswith("running_")]:
                setattr(layer, buffer, None)
        elif layer.running_mean is None:
            raise ObjectiveError(
                f"BatchNorm layer {name!r} keeps no running statistics, so BN mode {mode!r} has nothing to use. "
                "Measure in mode 'batch', or build the network with track_running_stats=True."
            )


def recalibrate(model: nn.Module, batches: Sequence[Any], forward: Callable[[Any], Any], *, used: int = 0) -> int:
    """Fill the running statistics of every layer with those of its own input over ``batches``.

    Each layer's mean and population variance (divided by n) are taken when all layers below already use theirs. With
    one batch a single pass in training mode gives exactly that; with more, layers are done one after the other,
    because pooling a batched training-mode pass mixes statistics of differently normalized inputs.

    Args:
        model: A borrowed network in evaluation mode.
        batches: The calibration set, whatever ``forward`` takes.
        forward: Runs the network on one batch.
        used: How many layers a pass uses, where an earlier call found it: a single pass then ends with the last of
            them. Zero sees every pass to its end, and so finds a layer that is used twice.

    Returns:
        How many layers a pass uses.

    Raises:
        ObjectiveError: A layer is used more than once in a pass, so it has no single input.
    """
    layers = batchnorm_layers(model)
    if not layers:
        return 0
    if len(batches) == 1:
        return _one_pass(layers, lambda: forward(batches[0]), used)
    order = _order(layers, lambda: forward(batches[0]))
    for layer in order:
        _set_statistics(layer, batches, forward)
    return len(order)


def check_single_use(model: nn.Module, run: Callable[[], Any]) -> None:
    """Refuse a network whose recalibrated statistics are not defined.

    Args:
        model: A borrowed network.
        run: Runs it once.

    Raises:
        ObjectiveError: A layer is used more than once in a pass, so it has no single input.
    """
    _order(batchnorm_layers(model), run)


def _one_pass(layers: dict[str, BatchNorm], run: Callable[[], Any], used: int) -> int:
    """Momentum 1 makes the running statistics the batch's; torch stores the variance divided by n - 1."""
    sizes: dict[BatchNorm, int] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        _once(layers, layer, sizes)
        sizes[layer] = inputs[0].numel() // inputs[0].shape[1]  # type: ignore[index]

    def leave(*_: Any) -> None:
        if len(sizes) == used:
            raise _Reached  # what follows the last layer is not needed

    hooks = [layer.register_forward_pre_hook(note) for layer in layers.values()]
    hooks += [layer.register_forward_hook(leave) for layer in layers.values() if used]
    momenta = {layer: layer.momentum for layer in layers.values()}
    try:
        for layer in layers.values():
            layer.reset_running_stats()  # 0 * NaN is NaN: an earlier cell that diverged must not reach this one
            layer.momentum, layer.training = 1.0, True
        with suppress(_Reached):
            run()
    finally:
        for hook in hooks:
            hook.remove()
        for layer, momentum in momenta.items():
            layer.momentum, layer.training = momentum, False
    for layer, n in sizes.items():
        if isinstance(layer, BatchNorm) and layer.running_var is not None:
            layer.running_var.mul_((n - 1) / n)
    return len(sizes)


def _once(layers: dict[str, BatchNorm], layer: nn.Module, seen: Any) -> None:
    if layer in seen:
        name = next(n for n, candidate in layers.items() if candidate is layer)
        raise ObjectiveError(
            f"BatchNorm layer {name!r} is used more than once in a forward pass, so its recalibrated statistics are "
            "not defined. Measure in mode 'frozen' or 'batch'."
        )


def _order(layers: dict[str, BatchNorm], run: Callable[[], Any]) -> list[BatchNorm]:
    """Layers in the order in which a pass reaches them; one that it never reaches is left out."""
    reached: dict[BatchNorm, None] = {}

    def note(layer: nn.Module, _: Any) -> None:
        _once(layers, layer, reached)
        reached[layer] = None  # type: ignore[index]

    hooks = [layer.register_forward_pre_hook(note) for layer in layers.values()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return list(reached)


class _Reached(Exception):  # noqa: N818 - it reports, it is no error
    pass


def _set_statistics(layer: BatchNorm, batches: Sequence[Any], forward: Callable[[Any], Any]) -> None:
    other: BatchStatistics | None = None if isinstance(layer, BatchNorm) else layer
    gathered: Any = None

    def collect(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal gathered
        gathered = _gather(inputs[0], gathered) if other is None else other.gather(inputs[0], gathered)
        raise _Reached  # layers above are not needed

    hook = layer.register_forward_pre_hook(collect)
    try:
        for batch in batches:
            try:
                forward(batch)
            except _Reached:
                continue
    finally:
        hook.remove()
    if other is not None:
        other.keep(gathered)
        return
    count, mean, squares = gathered
    assert layer.running_mean is not None and layer.running_var is not None
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(squares / count)


def _gather(inputs: Tensor, so_far: tuple[int, Tensor, Tensor] | None) -> tuple[int, Tensor, Tensor]:
    """Values per channel, their mean, and the sum of squares about it, over one more batch."""
    x = inputs.detach().double().transpose(0, 1).reshape(inputs.shape[1], -1)
    n, batch_mean = x.shape[1], x.mean(dim=1)
    batch_squares = (x - batch_mean[:, None]).square().sum(dim=1)
    if so_far is None:
        return n, batch_mean, batch_squares
    count, mean, squares = so_far  # Chan, Golub and LeVeque 1983: merging keeps what a sum of squares loses
    delta, total = batch_mean - mean, count + n
    mean = mean + delta * (n / total)
    return total, mean, squares + batch_squares + delta.square() * (count * n / total)
