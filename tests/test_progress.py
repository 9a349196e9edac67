"""Several calls, one progress."""

from landscape.progress import Progress, parts


def test_parts_add_up_to_the_whole():
    """Two calls of 10 cells, the second at twice the cost: 1 s and 2 s a cell make 30 s in all."""
    told = []
    first, second = parts(told.append, [1.0, 2.0])
    first(Progress(0, 10, "cell", 10.0, "timed", estimate=True))
    first(Progress(4, 10, "cell", 6.0))
    first(Progress(10, 10, "cell", 0.0))
    second(Progress(0, 10, "cell", 20.0, "timed", estimate=True))
    second(Progress(10, 10, "cell", 0.0, "end"))
    assert [(p.done, p.total, p.seconds_left, p.estimate) for p in told] == [
        (0, 20, 30.0, True),
        (4, 20, 26.0, False),
        (10, 20, 20.0, False),
        (10, 20, 20.0, False),
        (20, 20, 0.0, False),
    ]
    assert told[-1].detail == "end"
    first(Progress(1, 10, "cell", 1.0, rising=True))
    assert told[-1].rising
