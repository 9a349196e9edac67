"""Several cells at once: for small networks, whose layers alone cannot fill a GPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from landscape import devices
from landscape.space.folding import Fold
from landscape.surface.evaluators.base import EVALUATORS, Block, Measure, Planes
from landscape.surface.evaluators.mover import Flat
from landscape.surface.evaluators.sequential import rewritten
from landscape.surface.objective import Objective
from landscape.surface.session import Examples, Session


@EVALUATORS.register("batched")
class Batched:
    """``torch.func.vmap`` over the parameters of several cells; BatchNorm layers are folded where they can be."""

    def refusal(self, objective: Objective, planes: Planes) -> str:
        """Say why cells cannot share a pass; empty where they can."""
        if objective.bn == "recalibrated" and not objective.calibrates_itself:
            return "recalibrated statistics that take passes of their own are computed cell by cell"
        return "" if planes.moving else "nothing moves"

    @contextmanager
    def open(self, objective: Objective, planes: Planes, cells: int = 16) -> Iterator[Measure]:
        """Lend the network out and lay center and directions into flat buffers.

        Args:
            objective: What is measured.
            planes: Where.
            cells: How many cells share a pass; memory grows with it.

        Yields:
            The function that measures a block.
        """
        center = objective.center
        with ExitStack() as stack:
            session = stack.enter_context(objective.session())
            fold = stack.enter_context(rewritten(session, planes))
            points = _Points(session, center, planes, fold)
            stack.enter_context(devices.kept_memory(objective.device))
            at_center: Tensor = session.examples().losses

            def measure(block: Block) -> Tensor:
                rows = []
                for pair in dict.fromkeys(cell[0] for cell in block):
                    own = [k for k, cell in enumerate(block) if cell[0] == pair]
                    for start in range(0, len(own), cells):
                        which = own[start : start + cells]
                        params = points.at(pair, [planes.multipliers(block[k]) for k in which])
                        rows.append((which, _examples(session, params, objective).statistics(at_center)))
                values = torch.empty(len(block), 4, dtype=torch.float64, device=at_center.device)
                for which, statistics in rows:
                    values[which] = statistics
                return values

            yield measure


class _Points:
    """Parameters of several cells of one plane, stacked."""

    def __init__(self, session: Session, center: Mapping[str, Tensor], planes: Planes, fold: Fold) -> None:
        like = {n: session.parameters[n].data for n in planes.moving}
        self._pairs, self._fold, self._pair = planes.pairs, fold, -1
        self._center, self._first, self._second = Flat(like), Flat(like), Flat(like)
        self._center.fill(center)
        for name, view in self._center.views.items():
            fold.apply(name, view)

    def at(self, pair: int, multipliers: list[tuple[float, float]]) -> dict[str, Tensor]:
        if pair != self._pair:
            self._first.fill(self._pairs[pair].first, self._fold)
            self._second.fill(self._pairs[pair].second, self._fold)
            self._pair = pair
        alpha, beta = self._center.vector.new_tensor(multipliers).T.unsqueeze(2)
        points = (self._center.vector + beta * self._second.vector).addcmul_(alpha, self._first.vector)
        return {
            name: points.as_strided(
                (len(points), *view.shape), (points.shape[1], *view.stride()), view.storage_offset()
            )
            for name, view in self._center.views.items()
        }


def _examples(session: Session, params: dict[str, Tensor], objective: Objective) -> Examples:
    """Evaluate all examples at several points; losses of shape ``(points, n)``."""
    count = len(next(iter(params.values()), torch.zeros(1)))
    losses, hits = [], []
    for inputs, targets in session.batches:

        def outputs_at(point: dict[str, Tensor], inputs: Any = inputs) -> Any:
            args, kwargs = ((), dict(inputs)) if isinstance(inputs, Mapping) else (inputs, {})
            args = (args,) if isinstance(args, Tensor) else tuple(args)
            return functional_call(session.model, point, args, kwargs)

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")  # timing tells what it costs
            outputs = vmap(outputs_at)(params)
        each = [session.judge(tree_map(lambda t, k=k: t[k], outputs), targets) for k in range(count)]
        losses.append(torch.stack([e.losses for e in each]))
        hits.append([e.correct for e in each])
    return Examples(torch.cat(losses, dim=1), _joined(hits))


def _joined(hits: list[list[Tensor | None]]) -> Tensor | None:
    found = [torch.stack([h for h in batch if h is not None]) for batch in hits if batch[0] is not None]
    return torch.cat(found, dim=1) if len(found) == len(hits) else None
