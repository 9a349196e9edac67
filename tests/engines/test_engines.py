"""Conformance: what every engine promises, run over all registered ones that need nothing else."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from landscape import engines
from landscape.errors import UnknownNameError


class Squares:
    """A task that knows whether it is open, and what it did."""

    def __init__(self, fail_at=None):
        self.opened = self.closed = 0
        self.done = []
        self.fail_at = fail_at

    @contextmanager
    def open(self):
        self.opened += 1
        try:
            yield self.work
        finally:
            self.closed += 1

    def work(self, item):
        assert self.opened > self.closed, "the task was closed while items were left"
        if item == self.fail_at:
            raise ArithmeticError(item)
        self.done.append(item)
        return item**2


@pytest.fixture(params=["serial"])
def engine(request):
    return engines.get(request.param)


@pytest.mark.parametrize("items", [[], [3], list(range(20)), [5, 5, 5]])
def test_every_item_comes_once_with_its_own_result(engine, items):
    task = Squares()
    results = list(engine.run(task, items))
    assert sorted(results) == sorted((i, i**2) for i in items)
    assert sorted(task.done) == sorted(items)
    assert task.opened == task.closed == 1


def test_items_are_pulled_as_results_are_taken(engine):
    """A generator of items may look at earlier results, so it must not be read ahead without bound."""
    seen = []

    def items():
        for i in range(100):
            pulled.append(i)
            yield i + sum(seen)

    pulled = []
    for _, result in engine.run(Squares(), items()):
        seen.append(result)
        if len(seen) == 3:
            break
    assert seen[:3] == [0, 1, (2 + 1) ** 2]
    assert len(pulled) <= 4


def test_nothing_is_opened_before_the_first_result_is_asked_for(engine):
    task = Squares()
    run = engine.run(task, [1])
    assert task.opened == 0
    next(run)
    assert (task.opened, task.closed) == (1, 0)
    assert list(run) == []
    assert task.closed == 1


def test_the_task_is_closed_when_the_consumer_stops(engine):
    task = Squares()
    for item, _ in engine.run(task, range(10)):
        if item == 2:
            break
    assert (task.opened, task.closed) == (1, 1)
    assert task.done == [0, 1, 2]


def test_the_task_is_closed_when_the_consumer_raises(engine):
    task = Squares()

    def consume():
        for _ in engine.run(task, range(10)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert (task.opened, task.closed) == (1, 1)


def test_the_task_is_closed_when_the_work_raises_and_the_error_arrives(engine):
    task, seen = Squares(fail_at=3), []
    with pytest.raises(ArithmeticError, match="3"):
        seen.extend(engine.run(task, range(10)))
    assert task.closed == 1
    assert 4 not in task.done


def test_unknown_engines_get_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"'serail'.*'serial'"):
        engines.get("serail")
