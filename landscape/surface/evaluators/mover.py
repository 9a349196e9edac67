"""Moving a lent network over planes.

All tensors that move lie in flat buffers, so a cell costs one pass over the parameters: ``row = center + beta *
second`` once per row of the grid, then ``row + alpha * first`` straight into the live network. Every cell is computed
from the center; nothing is added up along the way. Beside the caller's network this holds three copies of its moving
parameters: live, row and first direction; the second direction and the center are read where the caller has them.
On an accelerator the copies are live, center and both directions; the caller's network stays on the CPU.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from landscape.errors import LayoutError
from landscape.space import DirectionPair, Params
from landscape.space.folding import Fold
from landscape.surface.session import Session

_ALIGN = 16  # elements: every tensor of a flat buffer starts on a cache line
_CHUNK = 1 << 17  # elements that stay in a core's cache between being computed and being rounded


class Mover:
    """Writes points of planes into a session's network.

    Args:
        session: The lent network.
        center: The caller's own parameters.
        pairs: Direction pairs.
        moving: Names of the parameters that they change.
        fold: How folded layers change parameters.
        narrow: Names of parameters that the network takes in bfloat16.
        lean: Whether to read center and second direction where the caller has them; by default on the CPU.
    """

    def __init__(
        self,
        session: Session,
        center: Params,
        pairs: Sequence[DirectionPair],
        moving: Collection[str],
        *,
        fold: Fold | None = None,
        narrow: Collection[str] = (),
        lean: bool | None = None,
    ) -> None:
        self._pairs = pairs
        live = {n: session.parameters[n].data for n in moving}
        if len({t.dtype for t in live.values()}) > 1:
            raise LayoutError("the moving parameters have several dtypes; convert the network to one first")
        on_cpu = all(t.device.type == center[n].device.type == "cpu" for n, t in live.items())
        kind: type[_Lean | _Resident] = _Lean if (on_cpu if lean is None else lean) else _Resident
        wide = {n: t for n, t in live.items() if n not in narrow}
        low = {n: t for n, t in live.items() if n in narrow}
        sorts = ((wide, None), (low, torch.bfloat16))
        self._groups = [kind(tensors, center, fold or Fold(), dtype) for tensors, dtype in sorts if tensors]
        for group in self._groups:
            for name, view in group.live.views.items():
                session.parameters[name].data = view
        for tensors in (live, wide, low):
            tensors.clear()  # the lent copies go before further buffers come
        for group in self._groups:
            group.allocate()
        self._pair: int | None = None
        self._row: tuple[int, float] | None = None

    def move(self, pair: int, alpha: float, beta: float) -> None:
        """Write ``center + alpha * first + beta * second`` into the network.

        Args:
            pair: Which pair spans the plane.
            alpha: Multiplier of its first direction.
            beta: Multiplier of its second direction.
        """
        self.choose(pair)
        if self._row != (pair, beta):
            for group in self._groups:
                group.begin_row(self._pairs[pair].second, beta)
            self._row = (pair, beta)
        for group in self._groups:
            group.write(alpha, beta)

    def choose(self, pair: int) -> None:
        """Take up a pair's directions.

        Args:
            pair: Which one.
        """
        if self._pair != pair:
            for group in self._groups:
                group.take(self._pairs[pair])
            self._pair, self._row = pair, None

    def write_tensors(self, alpha: Tensor, beta: Tensor) -> None:
        """Do ``move`` on the chosen pair with multipliers that live on the device, so that nothing waits for the host.

        Args:
            alpha: Multiplier of the first direction, no dimensions.
            beta: Multiplier of the second direction, no dimensions.
        """
        for group in self._groups:
            group.write_tensors(alpha, beta)


class _Lean:
    """Parameters of one live dtype on the caller's device, with as few copies as a row needs."""

    def __init__(self, live: Mapping[str, Tensor], center: Params, fold: Fold, dtype: torch.dtype | None) -> None:
        self._center = {n: center[n] for n in live}
        self._fold = fold
        self._dtype = next(iter(live.values())).dtype
        self.live = Flat(live, dtype)
        for name, view in self.live.views.items():
            view.copy_(live[name])  # folded already, where layers are

    def allocate(self) -> None:
        """Make the buffers that moving needs."""
        self._row, self._first = (Flat(self.live.views, self._dtype) for _ in range(2))
        self._scratch = None if self._dtype == self.live.vector.dtype else self._row.vector.new_empty(_CHUNK)

    def take(self, pair: DirectionPair) -> None:
        self._first.fill(pair.first, self._fold)

    def begin_row(self, second: Params, beta: float) -> None:
        for name, view in self._row.views.items():
            torch.add(self._center[name], second[name].to(view), alpha=beta, out=view)
            self._fold.apply(name, view)

    def write(self, alpha: float, beta: float) -> None:
        row, first, live = self._row.vector, self._first.vector, self.live.vector
        if self._scratch is None:
            torch.add(row, first, alpha=alpha, out=live)
            return
        for start in range(0, len(row), _CHUNK):  # torch rounds while adding at a tenth of the speed
            part = slice(start, min(start + _CHUNK, len(row)))
            wide = self._scratch[: part.stop - start]
            torch.add(row[part], first[part], alpha=alpha, out=wide)
            live[part].copy_(wide)

    def write_tensors(self, alpha: Tensor, beta: Tensor) -> None:
        raise NotImplementedError("multipliers on the device need center and directions there")


