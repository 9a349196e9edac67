"""How far many runs are: counted once, weighted by cost, told from notes of other processes."""

from __future__ import annotations

import json
import time

import pytest

from landscape.engines import usable_cores
from landscape.errors import UsageError
from landscape.progress import Progress
from landscape.training import VariantsConfig, ledger, train_variants
from landscape.training.ledger import Ledger, Notes


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(ledger.time, "perf_counter", lambda: now[0])
    return now


def test_time_left_follows_from_the_work_done(clock):
    """20 cheap and 10 dear steps cost 20 + 30; the estimate is off by two, which shows after the first steps."""
    seen = []
    book = Ledger(seen.append, [20, 10], [0, 0], [1.0, 3.0])
    book.estimate()
    clock[0] = 20.0
    book.tell(0, 10, "first")
    clock[0] = 32.0
    book.tell(1, 2, "second")
    assert [(p.done, p.total, p.seconds_left) for p in seen] == [(0, 30, 50.0), (10, 30, 80.0), (12, 30, 68.0)]
    assert seen[0].estimate
    assert not seen[1].estimate


def test_several_workers_share_the_estimate(clock):
    seen = []
    Ledger(seen.append, [20, 10], [5, 0], [1.0, 3.0], workers=2).estimate()
    assert (seen[0].done, seen[0].seconds_left) == (5, 22.5)


def test_what_is_no_news_is_not_told():
    seen = []
    book = Ledger(seen.append, [20], [5], [1.0])
    for done in (5, 4, 6, 6, 3):
        book.tell(0, done, "")
    assert [p.done for p in seen] == [6]


def test_notes_arrive_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_PERIOD", 0.01)
    seen, notes = [], Notes(tmp_path)
    with notes.watched(Ledger(seen.append, [20, 10], [0, 0], [1.0, 3.0])):
        notes.reporter(1)(Progress(4, 10, "step", 1.0, "a run, loss 0.5"))
        deadline = time.monotonic() + 10
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [(p.done, p.total, p.detail) for p in seen] == [(4, 30, "a run, loss 0.5")]


def test_notes_are_written_twice_a_second_at_most_and_a_full_disk_stops_nothing(tmp_path):
    write = Notes(tmp_path).reporter(0)
    for done in range(1, 50):
        write(Progress(done, 100, "step", 1.0))
    assert json.loads((tmp_path / "0.json").read_text())[0] == 1
    Notes(tmp_path / "missing").reporter(0)(Progress(1, 100, "step", 1.0))


def test_what_a_report_raises_reaches_the_caller(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_PERIOD", 0.01)

    def stop(progress):
        raise KeyboardInterrupt

    notes = Notes(tmp_path)
    with pytest.raises(KeyboardInterrupt), notes.watched(Ledger(stop, [20], [0], [1.0])):
        notes.reporter(0)(Progress(4, 20, "step", 1.0))
        time.sleep(0.3)


def test_worker_processes_give_the_same_runs_and_tell_how_far_they_are(config, assert_same_run, tmp_path, monkeypatch):
    """A network by name: workers import it themselves. Each has one thread, as this process has in tests."""
    monkeypatch.setattr(ledger, "_PERIOD", 0.01)
    shared = config("vgg_light_bn", epochs=1, out=tmp_path)
    networks, rates = ("vgg_light_bn",), (1e-3, 1e-2)
    seen = []
    found = train_variants(
        VariantsConfig(networks, rates, (0,), shared, f"processes:{usable_cores()}"), progress=seen.append
    )
    alone = VariantsConfig(networks, rates, (0,), config("vgg_light_bn", epochs=1))
    for run, one in zip(found, train_variants(alone), strict=True):
        assert_same_run(run, one)
    assert seen[0].estimate
    assert [p.done for p in seen] == sorted({p.done for p in seen})
    assert (seen[-1].done, seen[-1].seconds_left) == (12, 0.0)


def test_a_choice_of_fuse_is_checked():
    with pytest.raises(UsageError, match="fuse"):
        VariantsConfig(fuse="perhaps")
