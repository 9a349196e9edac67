"""A task in a file: tensors keep layout and sharing, and nobody sees what another writes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from landscape.engines import EngineError
from landscape.engines.parcel import pack, unpack
from landscape.errors import UsageError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "task"


def travelled(task, path):
    pack(task, path)
    return unpack(path)


def test_layout_sharing_and_kind_of_tensors_are_kept(path):
    whole = torch.arange(12.0)
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tied = nn.Parameter(torch.randn(3, 3), requires_grad=False)
    half, views, again, (one, other) = travelled((whole[::2], (whole[:4], whole[4:]), images, (tied, tied)), path)
    assert half.stride() == (2,)
    assert len({t.untyped_storage().data_ptr() for t in (half, *views)}) == 1
    assert again.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(again, images)
    assert one is other
    assert isinstance(one, nn.Parameter)
    assert not one.requires_grad


def test_what_one_worker_writes_nobody_else_sees(path):
    mine = torch.zeros(5000)
    pack({"t": mine}, path)
    one, other = unpack(path)["t"], unpack(path)["t"]
    one += 1
    path.unlink()  # as soon as all have opened it
    assert (one == 1).all()
    assert (mine == 0).all()
    assert (other == 0).all()


def test_the_tensors_of_the_caller_stay_where_they_are(path):
    array = torch.zeros(3).numpy()
    mine = torch.from_numpy(array)
    place = mine.data_ptr()
    pack([mine], path)
    array[0] = 5
    assert mine.data_ptr() == place
    assert not mine.is_shared()
    assert mine[0] == 5


def test_memory_is_shared_until_it_is_written(path):
    """Reading 40 MB of a mapped file adds no memory of one's own."""
    statistics = "/proc/self/smaps_rollup"
    if not os.path.exists(statistics):  # noqa: PTH110
        pytest.skip("needs Linux")

    def own():
        with open(statistics) as file:  # noqa: PTH123
            return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Dirty", "Anonymous")))

    pack([torch.ones(10_000_000)], path)
    (t,) = unpack(path)
    before = own()
    assert t.sum() == 10_000_000
    assert own() - before < 4_000
    t += 1
    assert own() - before > 39_000


def test_a_task_without_tensors_needs_no_torch(path):
    pack({"a": [1, 2]}, path)  # written where torch is loaded
    code = "import sys, pathlib; from landscape.engines.parcel import unpack; print(unpack(pathlib.Path(sys.argv[1])))"
    code += "; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert found.stdout == "{'a': [1, 2]}\nFalse\n"


@pytest.mark.parametrize("extra", [{}, {"t": torch.zeros(2)}])
def test_a_lambda_is_named(path, extra):
    with pytest.raises(UsageError, match=r"cannot be handed to other processes: .*<lambda>.*\. Functions and classes"):
        pack(extra | {"loss": lambda x: x}, path)


class Refusing:
    def __reduce__(self):
        raise RuntimeError("I stay here.")


def test_what_an_object_says_against_travelling_is_told(path):
    with pytest.raises(UsageError, match=r"cannot be handed to other processes: I stay here\. Functions"):
        pack(Refusing(), path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_no_room_is_told_with_the_way_out(path):
    path.symlink_to("/dev/full")
    with pytest.raises(EngineError, match=r"cannot write the task for the workers into .*: No space left.*TMPDIR"):
        pack([1, 2], path)


def test_no_room_for_tensors_is_told_too(path):
    """torch words a full disk as a RuntimeError; here the size of files is limited instead."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(EngineError, match=r"cannot write the task .*: File too large.*TMPDIR"):
            pack([torch.zeros(1_000_000)], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
