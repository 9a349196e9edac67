"""What TensorBoard reads back is what the run recorded."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys

import numpy as np
import pytest

from landscape.errors import MissingExtraError, StorageError
from landscape.training import SweepConfig, VariantsConfig, train, train_sweep, train_variants

NAME = "tiny-lr0.001-seed0"


@pytest.fixture
def read(monkeypatch):
    """Scalars of a log by name: steps and values, as TensorBoard shows them; and its texts."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    # files of one second are told apart by a counter, and read in the order of their names: 10 would come before 9
    monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(100))

    def of(folder):
        events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        tags = events.Tags()
        scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
        return scalars, {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}

    return of


@pytest.fixture
def train_until():
    """Train until the record of an epoch is on disk, and stop as Ctrl-C does."""
    from landscape.training import trainer

    def until(epochs, c):
        write = trainer.write_record

        def stopping(run):
            write(run)
            if run.history.epochs == epochs:
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(trainer, "write_record", stopping)
            train(c)

    return until


@pytest.fixture
def three(config, tmp_path, read):
    """Settings of three epochs in a folder, without a log, and what a log of them from the start holds."""
    c = config("tiny", epochs=3, val_every=4, scheduler="onecycle", out=tmp_path / "out")
    train(dataclasses.replace(c, out=None, tensorboard=tmp_path / "whole"))
    return c, read(tmp_path / "whole" / NAME)


def check(scalars, run):
    def close(name, steps, values):
        np.testing.assert_array_equal([step for step, _ in scalars[name]], steps)
        np.testing.assert_allclose([value for _, value in scalars[name]], values, rtol=1e-6)  # float32 in the log

    ends = 6 * run.epoch
    close("loss/step", run.step + 1, run.loss)
    close("learning_rate", run.step + 1, run.learning_rate)
    close("loss/train", ends, run.loss.reshape(-1, 6).mean(axis=1))
    close("loss/validation", ends, run.val_loss)
    close("accuracy/train", ends, run.train_accuracy)
    close("accuracy/validation", ends, run.val_accuracy)
    close("loss/validation_step", run.val_step, run.val_step_loss)
    close("accuracy/validation_step", run.val_step, run.val_step_accuracy)


def test_the_log_holds_the_scalars_of_the_run_and_its_hyperparameters(config, tmp_path, read):
    settings = {"epochs": 2, "val_every": 4, "scheduler": "onecycle"}
    run = train(config("tiny", tensorboard=tmp_path, **settings))
    scalars, texts = read(tmp_path / NAME)
    check(scalars, run)
    (text,) = texts.values()
    for row in (
        "| batch_size | 20 |",
        "| scheduler | onecycle |",
        "| optimizer | adamw |",
        "| learning_rate | 0.001 |",
    ):
        assert row in text
    plain = train(config("tiny", **settings))
    assert plain.recipe == run.recipe, "where it is logged is no part of the recipe"
    assert plain.loss.tobytes() == run.loss.tobytes()


def test_a_run_that_was_stopped_and_continued_is_logged_once(config, tmp_path, read):
    """Killed between the log of the second epoch and its checkpoint: that epoch is trained, and logged, again."""
    from landscape.training import trainer

    pytest.importorskip("tensorboard")
    c = config("tiny", epochs=3, val_every=4, out=tmp_path / "out", tensorboard=tmp_path)
    write = trainer.write_checkpoints

    def killed(run, *, best):
        if run.history.epochs == 2:
            raise KeyboardInterrupt
        write(run, best=best)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer, "write_checkpoints", killed)
        train(c)
    run = train(c)
    check(read(tmp_path / NAME)[0], run)


@pytest.mark.parametrize("before", [1, 3])
def test_a_run_begun_or_finished_without_a_log_has_the_whole_one_afterwards(three, tmp_path, read, train_until, before):
    c, whole = three
    train_until(before, c)
    logged = dataclasses.replace(c, tensorboard=tmp_path / "late")
    run = train(logged)
    assert read(tmp_path / "late" / NAME) == whole
    check(whole[0], run)
    files = {path: path.read_bytes() for path in (tmp_path / "late" / NAME).iterdir()}
    train(logged)
    assert {path: path.read_bytes() for path in (tmp_path / "late" / NAME).iterdir()} == files, "it was whole already"


