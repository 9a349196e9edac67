"""`train-variants` killed, stopped, or out of space, however it trains: the same command continues."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from landscape import atomic, load, load_checkpoint
from landscape.engines import usable_cores

# with as many workers as cores each has one thread, as the call in this process has; then all agree in every bit
WAYS = {"processes": ("--engine", f"processes:{usable_cores()}"), "fused": ("--fuse", "on")}
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits of POSIX")


@pytest.fixture
def undisturbed(trained, landscape, variants, place):
    """What the command writes when nothing happens; stacked runs differ from single ones in their last bits."""

    def written(way):
        if way == "processes":
            return trained
        landscape("train-variants", *variants, *WAYS[way], "--out", "undisturbed", "--quiet")
        return place / "undisturbed"

    return written


def started(*words, **options):
    typed = [sys.executable, "-m", "landscape", "train-variants", *map(str, words), "--out", "out", "--quiet"]
    return subprocess.Popen(typed, stderr=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT, **options)


def stop_when(condition, child, number):
    deadline = time.monotonic() + 120
    while not condition():
        assert child.poll() is None, f"ended by itself: {child.stderr.read()}"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child.pid, number)
    _, said = child.communicate(timeout=60)
    return said


def assert_same(out, whole):
    """Bands and every checkpoint, bit for bit, and no file more or less."""
    found, expected = load(out / "bands.h5"), load(whole / "bands.h5")
    for name in ("loss", "val_loss", "val_accuracy", "collapsed", "diverged"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    for path in [*whole.glob("checkpoints/*"), *whole.glob("*.pth")]:
        state, other = (load_checkpoint(folder / path.relative_to(whole)).state_dict for folder in (out, whole))
        assert all(state[name].equal(tensor) for name, tensor in other.items()), path.name
    assert files(out) == files(whole)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("way", "number"), [("processes", signal.SIGKILL), ("processes", signal.SIGINT), ("fused", signal.SIGKILL)]
)
def test_stopped_in_mid_run_and_continued(landscape, variants, way, place, *, undisturbed, number):
    out = place / "out"
    with started(*variants, *WAYS[way]) as child:
        said = stop_when(lambda: any(out.glob("checkpoints/*-last.pth")), child, number)
    if number == signal.SIGINT:
        assert child.returncode == 130
        assert "the same command again to continue" in said
    assert not (out / "bands.h5").exists()
    landscape("train-variants", *variants, *WAYS[way], "--out", "out", "--quiet")
    assert_same(out, undisturbed(way))


def test_a_file_that_cannot_grow_is_said_and_the_run_continued(landscape, variants, trained, place):
    """The system refuses the first checkpoint, in a worker."""
    way = "processes"
    limit = 300_000  # bytes: more than a record, less than a checkpoint
    begun = started(*variants, *WAYS[way], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    with begun as child:
        said = child.communicate(timeout=120)[1]
    assert child.returncode == 1
    assert said.startswith("Error: cannot write out/checkpoints/vgg_light")
    assert os.strerror(errno.EFBIG) in said
    assert "give the same command again" in said
    assert not list(place.rglob("*.partial"))
    landscape("train-variants", *variants, *WAYS[way], "--out", "out", "--quiet")
    assert_same(place / "out", trained)


def test_a_full_disk_at_any_write_loses_no_finished_run(run_any, variants, trained, place, monkeypatch):
    """The disk is full after some writes of an attempt: of records, checkpoints, the page, the picture."""
    sync, room = atomic._sync, [0]

    def full(path):
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    monkeypatch.setattr(atomic, "_sync", full)
    ends, done = [], []
    while not ends or ends[-1]:
        assert len(ends) < 30
        room[0] = 14  # the last files take twelve, the folders synced included
        result = run_any("train-variants", *variants, "--out", "out", "--quiet")
        ends.append(result.exit_code)
        if result.exit_code:
            assert result.stderr.startswith("Error: cannot write out")
            assert os.strerror(errno.ENOSPC) in result.stderr
        assert all(path.read_bytes() == content for path, content in done), "a finished run was written again"
        runs = [path for path in place.glob("out/runs/*.h5") if len(load(path).epoch) == 2]
        done = [(path, path.read_bytes()) for path in runs]
    assert len(ends) > 2
    assert set(ends[:-1]) == {1}
    assert_same(place / "out", trained)
