"""Worker processes: what travels, what is said when it cannot, and that nobody is left behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from landscape import engines
from landscape.engines import EngineError, worker
from landscape.engines.cores import usable_cores
from landscape.errors import DataError, UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture
def two():
    return engines.get("processes:2")


def run(engine, task, *items):
    return dict(engine.run(task, items))


def left():
    return [child for child in multiprocessing.active_children() if child.name.startswith("landscape")]


def test_workers_are_counted_by_cores_or_by_name():
    assert engines.get("processes").workers == usable_cores()
    assert engines.get("processes:3").workers == 3
    assert engines.get("serial").workers == 1


@pytest.mark.parametrize("count", ["", "0", "-1", "2.5", "two", "4:4", "²"])
def test_what_is_no_number_of_workers_is_refused(count):
    with pytest.raises(UsageError, match=rf"cannot have '{count}' workers; write processes.*processes:4"):
        engines.get(f"processes:{count}")


def test_two_work_at_once_and_the_first_done_comes_first(two, errands, log):
    items = [("hear", "go"), ("say", "a"), ("say", "b"), ("say", "go")]  # the first ends when the last is done
    found = [item for item, _ in two.run(errands.Doing(log), items)]
    assert found[:2] == items[1:3], "a free worker is given the next item, whatever the other one does"
    assert sorted(found) == sorted(items)


def test_no_more_workers_start_than_there_are_items(errands, log):
    run(engines.get("processes:50"), errands.Doing(log), ("say", "a"))
    assert len(log.workers()) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [(DataError("no images"), DataError), (MemoryError("full"), MemoryError), (KeyError("k"), KeyError)],
)
def test_an_error_comes_with_its_type_and_the_place_where_it_arose(two, errands, log, error, kind):
    with pytest.raises(kind) as caught:
        run(two, errands.Doing(log), ("throw", error))
    assert caught.value.args == error.args
    assert "in throw\n    raise error" in str(caught.value.__cause__)
    assert not left()


def test_running_out_of_gpu_memory_keeps_its_type():
    torch = pytest.importorskip("torch")
    error = pickle.loads(pickle.dumps(worker.portable(torch.OutOfMemoryError("no room"))))
    assert type(error) is torch.OutOfMemoryError
    assert str(error) == "no room"


def test_an_error_that_cannot_travel_is_told(two, errands, log):
    task = errands.Doing(log)
    object.__setattr__(task, "throw", errands.two_things)
    with pytest.raises(EngineError, match=r"errands.Inconvenient in a worker: 1 and 2"):
        run(two, task, ("throw", None))


@posix
@pytest.mark.parametrize(("number", "told"), [(9, r"killed by signal 9 \(Killed\).*memory"), (-3, "exit code 3")])
def test_a_worker_that_is_lost_ends_the_run_and_keeps_what_had_arrived(two, errands, log, number, told):
    seen = []
    items = iter([("say", "a"), ("sleep", 60), ("say", "b"), ("die", number)])
    start = time.monotonic()
    with pytest.raises(EngineError, match=f"landscape-worker-[12] .*{told}"):
        for item, _ in two.run(errands.Doing(log), items):
            seen.append(item)
    assert seen == [("say", "a"), ("say", "b")]
    assert time.monotonic() - start < 30
    assert not left()


@posix
def test_a_task_may_go_on_without_a_worker(two, errands, log):
    """Both workers die, so the task is packed and opened anew; the words that come after find two others."""
    items = [("die", 9), ("die", -3), ("say", "a"), ("die", 9), ("say", "b")]
    found = [result for _, result in two.run(errands.Enduring(log), iter(items))]
    assert sorted(r for r in found if len(r) == 1) == ["a", "b"]
    deaths = [r for r in found if r.startswith("die was lost: landscape-worker-")]
    assert len(deaths) == 3
    assert sum("killed by signal 9" in r for r in deaths) == 2
    assert sum("exit code 3" in r for r in deaths) == 1
    assert not left()


def test_what_cannot_be_pickled_is_named_with_the_way_out(two, errands, log):
    remedy = ".*must stand by name in a module that can be imported; or use engine 'serial'"
    task = errands.Doing(log)
    object.__setattr__(task, "loss", lambda x: x)
    with pytest.raises(UsageError, match=f"the task cannot be handed to other processes.*<lambda>{remedy}"):
        run(two, task, ("say", "a"))
    task = errands.Doing(log)
    with pytest.raises(UsageError, match=f"an item cannot be handed to a worker: .*<lambda>{remedy}"):
        run(two, task, ("say", lambda: 0))
    with pytest.raises(UsageError, match=f"a result cannot be handed back by a worker: .*function.<locals>{remedy}"):
        run(two, task, ("function", "f"))
    assert log.all_closed()
    assert not left()


def test_closing_early_ends_workers_in_the_middle_of_an_item(two, errands, log):
    results = two.run(errands.Doing(log), [("say", "a"), ("sleep", 60), ("sleep", 60), ("say", "b")])
    next(results)
    log.wait_for("slept", 1)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 10
    assert not left()
    assert log.all_closed(), "workers close the task before they leave"


@posix
def test_a_worker_that_does_not_leave_is_killed(two, errands, log, monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE", 0.3)
    results = two.run(errands.Doing(log), [("say", "a"), ("resist", 60)])
    next(results)
    log.wait_for("slept")
    results.close()
    assert not left()
    assert not any(map(errands.alive, log.workers()))


def test_workers_have_the_folder_and_a_quiet_environment(two, errands, log, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # long after multiprocessing was imported
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    names = ("cwd", "torch", "wait policy", "interrupt")
    found = {name: result for (_, name), result in two.run(errands.Doing(log), [("ask", name) for name in names])}
    assert found == {"cwd": str(tmp_path), "torch": False, "wait policy": "PASSIVE", "interrupt": signal.SIG_IGN}
    assert "OMP_WAIT_POLICY" not in os.environ
    if hasattr(signal, "pthread_sigmask"):
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert run(two, errands.Doing(log), ("ask", "wait policy")) == {("ask", "wait policy"): "ACTIVE"}


def test_a_worker_starts_no_workers(two, errands, log):
    with pytest.raises(UsageError, match="'landscape-worker-1' is a worker and may start none"):
        run(two, errands.Doing(log), ("get_engine", "processes"))


PROGRAM = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from errands import Doing, Log
from landscape import engines

log = Log(Path({log!r}))
if __name__ == "__mp_main__":
    log.note("imported")

class Mine(Doing):
    pass

def program():
    for item, result in engines.get("processes:2").run({task}(log), {items!r}):
        print(result, flush=True)

{guard}
    program()
"""
GUARD, NO_GUARD = "if __name__ == '__main__':", "if True:"