def test_epochs_that_a_log_lacks_are_added(three, tmp_path, read, train_until):
    c, whole = three
    logged = dataclasses.replace(c, tensorboard=tmp_path / "late")
    train_until(1, logged)
    train(c)
    assert len(read(tmp_path / "late" / NAME)[0]["loss/train"]) == 1
    train(logged)
    assert read(tmp_path / "late" / NAME)[0] == whole[0]


def test_a_finished_run_takes_the_place_of_another_of_its_name(three, config, tmp_path, read):
    c, whole = three
    train(c)
    train(config("tiny", epochs=3, weight_decay=0.5, tensorboard=tmp_path / "late"))
    assert read(tmp_path / "late" / NAME)[0]["loss/step"] != whole[0]["loss/step"]
    train(dataclasses.replace(c, tensorboard=tmp_path / "late"))
    assert read(tmp_path / "late" / NAME)[0] == whole[0]


def test_a_log_whose_mark_cannot_be_read_is_written_anew(three, tmp_path, read):
    c, whole = three
    logged = dataclasses.replace(c, tensorboard=tmp_path / "late")
    train(logged)
    (tmp_path / "late" / NAME / "logged.json").write_text('{"epochs": 3, "rec')
    train(logged)
    assert read(tmp_path / "late" / NAME)[0] == whole[0]


def test_comparisons_and_sweeps_that_are_finished_are_logged_afterwards(config, tmp_path, read):
    def all_of(logs, out):
        c = config("tiny", epochs=2, out=out, tensorboard=logs)
        train_variants(VariantsConfig(("tiny",), (1e-3, 1e-2), (0,), c))
        train_sweep(SweepConfig(c, {"batch_size": [20, 30]}))

    def found(logs):
        return {str(mark.parent.relative_to(logs)): read(mark.parent) for mark in logs.rglob("logged.json")}

    all_of(None, tmp_path / "one")
    all_of(tmp_path / "late", tmp_path / "one")
    all_of(tmp_path / "whole", tmp_path / "other")
    assert found(tmp_path / "late") == found(tmp_path / "whole")
    assert len(found(tmp_path / "late")) == 4


@pytest.mark.parametrize(("engine", "fuse"), [("serial", "off"), ("serial", "on"), ("processes:2", "off")])
def test_every_run_of_a_comparison_has_a_log_of_its_own(config, tmp_path, read, engine, fuse):
    """One after the other, in one pass, and in processes: registered networks, for workers know no others."""
    model = "tiny_bn" if engine == "serial" else "mlp"
    shared = config(model, epochs=2, tensorboard=tmp_path / "logs", out=tmp_path / "out")
    runs = train_variants(VariantsConfig((model,), (1e-3, 1e-2), (0,), shared, engine=engine, fuse=fuse))
    assert {folder.name for folder in (tmp_path / "logs").iterdir()} == {run.provenance["name"] for run in runs}
    for run in runs:
        scalars, texts = read(tmp_path / "logs" / run.provenance["name"])
        assert f"| learning_rate | {run.recipe['learning_rate']} |" in next(iter(texts.values()))
        scalars.update({f"{kind}/validation_step": [] for kind in ("loss", "accuracy")})
        check(scalars, run)


def test_a_log_that_cannot_be_written_ends_the_run_in_words_and_loses_no_epoch(config, tmp_path, monkeypatch):
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
    c = config("tiny", epochs=2, out=tmp_path / "out", tensorboard=tmp_path / "log")

    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(writer, "flush", full)
        with pytest.raises(StorageError, match=r"cannot write the log .*No space left on device.*--tensorboard"):
            train(c)
    assert len(train(dataclasses.replace(c, tensorboard=None)).epoch) == 2
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot write the log"):
        train(config("tiny", epochs=1, tensorboard=tmp_path / "file"))


def test_without_the_library_the_command_that_installs_it_is_told(config, tmp_path, monkeypatch, steps):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"--tensorboard\) needs tensorboard: pip install 'landscape-lab\[tens"):
        train(config("tiny", tensorboard=tmp_path))
    assert steps == []
