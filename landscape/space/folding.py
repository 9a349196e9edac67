"""Folding BatchNorm layers with fixed statistics into the convolutions and linear layers before them.

With running statistics a BatchNorm layer is an affine map of each channel, so ``scale * (w * x + b) + shift`` is a
convolution with weights ``scale * w``. The weights stay linear in the multipliers of a plane as long as nothing moves
the BatchNorm layer itself: center and directions are scaled once, and the layer is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from landscape.space.batchnorm import batchnorm_layers

_PRODUCERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_FOLDABLE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Fold:
    """How parameters change when layers are folded: ``scale * parameter + shift``.

    Args:
        scale: Factors by parameter name, broadcast over the tensor's first dimension.
        shift: What is added, by parameter name; biases only.
        layers: Names of the BatchNorm layers that are gone.
    """

    scale: dict[str, Tensor] = field(default_factory=dict)
    shift: dict[str, Tensor] = field(default_factory=dict)
    layers: tuple[str, ...] = ()

    def apply(self, name: str, tensor: Tensor, *, shift: bool = True) -> None:
        """Change a tensor in place as its parameter changes.

        Args:
            name: The parameter's name; others are left alone.
            tensor: Values of a point, or of a direction.
            shift: Whether to add the shift; a direction takes the scale only.
        """
        if name in self.scale:
            tensor.mul_(self.scale[name])
        if shift and name in self.shift:
            tensor.add_(self.shift[name])


@contextmanager
def folded(model: nn.Module, run: Callable[[], Any], moving: Collection[str]) -> Iterator[Fold]:
    """Take BatchNorm layers out of a borrowed network in evaluation mode; on exit they are back.

    A layer is folded where its input is the very output of a plain convolution or linear layer, both are used once
    in a pass, neither has hooks or shared parameters, and ``moving`` holds nothing of the BatchNorm layer. Parameter
    values are folded too and stay so: the borrower's storage is given up afterwards. A use of the unnormalized
    output elsewhere in ``forward`` cannot be seen, so the caller compares losses before it relies on the outcome.

    Args:
        model: A network inside ``borrowed``.
        run: Runs it once.
        moving: Names of the parameters that will be written to.

    Yields:
        How parameters changed.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    labels = {layer: name for name, layer in batchnorm_layers(model).items()}
    chains = [(p, bn) for p, bn in _chains(model, run) if not _moves(bn, names, moving)]
    fold = Fold(layers=tuple(labels[bn] for _, bn in chains))
    extra: list[Any] = []
    places = [(m._modules, k, c) for m in model.modules() for k, c in m._modules.items() if c in {b for _, b in chains}]
    try:
        for producer, layer in chains:
            scale, shift = _affine(layer)
            _fold_weight(fold, names, producer, scale)
            if producer.bias is None:
                extra.append(producer)
                producer.bias = nn.Parameter(shift.to(producer.weight.dtype), requires_grad=False)
            else:
                _fold_bias(fold, names, producer, scale, shift)
        for table, key, _ in places:
            table[key] = nn.Identity()
        yield fold
    finally:
        for table, key, layer in places:
            table[key] = layer
        for producer in extra:
            producer.bias = None