@pytest.fixture
def program(log, tmp_path):
    """Start a program of its own; temporary files go to an empty folder."""
    started = []

    def start(items, *, how="file", guard=GUARD, task="Doing"):
        here = os.path.dirname(__file__)  # noqa: PTH120
        text = PROGRAM.format(here=here, log=str(log.path), items=items, guard=guard, task=task)
        (tmp_path / "program.py").write_text(text)
        (tmp_path / "tmp").mkdir()
        with (tmp_path / "program.py").open() as file:
            process = subprocess.Popen(
                [sys.executable, *{"file": ["program.py"], "stdin": [], "-c": ["-c", text]}[how]],
                stdin=file if how == "stdin" else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("how", "guard"), [("file", GUARD), ("stdin", NO_GUARD), ("-c", NO_GUARD)])
def test_a_program_may_come_from_a_file_from_standard_input_or_from_the_command_line(program, how, guard):
    out, err = program([("say", "a"), ("say", "b")], how=how, guard=guard).communicate(timeout=60)
    assert (sorted(out.split()), err) == (["a", "b"], "")


def test_a_class_of_the_program_is_found_where_the_program_can_be_imported(program):
    out, err = program([("say", "a")], task="Mine").communicate(timeout=60)
    assert (out, err) == ("a\n", "")


def test_a_class_of_a_program_without_a_file_is_named_with_the_way_out(program):
    _, err = program([("say", "a")], how="-c", guard=NO_GUARD, task="Mine").communicate(timeout=60)
    assert "UsageError: a worker cannot load the task: Can't get attribute 'Mine'" in err
    assert "or use engine 'serial'" in err


def test_a_program_without_a_guard_is_told_once(program, log):
    process = program([("say", "a"), ("say", "b")], guard=NO_GUARD)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("Traceback") == 1
    assert err.strip().splitlines()[-1].startswith("landscape.errors.UsageError: the program starts workers as soon as")
    assert "if __name__ == '__main__':" in err
    assert set(log.words()) == {"imported"}


@posix
@pytest.mark.parametrize("when", ["starting", "working"])
def test_ctrl_c_stops_workers_without_a_word_from_them(program, log, errands, tmp_path, when):
    process = program([("sleep", 60), ("sleep", 60)])
    log.wait_for(*{"starting": ("imported", 1), "working": ("slept", 2)}[when])
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, err = process.communicate(timeout=60)  # workers hold its other end, so they are gone too
    assert process.returncode == -signal.SIGINT
    assert "spawn_main" not in err
    assert "Process landscape" not in err
    assert err.strip().endswith("KeyboardInterrupt")
    assert log.all_closed()
    assert not list((tmp_path / "tmp").iterdir())
    errands.wait_until_gone(log.workers())


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")  # noqa: PTH110
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_leave_when_the_program_is_killed(program, log, errands, tmp_path, number):
    process = program([("sleep", 60), ("say", "b")])  # one is busy, one waits
    log.wait_for("b")
    log.wait_for("slept")
    assert len(log.workers()) == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    errands.wait_until_gone(log.workers())
    assert err == ""
    assert log.count("closed") >= 1
    assert not list((tmp_path / "tmp").iterdir())
