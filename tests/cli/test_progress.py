"""What a long call says on standard error, and how often."""

import sys

import pytest

from landscape.cli import progress
from landscape.progress import Progress


def told(done, total=100, left=50.0, detail="loss 2.3", **changes):
    return Progress(done, total, "cell", left, detail, **changes)


def first(left, done=0, total=100):
    return told(done, total, left, "timed a few cells", estimate=True)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (5400, "1 h 30 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


def test_the_announcement_says_what_is_ahead():
    assert progress.announcement(first(45.0), None) == "100 cells to go: about 45 s."
    assert progress.announcement(first(300.0, done=1000, total=6724), 128) == (
        "5,724 cells to go, 1,000 done before: about 5 min."
    )
    assert progress.announcement(first(1.0, total=1), None) == "1 cell to go: about 1 s."
    least = told(0, 64, 2.0, estimate=True, rising=True)
    assert progress.announcement(least, None) == "At least 64 cells to go: 2 s or more."


def test_a_limit_is_advised_above_an_hour_only():
    assert "--limit" not in progress.announcement(first(3600.0), 1000)
    assert "--limit 500 would fit an hour" in progress.announcement(first(7200.0), 1000)
    assert "--limit 1 would" in progress.announcement(first(1e9), 2)
    assert "--limit" not in progress.announcement(first(7200.0), None)


def test_elsewhere_than_on_a_terminal_a_line_a_minute(clock, capsys):
    with progress.shown(False) as tell:
        tell(first(3000.0))
        for done in range(1, 100):
            clock[0] += 1.5
            tell(told(done))
        clock[0] += 1.5
        tell(told(100, left=0.0))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "100 cells to go: about 50 min.",
        "40 of 100 cells, 0.667 cells/s, 50 s left; loss 2.3",
        "80 of 100 cells, 0.667 cells/s, 50 s left; loss 2.3",
        "100 of 100 cells, 0.667 cells/s; loss 2.3",
    ]


def test_a_total_that_may_rise_is_told_as_the_least(clock, capsys):
    with progress.shown(False) as tell:
        clock[0] += 60.0
        tell(told(30, 64, 9.0, rising=True))
    assert "30 of at least 64 cells, " in (said := capsys.readouterr().err) and ", at least 9 s left" in said


def test_quiet_says_nothing(clock, capsys):
    with progress.shown(True) as tell:
        tell(first(1e6))
        clock[0] += 1e4
        tell(told(100))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_the_estimate_and_a_bar_with_rate_and_time_left(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    with progress.shown(False, limit=1000) as tell:
        tell(first(7200.0))
        clock[0] += 10.0
        tell(told(20, left=40.0))
        tell(first(30.0, total=50))  # the next part of a longer call
        tell(told(50, 50, left=0.0))
    out, err = capsys.readouterr()
    assert out == ""
    assert "100 cells to go: about 2 h 00 min. --limit 500 would fit an hour." in err
    assert "50 cells to go: about 30 s." in err
    assert "50/50" in err


def test_the_number_of_images_may_be_told_by_the_first_progress(capsys):
    with progress.shown(False, limit=lambda p: 10 * p.total) as tell:
        tell(first(7200.0))
    assert "--limit 500 would fit an hour" in capsys.readouterr().err