class _Resident:
    """Parameters of one live dtype on an accelerator, where bandwidth is plenty and transfers are dear."""

    def __init__(self, live: Mapping[str, Tensor], center: Params, fold: Fold, dtype: torch.dtype | None) -> None:
        self._fold, self._dtype = fold, next(iter(live.values())).dtype
        self._given = {n: center[n] for n in live}
        self.live = Flat(live, dtype)
        for name, view in self.live.views.items():
            view.copy_(live[name])

    def allocate(self) -> None:
        """Make the buffers that moving needs."""
        self._center, self._first, self._second = (Flat(self.live.views, self._dtype) for _ in range(3))
        self._center.fill(self._given)
        for name, view in self._center.views.items():
            self._fold.apply(name, view)

    def take(self, pair: DirectionPair) -> None:
        self._first.fill(pair.first, self._fold)
        self._second.fill(pair.second, self._fold)

    def begin_row(self, second: Params, beta: float) -> None:
        pass

    def write(self, alpha: float, beta: float) -> None:
        live, point = self.live.vector, self._center.vector
        if live.dtype == point.dtype:
            torch.add(point, self._second.vector, alpha=beta, out=live)
            live.add_(self._first.vector, alpha=alpha)
        else:
            live.copy_((point + beta * self._second.vector).add_(self._first.vector, alpha=alpha))

    def write_tensors(self, alpha: Tensor, beta: Tensor) -> None:
        live, point = self.live.vector, self._center.vector
        if live.dtype == point.dtype:
            torch.addcmul(point, self._second.vector, beta, out=live)
            live.addcmul_(self._first.vector, alpha)
        else:
            live.copy_((point + beta * self._second.vector).addcmul_(self._first.vector, alpha))


class Flat:
    """Tensors as views of one vector, each with the memory layout of the tensor that it stands for.

    Args:
        like: Dense tensors by name.
        dtype: Of the vector; by default theirs.
    """

    def __init__(self, like: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> None:
        lengths = {name: -(-t.numel() // _ALIGN) * _ALIGN for name, t in like.items()}
        some = next(iter(like.values()))
        with torch.inference_mode(False):  # a network's data may not be replaced by an inference tensor
            self.vector = torch.zeros(sum(lengths.values()), dtype=dtype or some.dtype, device=some.device)
            self.views: dict[str, Tensor] = {}
            start = 0
            for name, t in like.items():
                piece = self.vector[start : start + t.numel()]
                self.views[name] = piece.as_strided(t.shape, t.stride())  # another layout would be another rounding
                start += lengths[name]

    def fill(self, values: Params, fold: Fold | None = None) -> None:
        """Copy tensors in; with a ``fold`` they are directions, which take its scales.

        Args:
            values: Tensors by name; more names than the buffer has may be there.
            fold: How folded layers change parameters.
        """
        for name, view in self.views.items():
            view.copy_(values[name])
            if fold is not None:
                fold.apply(name, view, shift=False)
