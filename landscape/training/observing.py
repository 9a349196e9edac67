"""Looking on while a network is trained: who, at which steps, and what they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from landscape.errors import UsageError


@dataclass(frozen=True, eq=False)
class Moment:
    """A training step, just before its update.

    Args:
        step: Optimiser updates made before.
        model: The network in training mode. An observer leaves it as it found it.
        inputs: The step's mini-batch, as the network is about to see it.
        targets: Its targets.
    """

    step: int
    model: nn.Module
    inputs: Tensor
    targets: Tensor


class Observer(Protocol):
    """Somebody who looks on. Training goes on as if nobody did, as long as the observer changes nothing."""

    def begin(self, recipe: Mapping[str, Any], steps: int) -> None:
        """Take notice of a run before it goes on.

        Args:
            recipe: What the run depends on.
            steps: Optimiser updates that it has made; more than none for a run that is continued or finished.
        """
        ...

    def wants(self, step: int) -> bool:
        """Say whether to be shown a step, given the updates made before it."""
        ...

    def observe(self, moment: Moment) -> Callable[[], None] | None:
        """Look at a step before its update; what is returned is called after the update."""
        ...

    def epoch_ended(self) -> None:
        """Write down what was seen: after this call the epoch is put on disk and is never repeated."""
        ...


def refuse_observers(observers: Sequence[Observer], how: str) -> None:
    """Refuse a way of making steps that shows nobody what it does.

    Args:
        observers: Everybody who looks on.
        how: How the steps would be made, for the message.

    Raises:
        UsageError: There is somebody.
    """
    if observers:
        raise UsageError(
            f"{len(observers)} would look on at a run whose steps are {how}: those are shown to nobody. Train it alone "
            "(landscape.training.train), or give it no observers."
        )


@contextmanager
def shown(observers: Sequence[Observer], moment: Moment) -> Iterator[None]:
    """Show a step to those who want to see it, around its update.

    Args:
        observers: Everybody who looks on.
        moment: The step.

    Yields:
        Nothing; the update is made inside.
    """
    later = [observer.observe(moment) for observer in observers if observer.wants(moment.step)]
    yield
    for call in later:
        if call is not None:
            call()
