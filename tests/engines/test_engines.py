"""Conformance: what every engine promises, run over all registered ones that need nothing else."""

from __future__ import annotations

from itertools import count

import pytest

from landscape import engines
from landscape.errors import UnknownNameError, UsageError


@pytest.fixture(params=["serial", "processes:2"])
def engine(request):
    return engines.get(request.param)


def done(log):
    return sum(word.startswith("did") for word in log.words())


@pytest.mark.parametrize("items", [[], [3], list(range(20)), [5, 5, 5]])
def test_every_item_comes_once_with_its_own_result(engine, errands, log, items):
    results = list(engine.run(errands.Errand(log), items))
    assert sorted(results) == sorted((i, i**2) for i in items)
    assert sorted(word for word in log.words() if word.startswith("did")) == sorted(f"did-{i}" for i in items)
    assert log.count("opened") == log.count("closed") == len(log.workers())
    assert len(log.workers()) <= engine.workers


def test_an_item_comes_back_as_the_object_that_went(engine, errands, log):
    items = [("say", "a"), ("say", "b")]
    found = [item for item, _ in engine.run(errands.Doing(log), items)]
    assert all(any(item is other for other in items) for item in found)


def test_items_are_pulled_as_results_are_taken(engine, errands, log):
    """A generator of items may look at earlier results, so it is not read ahead: one item for each worker."""
    pulled, seen = [], []

    def items():
        for i in range(100):
            assert len(pulled) < len(seen) + engine.workers
            pulled.append(i)
            yield i

    for pair in engine.run(errands.Errand(log), items()):
        seen.append(pair)
        if len(seen) == 5:
            break
    assert len(pulled) <= 5 + engine.workers - 1


def test_none_waits_for_a_result_and_the_items_are_asked_again(engine, errands, log):
    """Rounds, as adaptive sampling has them: the next begins when all results of the last are known."""
    results = {}

    def rounds():
        for first in (0, 10, 20):
            known = len(results)
            yield from range(first, first + 3)
            while len(results) < known + 3:
                yield None
            assert len(results) == known + 3

    for item, result in engine.run(errands.Errand(log), rounds()):
        results[item] = result
    assert results == {i: i**2 for first in (0, 10, 20) for i in range(first, first + 3)}


@pytest.mark.parametrize("items", [[None], [1, 2, None, None, None, None]])
def test_none_that_no_result_can_follow_is_an_error(engine, errands, log, items):
    with pytest.raises(RuntimeError, match="while no item was being worked on"):
        list(engine.run(errands.Errand(log), items))
    assert log.all_closed()


def test_nothing_is_opened_before_the_first_result_is_asked_for(engine, errands, log):
    run = engine.run(errands.Errand(log), [1])
    assert log.words() == []
    assert next(run) == (1, 1)
    assert log.words() == ["opened", "did-1"]
    assert list(run) == []
    assert log.words() == ["opened", "did-1", "closed"]


def test_the_task_is_closed_when_the_consumer_stops(engine, errands, log):
    taken = []
    for item, _ in engine.run(errands.Errand(log), count()):
        taken.append(item)
        if item == 2:
            break
    assert log.count("opened") >= 1
    assert log.all_closed()
    assert len(taken) <= done(log) <= len(taken) + engine.workers - 1


def test_the_task_is_closed_when_the_consumer_raises(engine, errands, log):
    def consume():
        for _ in engine.run(errands.Errand(log), range(10)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert log.count("opened") >= 1
    assert log.all_closed()


def test_the_task_is_closed_when_the_items_raise(engine, errands, log):
    def items():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(engine.run(errands.Errand(log), items()))
    assert log.all_closed()


@pytest.mark.parametrize("error", [ArithmeticError, UsageError])
def test_an_error_of_an_item_arrives_with_its_type_and_ends_the_run(engine, errands, log, error):
    seen = []
    with pytest.raises(error, match=r"^3$"):
        for pair in engine.run(errands.Errand(log, fail=3, error=error), count()):
            seen.append(pair)
    assert seen == [(i, i**2) for i, _ in seen]
    assert (3, 9) not in seen
    assert log.count("opened") >= 1
    assert log.all_closed()
    assert len(seen) <= done(log) <= len(seen) + engine.workers - 1


@pytest.mark.parametrize("where", ["open", "close"])
def test_an_error_of_opening_or_closing_arrives_with_its_type(engine, errands, log, where):
    with pytest.raises(ArithmeticError, match=where):
        list(engine.run(errands.Errand(log, fail=where), [1]))


def test_unknown_engines_get_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"'serail'.*'serial'"):
        engines.get("serail")


@pytest.mark.parametrize("name", ["serial:2", "serial:"])
def test_an_engine_that_takes_nothing_behind_a_colon_says_so(name):
    with pytest.raises(UsageError, match=f"'serial' takes nothing behind a colon; got '{name}'"):
        engines.get(name)
