"""Runs of one network stacked: one forward and one backward pass for all members, then each member's own optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from landscape import devices
from landscape.training.lockstep import Step
from landscape.training.observing import refuse_observers

if TYPE_CHECKING:
    from landscape.training.trainer import Trainer


class Stack:
    """Parameters and buffers of several runs as slices of stacked tensors.

    Every run keeps its own network and optimiser: their tensors become views of the stack. So torch's optimisers
    move each member by its own learning rate, and validation and checkpoints read a member like any run. Nothing in a
    pass mixes members, so one that diverges harms no other.

    Args:
        members: Runs of one network on the same images, in training mode. Nobody looks on.

    Raises:
        UsageError: A member has observers.

    Source: ``torch.func.stack_module_state``, which does the same for networks without optimisers.
    """

    def __init__(self, members: Sequence[Trainer]) -> None:
        for member in members:
            refuse_observers(member.observers, "made in one pass with others'")
        self.members = list(members)
        own = [dict(member.model.named_parameters()) for member in self.members]
        held = [dict(member.model.named_buffers()) for member in self.members]
        self.parameters = {name: _stacked([tensors[name] for tensors in own]).requires_grad_() for name in own[0]}
        self.buffers = {name: _stacked([tensors[name] for tensors in held]) for name in held[0]}
        for k, tensors in enumerate(own):
            _set(tensors, {name: stacked.detach()[k] for name, stacked in self.parameters.items()})
        for k, tensors in enumerate(held):
            _set(tensors, {name: stacked[k] for name, stacked in self.buffers.items()})

    def release(self) -> None:
        """Give every run tensors of its own again."""
        for member in self.members:
            for tensor in (*member.model.parameters(), *member.model.buffers()):
                tensor.data = tensor.data.clone()
                if isinstance(tensor, torch.nn.Parameter):
                    tensor.grad = None

    def step(self, asked: Sequence[Tensor | None]) -> list[Step]:
        """Make a step of every member that asks for one.

        A member that does not ask takes part in the passes, for results may depend in their last bits on how many
        take part; it is put back.

        Args:
            asked: Positions of the mini-batches, of one size; None for members that wait.

        Returns:
            Losses and hits of those that asked, in their order.
        """
        active = [k for k, rows in enumerate(asked) if rows is not None]
        waiting = [k for k, rows in enumerate(asked) if rows is None]
        kept = {name: stacked[waiting].clone() for name, stacked in self.buffers.items()}
        losses, hits, gradients = self._passes(asked)
        for k in active:
            member = self.members[k]
            for parameter, gradient in zip(member.model.parameters(), gradients, strict=True):
                parameter.grad = gradient[k]
            member.update()
        for name, stacked in self.buffers.items():
            if waiting:
                stacked[waiting] = kept[name]
        return [(losses[k], hits[k]) for k in active]

    def _passes(self, asked: Sequence[Tensor | None]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        first = self.members[0]
        inputs, targets, shared = self._batches(asked)

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Step:
            return first.judge(lambda images: functional_call(first.model, (parameters, buffers), (images,)), x, y)

        data = None if shared else 0
        together = vmap(one, in_dims=(0, 0, data, data), randomness="same")
        with devices.exact_products(first.config.precision):
            losses, hits = together(self.parameters, self.buffers, inputs, targets)
            gradients = torch.autograd.grad(losses.sum(), list(self.parameters.values()))
        return losses.detach(), hits.expand(len(self.members)), gradients

    def _batches(self, asked: Sequence[Tensor | None]) -> tuple[Tensor, Tensor, bool]:
        """One mini-batch for all members of one seed; else one for each."""
        place, rows = next((k, rows) for k, rows in enumerate(asked) if rows is not None)
        if len({member.config.seed for member in self.members}) == 1:
            return *self.members[place].batch(rows), True
        pairs = [m.batch(rows if own is None else own) for m, own in zip(self.members, asked, strict=True)]
        return torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs]), False


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach() for tensor in tensors]).contiguous()


def _set(tensors: Mapping[str, Tensor], views: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        tensor.data = views[name]
