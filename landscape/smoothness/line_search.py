"""Loss and gradient along the gradient of one mini-batch: what Santurkar et al. measured at a training step.

Source: Santurkar et al. 2018, arXiv:1805.11604, section 3.2 and appendix A.2.2. The paper does not say whether the
points share the mini-batch, nor what BatchNorm normalizes with there. Here they do, and it is the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from landscape import losses
from landscape.errors import UsageError
from landscape.records import LineSearchTrace
from landscape.smoothness.mini_batch import PROTOCOL, Inputs, MiniBatch, compare, lent, norm
from landscape.space import tensor_hash


def line_search_probe(
    model: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    *,
    step_sizes: Sequence[float],
    loss: str | losses.PerExampleLoss = "cross_entropy",
    precision: str = "fp32",
) -> LineSearchTrace:
    """Take loss and gradient at ``w - eta * g(w)`` for several ``eta``, all on one mini-batch.

    BatchNorm uses the statistics of the batch, as in training, and its running statistics do not move. Dropout is off.
    The gradient is that of the mean loss over the batch, without weight decay, over all parameters that require one.
    The network is as it was afterwards: parameters, buffers, gradients, flags, random number generators.

    Args:
        model: The network, in any mode, on its device.
        inputs: The mini-batch: a tensor, or a tuple or mapping of tensors, which the network takes as arguments.
        targets: Its targets, shape ``(n, ...)``.
        step_sizes: The step sizes ``eta``; kept in increasing order.
        loss: A name (``landscape.losses.names()``), or a callable ``(outputs, targets) -> (n,)`` losses.
        precision: ``fp32``, ``tf32`` or ``bf16``; a float64 network stays float64.

    Returns:
        The trace. A value that is not finite is kept.

    Raises:
        UsageError: There is no step size, or one that is not above zero, or one twice.
        LayoutError: Inputs and targets differ in length.
        ObjectiveError: No parameter requires a gradient, or the loss is not one number per example.
    """
    etas = checked_step_sizes(step_sizes)
    with lent(model, inputs, targets, loss=loss, precision=precision) as lending:
        recipe = {
            "network": type(model).__qualname__,
            # without running statistics: nothing here depends on them
            "model_hash": tensor_hash(dict(lending.center) | {f"buffer.{n}": b for n, b in model.named_buffers()}),
            "data_hash": tensor_hash(_named(lending.batch[0]) | {"targets": lending.batch[1]}),
            "examples": len(lending.batch[1]),
            "loss": losses.resolve(loss)[0],
            "precision": _arithmetic(lending),
            **PROTOCOL,
        }
        start, along = walk(lending, etas)
        start_loss, gradient_norm, _ = start.tolist()
        values, distance, cosine = along.cpu().numpy()
    return LineSearchTrace(np.array(etas), values, distance, cosine, start_loss, gradient_norm, recipe)


def _arithmetic(lending: MiniBatch) -> str:
    """Name the arithmetic that a network is run in: outside autocast that of its own weights, which may be mixed."""
    own = {torch.float64: "fp64", torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: lending.precision}
    if lending.precision == "bf16":
        return "bf16"
    return "+".join(sorted({own.get(p.dtype, str(p.dtype)) for p in lending.parameters.values()}))


def walk(lending: MiniBatch, step_sizes: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Walk along the gradient of a lent network; nothing waits for the device.

    Every point is computed from the caller's parameters, so rounding does not add up.

    Args:
        lending: The lent network on its batch.
        step_sizes: The step sizes ``eta``.

    Returns:
        Loss, norm of the gradient and accuracy at the start, shape ``(3,)``; loss, distance of the gradients and their
        cosine after each step, shape ``(3, s)``. Both float64, on the device.
    """
    loss, accuracy = lending.loss()
    gradient = lending.gradient(loss)
    rows = []
    for eta in step_sizes:
        with torch.no_grad():
            for name, g in gradient.items():
                torch.sub(lending.center[name], g, alpha=eta, out=lending.parameters[name].data)
        there, _ = lending.loss()
        rows.append(torch.stack([there.detach(), *compare(gradient, lending.gradient(there))]))
    return torch.stack([loss.detach(), norm(gradient), accuracy]), torch.stack(rows, dim=1)


def checked_step_sizes(step_sizes: Sequence[float]) -> tuple[float, ...]:
    """Put step sizes into increasing order.

    Args:
        step_sizes: Any numbers.

    Returns:
        The same as plain numbers.

    Raises:
        UsageError: There is none, or one that is not above zero and finite, or one twice.
    """
    etas = tuple(sorted(float(eta) for eta in step_sizes))
    if not etas or len(set(etas)) < len(etas) or not all(0 < eta < float("inf") for eta in etas):
        raise UsageError(f"step sizes are numbers above zero, at least one and none twice; got {list(step_sizes)}")
    return etas


def _named(inputs: Inputs) -> dict[str, Tensor]:
    if isinstance(inputs, Tensor):
        return {"inputs": inputs}
    return dict(inputs) if not isinstance(inputs, tuple) else {str(i): t for i, t in enumerate(inputs)}
