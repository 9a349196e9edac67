"""Loss and gradients of a network on one mini-batch, as every probe takes them.

BatchNorm uses the statistics of the batch, as it does in training, and updates none. Dropout and the noise of noisy
BatchNorm are off: a gradient that changes from call to call could not be compared with itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape import devices, losses
from landscape.errors import LayoutError, ObjectiveError
from landscape.space import Params, borrowed
from landscape.surface.session import Session

Inputs = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]
PROTOCOL: Mapping[str, str] = {"bn": "batch", "dropout": "off"}


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """A lent network on one mini-batch. Made by ``lent``.

    Args:
        model: The network on storage of its own; anything may be written into its parameters.
        center: The caller's own parameters by name; never written to.
        parameters: Those of the lent network that require a gradient, by name.
        session: What runs the network and judges its outputs.
        batch: Inputs and targets.
        precision: ``fp32``, ``tf32`` or ``bf16``.
    """

    model: nn.Module
    center: Params
    parameters: Mapping[str, nn.Parameter]
    session: Session
    batch: tuple[Any, Tensor]
    precision: str

    def move(self, point: Params) -> None:
        """Write parameters into the lent network.

        Args:
            point: Tensors under the network's names; those left out stay as they are.
        """
        self.session.load(point)

    def loss(self) -> tuple[Tensor, Tensor]:
        """Evaluate at the present parameters.

        Returns:
            Mean loss, float64, with its graph; and the fraction classified right, NaN where there are no classes.
        """
        inputs, targets = self.batch
        self.session.batches = [(_copied(inputs), targets)]  # a forward pass may write into its input
        with devices.autocast(targets.device, self.precision):  # left before the next: its copies of weights go stale
            examples = self.session.examples()
        found = examples.losses.new_tensor(torch.nan) if examples.correct is None else examples.correct.double().mean()
        return examples.losses.mean(), found

    def gradient(self, loss: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Differentiate a loss.

        Args:
            loss: What ``loss`` returned.
            names: Of which parameters; None for all that require a gradient.

        Returns:
            Gradients by name; zero for a parameter that the loss does not depend on.
        """
        wanted = {name: self.parameters[name] for name in (self.parameters if names is None else names)}
        found = torch.autograd.grad(loss, list(wanted.values()), materialize_grads=True, allow_unused=True)
        return dict(zip(wanted, found, strict=True))


@contextmanager
def lent(
    model: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    *,
    loss: str | losses.PerExampleLoss = "cross_entropy",
    precision: str = "fp32",
) -> Iterator[MiniBatch]:
    """Lend a network out to one mini-batch; on exit it is as it was, also after an error.

    Args:
        model: The network, in any mode; parameters that require no gradient are not moved by a step.
        inputs: A tensor, or a tuple or mapping of tensors, which the network takes as arguments.
        targets: Targets, shape ``(n, ...)``.
        loss: A name, or a callable ``(outputs, targets) -> (n,)`` losses.
        precision: ``fp32``, ``tf32`` or ``bf16``; a float64 network stays float64.

    Yields:
        The lent network on the batch.

    Raises:
        LayoutError: Inputs and targets differ in length.
        ObjectiveError: No parameter requires a gradient.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise ObjectiveError(
            "no parameter of the network requires a gradient, so there is no gradient to walk along; "
            "set requires_grad on those that are trained"
        )
    first = next(iter(parameters.values()))
    _check_length(inputs, targets)
    precision = "fp32" if first.dtype == torch.float64 else precision
    center = {name: p.detach() for name, p in model.named_parameters()}  # keeps the caller's storage, not the copy
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        borrowed(model),
        devices.exact_products(precision),
    ):
        batch = _placed(inputs, first), _placed(targets, first)
        session = Session(model, [batch], _float64(loss), "batch", None)
        yield MiniBatch(model, center, parameters, session, batch, precision)


def _float64(loss: str | losses.PerExampleLoss) -> losses.PerExampleLoss:
    """Named losses are computed in float64, where rounding of tiny losses would show."""
    _, per_example = losses.resolve(loss)
    if not isinstance(loss, str):
        return per_example
    return lambda y, t: per_example(y.double(), t.double() if t.is_floating_point() else t)


def _placed(tree: Any, like: Tensor) -> Any:
    """On the network's device, floats in its dtype, out of every graph."""

    def place(t: Tensor) -> Tensor:
        return t.detach().to(device=like.device, dtype=like.dtype if t.is_floating_point() else t.dtype).clone()

    return _map(tree, place)


def _copied(tree: Any) -> Any:
    return _map(tree, torch.clone)


def _map(tree: Any, change: Any) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {name: change(t) for name, t in tree.items()}
    return tuple(change(t) for t in tree)


def _check_length(inputs: Any, targets: Tensor) -> None:
    lengths: set[int] = set()
    _map(inputs, lambda t: lengths.add(len(t)))
    if lengths != {len(targets)} or len(targets) == 0:
        found = ", ".join(str(n) for n in sorted(lengths)) or "no"
        raise LayoutError(f"{found} inputs and {len(targets)} targets: equal numbers above zero are needed")


def norm(tensors: Params) -> Tensor:
    """Return the norm over all tensors, summed in float64 on their device."""
    return _total(t.double().square().sum() for t in tensors.values()).sqrt()


def compare(before: Params, after: Params) -> tuple[Tensor, Tensor]:
    """Compare two gradients.

    Args:
        before: One gradient, by name.
        after: The other.

    Returns:
        Norm of their difference, and their cosine (NaN where one of them is zero); float64, on their device.
    """
    distance = _total((a.double() - after[n].double()).square().sum() for n, a in before.items()).sqrt()
    dot = _total((a.double() * after[n].double()).sum() for n, a in before.items())
    return distance, dot / (norm(before) * norm(after))


def _total(parts: Iterator[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum()
