"""What TensorBoard reads back is what the run recorded."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys

import numpy as np
import pytest

from landscape.errors import MissingExtraError, StorageError
from landscape.training import VariantsConfig, train, train_variants

NAME = "tiny-lr0.001-seed0"


@pytest.fixture
def read():
    """Scalars of a log by name: steps and values, as TensorBoard shows them; and its texts."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def of(folder):
        events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        tags = events.Tags()
        scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
        return scalars, {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}

    return of


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