class Refold:
    """Folding for statistics that change from point to point: done when they are known, undone before the next point.

    Layers are found as by ``folded``; one whose own parameters move is folded too, for its present values are used.

    Args:
        model: A network inside ``borrowed``, in evaluation mode.
        run: Runs it once.
        moving: Names of the parameters that are written anew for every point.
    """

    def __init__(self, model: nn.Module, run: Callable[[], Any], moving: Collection[str]) -> None:
        names = {id(p): name for name, p in model.named_parameters()}
        self._chains = _chains(model, run)
        layers = {bn for _, bn in self._chains}
        self._places = [(m._modules, k, c) for m in model.modules() for k, c in m._modules.items() if c in layers]
        own = [p for producer, _ in self._chains for p in producer.parameters() if names[id(p)] not in moving]
        self._kept = [(p, p.data.clone()) for p in own]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Take the layers out for one evaluation.

        On exit they are back, and so are values that do not move. Weights that do stay scaled: the next point
        overwrites them, and a copy of all would be a further copy of the network.

        Yields:
            Nothing.
        """
        bare = [producer for producer, _ in self._chains if producer.bias is None]
        try:
            for producer, layer in self._chains:
                scale, shift = _affine(layer)
                weight = producer.weight
                weight.data.mul_(scale.to(weight.dtype).view(-1, *[1] * (weight.ndim - 1)))
                if producer.bias is None:
                    producer.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)
                else:
                    producer.bias.data.mul_(scale.to(weight.dtype)).add_(shift.to(weight.dtype))
            for table, key, _ in self._places:
                table[key] = nn.Identity()
            yield
        finally:
            for table, key, bn in self._places:
                table[key] = bn
            for producer in bare:
                producer.bias = None
            for parameter, values in self._kept:
                parameter.data.copy_(values)


def _fold_weight(fold: Fold, names: dict[int, str], producer: Any, scale: Tensor) -> None:
    name, weight = names[id(producer.weight)], producer.weight
    fold.scale[name] = scale.to(weight.dtype).view(-1, *[1] * (weight.ndim - 1))
    fold.apply(name, weight.data)


def _fold_bias(fold: Fold, names: dict[int, str], producer: Any, scale: Tensor, shift: Tensor) -> None:
    name, bias = names[id(producer.bias)], producer.bias
    fold.scale[name], fold.shift[name] = scale.to(bias.dtype), shift.to(bias.dtype)
    fold.apply(name, bias.data)


def _affine(layer: BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift of a layer's channels, in float64."""
    assert layer.running_mean is not None and layer.running_var is not None
    scale = (layer.running_var.double() + layer.eps).rsqrt()
    if layer.affine:
        scale = scale * layer.weight.detach().double()
    shift = -layer.running_mean.double() * scale
    return scale, shift + layer.bias.detach().double() if layer.affine else shift


def _moves(layer: BatchNorm, names: dict[int, str], moving: Collection[str]) -> bool:
    return any(names[id(p)] in moving for p in layer.parameters())


def _chains(model: nn.Module, run: Callable[[], Any]) -> list[tuple[Any, BatchNorm]]:
    """Find pairs of a layer and the BatchNorm layer that alone reads its output."""
    layers = [m for m in batchnorm_layers(model).values() if plain_layer(m, _FOLDABLE) and not m.training]
    layers = [m for m in layers if m.running_mean is not None]
    producers = [m for m in model.modules() if plain_layer(m, _PRODUCERS)]
    calls: Counter[nn.Module] = Counter()
    last: tuple[nn.Module, Tensor, int] | None = None
    found: list[tuple[nn.Module, BatchNorm]] = []

    def produced(module: nn.Module, _: Any, output: Any) -> None:
        nonlocal last
        calls[module] += 1
        last = (module, output, output._version)

    def consumed(module: Any, inputs: tuple[Any, ...]) -> None:
        calls[module] += 1
        if last is None or inputs[0] is not last[1] or inputs[0]._version != last[2]:
            return
        if inputs[0].ndim == 2 or not isinstance(last[0], nn.Linear):  # of sequences it would normalize positions
            found.append((last[0], module))

    hooks = [m.register_forward_hook(produced) for m in producers]
    hooks += [m.register_forward_pre_hook(consumed) for m in layers]
    try:
        with torch.inference_mode(False), torch.no_grad():  # inference tensors do not count what is written to them
            run()
    finally:
        for hook in hooks:
            hook.remove()
    owners = Counter(id(p) for m in model.modules() for p in m._parameters.values() if p is not None)
    return [(p, bn) for p, bn in found if calls[p] == calls[bn] == 1 and _alone(owners, p, bn)]


def plain_layer(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Say whether a module is just what its type says: a subclass may compute something else, and hooks may look.

    Args:
        module: Any module.
        kinds: Types.

    Returns:
        Whether it is of one of these types and has no hooks.
    """
    return type(module) in kinds and not module._forward_hooks and not module._forward_pre_hooks


def _alone(owners: Counter[int], *modules: nn.Module) -> bool:
    return all(owners[id(p)] == 1 for m in modules for p in m.parameters())
