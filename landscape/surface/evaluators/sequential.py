"""One cell after the other on one network: ``sequential`` as it comes, ``folded`` rewritten to do less per cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import torch
from torch import nn

from landscape import devices
from landscape.space import batchnorm_layers
from landscape.space.folding import Fold, Refold, folded
from landscape.surface.evaluators.base import EVALUATORS, Block, Measure, Planes
from landscape.surface.evaluators.mover import Mover
from landscape.surface.evaluators.quick_pools import quick_pools
from landscape.surface.evaluators.small_maps import small_maps
from landscape.surface.objective import Objective
from landscape.surface.session import Session

_LOWERED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)  # autocast takes their weights in bfloat16


@EVALUATORS.register("sequential")
class Sequential:
    """The network as it is: the center cell equals a direct evaluation bit for bit."""

    rewrites = False

    def refusal(self, objective: Objective, planes: Planes) -> str:
        """Return nothing: it measures everything."""
        return ""

    @contextmanager
    def open(self, objective: Objective, planes: Planes, cells: int = 1) -> Iterator[Measure]:
        """Lend the network out and lay its moving tensors into flat buffers.

        Args:
            objective: What is measured.
            planes: Where.
            cells: Not used: one at a time.

        Yields:
            The function that measures a block.
        """
        center = objective.center  # before the network is lent out: the caller's own storage, not a copy
        with ExitStack() as stack:
            session = stack.enter_context(objective.session())
            fold = stack.enter_context(rewritten(session, planes, wanted=self.rewrites))
            narrow = narrow_parameters(session.model) if self.rewrites and objective.lowered else []
            if self.rewrites and session.recalibrated and not objective.lowered:  # bfloat16 would be rounded twice
                session.settled = Refold(session.model, session.probe, planes.moving)
            if self.rewrites and objective.device.type == "cpu":
                stack.enter_context(small_maps(session.model, session.probe))
                stack.enter_context(quick_pools(session.model))
            mover = Mover(session, center, planes.pairs, planes.moving, fold=fold, narrow=narrow)
            stack.enter_context(devices.kept_memory(objective.device))  # its buffers outlive this: they are not in it
            at_center: torch.Tensor = session.examples().losses

            def measure(block: Block) -> torch.Tensor:
                rows = []
                for cell in block:
                    mover.move(cell[0], *planes.multipliers(cell))
                    rows.append(session.examples().statistics(at_center))
                return torch.stack(rows)

            yield measure


@EVALUATORS.register("folded")
class Folded(Sequential):
    """Less work for the same cell.

    BatchNorm layers that no direction moves are folded away; with recalibrated statistics in every cell anew, once
    these are known. bfloat16 weights are rounded once a cell, convolutions of maps smaller than their kernel
    are one matrix product, and pooling by 2 keeps no indices.
    """

    rewrites = True

    def refusal(self, objective: Objective, planes: Planes) -> str:
        """Say why there is nothing to rewrite; empty where there is."""
        fixed = objective.bn == "frozen" or (objective.bn == "recalibrated" and not objective.calibrates_itself)
        if objective.lowered or (fixed and batchnorm_layers(objective.model)):
            return ""
        return "there is no BatchNorm layer with fixed statistics to fold"


@contextmanager
def rewritten(session: Session, planes: Planes, *, wanted: bool = True) -> Iterator[Fold]:
    """Fold what can be folded in a session's network.

    Args:
        session: The lent network.
        planes: What moves.
        wanted: False leaves it alone.

    Yields:
        How parameters changed.
    """
    possible = wanted and not session.live_statistics
    context = folded(session.model, session.probe, planes.moving) if possible else nullcontext(Fold())
    with context as fold:
        yield fold


def narrow_parameters(model: nn.Module) -> list[str]:
    """Name the weights that autocast rounds to bfloat16 in every pass, so that they can be kept rounded.

    Args:
        model: The network.

    Returns:
        Names of weights that only plain convolutions and linear layers own.
    """
    owners: dict[int, bool] = {}
    for module in model.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                lowered = key == "weight" and type(module) in _LOWERED and parameter.dtype == torch.float32
                owners[id(parameter)] = owners.get(id(parameter), True) and lowered
    return [name for name, parameter in model.named_parameters() if owners[id(parameter)]]
