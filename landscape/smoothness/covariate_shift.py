"""Internal covariate shift, Definition 2.1 of Santurkar et al.: what earlier layers' update does to a gradient.

``G`` is the gradient with respect to the parameters ``W_i`` of layer ``i`` at the weights before an optimiser step;
``G'`` the same gradient, on the same mini-batch, with the layers before ``i`` as the step left them, and layer ``i``
and all later ones as they were before it. The shift is the norm of ``G - G'``; the cosine of the two is its companion.

Source: Santurkar et al. 2018, arXiv:1805.11604, Definition 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape import losses
from landscape.errors import ObjectiveError, UsageError
from landscape.records.base import FloatArray
from landscape.registry import unknown
from landscape.smoothness.mini_batch import Inputs, MiniBatch, compare, lent
from landscape.space import Params, check_layout

Layer = int | str


@dataclass(frozen=True, eq=False)
class CovariateShift:
    """Internal covariate shift of some layers at one step.

    Args:
        layer: Names of the layers.
        norm: ``||G - G'||`` of each, shape ``(k,)``.
        cosine: Cosine of ``G`` and ``G'``, shape ``(k,)``; NaN where one of them is zero.
    """

    layer: tuple[str, ...]
    norm: FloatArray
    cosine: FloatArray


def internal_covariate_shift(
    model: nn.Module,
    before: Params,
    inputs: Inputs,
    targets: Tensor,
    *,
    layers: Sequence[Layer],
    loss: str | losses.PerExampleLoss = "cross_entropy",
    precision: str = "fp32",
) -> CovariateShift:
    """Measure the internal covariate shift that an optimiser step has caused.

    Layers stand in the order in which a forward pass reaches them. *Before layer i* are all parameters of the modules
    reached earlier, gamma and beta of BatchNorm among them; a BatchNorm that follows layer ``i`` is not before it.
    Both gradients are taken with the batch's own BatchNorm statistics and with dropout off, also where the step itself
    was made with dropout. The gradient of a layer is that of all its own parameters: its weight, and its bias if it
    has one. The network is as it was afterwards.

    Args:
        model: The network after the step.
        before: Its parameters before the step.
        inputs: The mini-batch of the step.
        targets: Its targets.
        layers: Positions among the layers with a weight of two or more dimensions, counted from 1 as the paper does,
            or names of modules that have parameters of their own.
        loss: A name, or a callable ``(outputs, targets) -> (n,)`` losses.
        precision: ``fp32``, ``tf32`` or ``bf16``; a float64 network stays float64.

    Returns:
        Norm and cosine of every layer, in the order given.

    Raises:
        UsageError: There is no such layer, or one was named twice.
        ObjectiveError: A parameter belongs to an earlier and to a later layer.
    """
    check_layout(before, dict(model.named_parameters()), what="the parameters before the step")
    with lent(model, inputs, targets, loss=loss, precision=precision) as lending:
        names, values = shift(lending, before, layers)
        norms, cosines = values.cpu().numpy()
    return CovariateShift(names, norms, cosines)


def layers_there(
    model: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    *,
    layers: Sequence[Layer],
    fewer: bool = False,
    loss: str | losses.PerExampleLoss = "cross_entropy",
) -> tuple[Layer, ...]:
    """Find layers by a pass, before anything is trained.

    Args:
        model: The network; it is as it was afterwards.
        inputs: A mini-batch.
        targets: Its targets.
        layers: As ``internal_covariate_shift`` takes them.
        fewer: Whether positions that the network does not have are left out, as long as one is left.
        loss: A name, or a callable ``(outputs, targets) -> (n,)`` losses.

    Returns:
        Those of ``layers`` that are measured, as they were given.

    Raises:
        UsageError: There is no such layer, or one was named twice.
    """
    with lent(model, inputs, targets, loss=loss) as lending, _order(lending.model) as reached, torch.no_grad():
        lending.loss()
    last = len(_weighted(reached, lending.center))
    there = [layer for layer in layers if isinstance(layer, str) or layer <= last] if fewer else []
    _chosen(reached, lending.center, there or layers)
    return tuple(there or layers)


def shift(lending: MiniBatch, before: Params, layers: Sequence[Layer]) -> tuple[tuple[str, ...], Tensor]:
    """Measure the shift on a lent network; nothing waits for the device.

    Args:
        lending: The network after the step, lent out.
        before: Its parameters before the step.
        layers: As ``internal_covariate_shift`` takes them.

    Returns:
        Names of the layers; norms and cosines, float64 of shape ``(2, k)``, on the device.
    """
    lending.move(before)
    with _order(lending.model) as reached:
        loss, _ = lending.loss()
    names = _chosen(reached, before, layers)
    own = {name: _trained(lending, reached[name], name) for name in names}
    gradient = lending.gradient(loss, list(dict.fromkeys(p for params in own.values() for p in params)))
    values = []
    for name in names:
        earlier = _earlier(reached, name)
        lending.move({n: lending.center[n] if n in earlier else tensor for n, tensor in before.items()})
        moved = lending.gradient(lending.loss()[0], own[name])
        values.append(torch.stack(compare({n: gradient[n] for n in own[name]}, moved)))
    return names, torch.stack(values, dim=1)


def _trained(lending: MiniBatch, parameters: Sequence[str], layer: str) -> tuple[str, ...]:
    own = tuple(name for name in parameters if name in lending.parameters)
    if not own:
        raise ObjectiveError(f"layer {layer!r} has no parameter that requires a gradient, so its gradient cannot shift")
    return own


def _earlier(reached: dict[str, tuple[str, ...]], layer: str) -> set[str]:
    order = list(reached)
    here = order.index(layer)
    earlier = {name for module in order[:here] for name in reached[module]}
    later = {name for module in order[here:] for name in reached[module]}
    if shared := sorted(earlier & later):
        raise ObjectiveError(
            f"parameter {shared[0]!r} is used before layer {layer!r} and again in it or after it, so that the step "
            "cannot move the earlier layers alone: the shift is not defined. Choose an earlier layer."
        )
    return earlier


@contextmanager
def _order(model: nn.Module) -> Iterator[dict[str, tuple[str, ...]]]:
    """Note the modules with parameters of their own as a pass reaches them: module name to parameter names."""
    reached: dict[str, tuple[str, ...]] = {}
    first = {id(p): name for name, p in model.named_parameters()}  # a tied tensor goes by its first name

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        own = tuple(first[id(p)] for p in module._parameters.values() if p is not None)

        def note(*_: Any) -> None:
            reached.setdefault(name, own)

        return module.register_forward_pre_hook(note)

    hooks = [watch(name, m) for name, m in model.named_modules() if any(p is not None for p in m._parameters.values())]
    try:
        yield reached
    finally:
        for hook in hooks:
            hook.remove()


def _weighted(reached: dict[str, tuple[str, ...]], before: Params) -> list[str]:
    return [module for module, own in reached.items() if any(before[name].ndim >= 2 for name in own)]


def _chosen(reached: dict[str, tuple[str, ...]], before: Params, layers: Sequence[Layer]) -> tuple[str, ...]:
    """Names of the layers asked for, by position among those with a weight matrix, or by name."""
    weighted, names = _weighted(reached, before), []
    for layer in layers:
        if isinstance(layer, str):
            if layer not in reached:
                raise UsageError(unknown("layer with parameters", layer, list(reached)))
            names.append(layer)
        elif 1 <= layer <= len(weighted):
            names.append(weighted[layer - 1])
        else:
            raise UsageError(
                f"there is no layer {layer}: a pass reaches {len(weighted)} layers with weights, counted from 1: "
                f"{', '.join(f'{place} {name}' for place, name in enumerate(weighted, 1))}. Choose among them, or "
                "name a module (--layers, layers= in Python)"
            )
    if not names or len(set(names)) < len(names):
        raise UsageError(f"layers are named at least once and none twice; got {list(layers)}: {', '.join(names)}")
    return tuple(names)
