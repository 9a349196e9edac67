"""A crash, a full disk or a reader meets the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.errors import StorageError
from landscape.records import Run
from landscape.storage import load, load_checkpoint, replacing, save, save_checkpoint


def make_run(steps):
    none = np.zeros(0)
    return Run(np.arange(steps), np.ones(steps), none, none, none)


def test_a_clean_exit_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as partial:
        assert partial.parent == path.parent
        partial.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with replacing(path) as partial:
        partial.write_text("two")
        assert path.read_text() == "one"  # what a reader meets meanwhile
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failing_body_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    for error in (ValueError, KeyboardInterrupt):

        def write(error=error):
            with replacing(path) as partial:
                partial.write_text("half")
                raise error

        with pytest.raises(error):
            write()
        assert list(tmp_path.iterdir()) == [path]
        assert path.read_text() == "old"


def test_the_content_is_synced_before_it_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor):
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda a, b: (done.append("rename"), replace(a, b))[1])
    save(make_run(3), tmp_path / "a.h5")
    if Path("/proc/self/fd").exists():
        assert done == ["file", "rename", "folder"]
    assert done.index("rename") == 1


def test_a_record_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    save(make_run(3), path)
    none = np.zeros(0)
    with pytest.raises(TypeError):
        save(Run(none, none, none, none, none, recipe={"not json": object()}), path)
    assert len(load(path).loss) == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["write", "sync", "rename"])
def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path, monkeypatch, where):
    path = tmp_path / "a.h5"
    save(make_run(3), path)
    weights = tmp_path / "a.pth"
    save_checkpoint(weights, {"w": torch.ones(3)})

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {"write": (Path, "write_bytes"), "sync": (os, "fsync"), "rename": (Path, "replace")}[where]
    monkeypatch.setattr(*target, full)
    with pytest.raises(StorageError, match=r"cannot write .*a\.h5: No space left on device\. .*untouched.*--out"):
        save(make_run(9), path)
    with pytest.raises(StorageError, match=r"cannot write .*a\.pth: No space left on device"):
        save_checkpoint(weights, {"w": torch.ones(9)})
    monkeypatch.undo()
    assert len(load(path).loss) == 3
    assert len(load_checkpoint(weights, torch.nn.ParameterDict({"w": torch.ones(3)})).state_dict["w"]) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "a.pth"]


FULL = """
import resource, signal, sys
import numpy as np, torch
from pathlib import Path
from landscape.errors import StorageError
from landscape.records import Run
from landscape.storage import save, save_checkpoint

def run(n):
    return Run(np.arange(n), np.random.default_rng(0).random(n), np.zeros(0), np.zeros(0), np.zeros(0))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
for limit in (0, 100, 1_500, 5_000, 30_000, 100_000):  # in data, in tables, in what is written on closing
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for write in (
        lambda: save(run(20_000), folder / "a.h5"),
        lambda: save_checkpoint(folder / "a.pth", {"w": torch.ones(300, 100)}, training={"more": torch.ones(9)}),
        lambda: save_checkpoint(folder / "a.safetensors", {"w": torch.ones(300, 100)}),
    ):
        try:
            write()
        except StorageError as error:
            assert "File too large" in str(error), error
        else:
            raise AssertionError("written")
print("refused")
"""


def test_the_system_refusing_to_write_anywhere_in_a_file_is_one_kind_of_error(tmp_path):
    """A limit on the size of a file stops the writers where a full disk would, for real."""
    pytest.importorskip("resource")
    pytest.importorskip("safetensors")
    save(make_run(3), tmp_path / "a.h5")
    save_checkpoint(tmp_path / "a.pth", {"w": torch.ones(3)})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("place", ["file/below/a.h5", "file/a.h5"])
def test_a_place_that_cannot_be_written_to_is_said(tmp_path, place):
    (tmp_path / "file").write_text("a file, no folder")
    with pytest.raises(StorageError, match=r"cannot write .*(Not a directory|File exists)"):
        save(make_run(3), tmp_path / place)
    with pytest.raises(StorageError, match="cannot write"):
        save_checkpoint(tmp_path / place, {"w": torch.ones(3)})
    assert (tmp_path / "file").read_text() == "a file, no folder"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no file")
def test_a_file_system_that_takes_no_file_is_said():
    with pytest.raises(StorageError, match=r"cannot write /proc/landscape/a\.h5"):
        save(make_run(3), "/proc/landscape/a.h5")


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "a.h5").mkdir()
    with pytest.raises(StorageError, match="it is a folder"):
        save(make_run(3), tmp_path / "a.h5")
    assert (tmp_path / "a.h5").is_dir()


KILLED = """
import os, random, signal, sys, time
import h5py, numpy as np
from landscape.records import Run
from landscape.storage.hdf5 import load, save

path, sizes = sys.argv[1], {2_000: 1.0, 60_000: 2.0}

def run(n):
    return Run(np.arange(n), np.full(n, sizes[n]), np.zeros(0), np.zeros(0), np.zeros(0))

runs = [run(n) for n in sizes]
began = time.monotonic()
for one in reversed(runs):
    save(one, path)
cycle = time.monotonic() - began  # of a machine that may be busy
seen, left = set(), 0
random.seed(0)
for _ in range(60):
    child = os.fork()
    if not child:
        try:
            while True:
                for one in runs:
                    save(one, path)
        finally:
            os._exit(1)
    time.sleep(random.uniform(0.05, 3) * cycle)
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "the writer failed by itself"
    found = load(path)
    assert (found.loss == sizes[len(found.loss)]).all()
    seen.add(len(found.loss))
    left += os.path.exists(path + ".partial")
assert left, "no writer was killed while it wrote"
save(runs[0], path)
assert os.listdir(os.path.dirname(path)) == ["a.h5"]
print(sorted(seen))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks writers")
def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    """kill -9 at random moments: what is read is the old record or the new one; a leftover is written over."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[2000, 60000]\n"
