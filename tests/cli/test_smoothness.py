"""`landscape smoothness`, as it is typed: files, what is paid twice, stopping and continuing, the page's words."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape import load, load_checkpoint
from landscape.training.trainer import Trainer

RUNS = ("vgg_light-lr0.05-seed0", "vgg_light_bn-lr0.05-seed0")
ONE = ("--models", "vgg_light", "--epochs", 1, "--dataset", "fashion_mnist_mini", "--limit", 60)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


EXPECTED = {f"runs/{run}.h5" for run in RUNS} | {f"traces/{run}.h5" for run in RUNS}
EXPECTED |= {f"checkpoints/{run}-{which}.pth" for run in RUNS for which in ("best", "last")}
EXPECTED |= {"smoothness.html", "smoothness.png", "plotly.min.js"}


def assert_same_outcome(out, whole):
    assert files(out) == files(whole) == EXPECTED
    for run in RUNS:
        found, expected = (load(folder / f"traces/{run}.h5") for folder in (out, whole))
        for name in ("step", "loss", "gradient_distance", "start_loss", "accuracy", "covariate_shift"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=f"{run} {name}")
        assert found.recipe == expected.recipe
        np.testing.assert_array_equal(load(out / f"runs/{run}.h5").loss, load(whole / f"runs/{run}.h5").loss)
        a, b = (load_checkpoint(folder / f"checkpoints/{run}-last.pth").state_dict for folder in (out, whole))
        assert all(torch.equal(a[name], tensor) for name, tensor in b.items())


def test_what_is_written_and_printed(probed, estimate):
    out, result = probed.out, probed.result
    assert files(out) == EXPECTED
    trace = load(out / "traces" / f"{RUNS[1]}.h5")
    assert trace.step.tolist() == [0, 2, 4]  # 90 images in batches of 32: three steps an epoch
    np.testing.assert_allclose(trace.step_size, [0.025, 0.05, 0.1, 0.2])
    assert trace.covariate_shift[:, 0].tolist() == [0, 0, 0], "nothing comes before the first layer"
    assert (trace.covariate_shift[:, 1] > 0).all()
    assert trace.recipe["model_options"]["init"] == "xavier"
    assert trace.provenance["command"].startswith("landscape smoothness --models=vgg_light,vgg_light_bn")
    others = estimate(result.stderr, "step")
    assert others[-1].startswith("12 of 12 steps")
    assert "vgg_light / vgg_light_bn, ratio of means" in result.stdout
    assert "One seed and 2 epochs (fewer than 20): too little for a claim" in result.stdout
    assert "Ratios without / with normalization" in result.stdout
    assert result.stdout.splitlines()[-1] == str(out / "smoothness.html")
    assert "landscape smoothness --models=vgg_light,vgg_light_bn" in (out / "smoothness.html").read_text()


def test_the_training_is_that_of_a_run_that_was_not_probed(probed, landscape):
    words = ("--variants=vgg_light_bn", "--lrs=0.05", "--optimizer=sgd", "--weight-decay=0", "--init=xavier")
    landscape("train-variants", *words, *probed.words[2:3], *probed.words[5:], "--out", "plain")
    run = load(Path("plain") / "runs" / f"{RUNS[1]}.h5")
    np.testing.assert_array_equal(run.loss, load(probed.out / "runs" / f"{RUNS[1]}.h5").loss)


def test_the_same_command_trains_nothing(probed, landscape, place, counted_steps):
    out = shutil.copytree(probed.out, place / "out")
    before = {name: (out / name).read_bytes() for name in files(out)}
    result = landscape("smoothness", *probed.words, "--out", out)
    assert not counted_steps
    assert "All 12 steps were done before" in result.stderr
    assert {name: (out / name).read_bytes() for name in files(out)} == before


def test_stopped_with_ctrl_c_and_continued(probed, refused, landscape, monkeypatch, counted_steps):
    step = Trainer.step

    def stopping(self, rows):
        if counted_steps[RUNS[1]] == 5:  # in the second epoch of the second run
            raise KeyboardInterrupt
        return step(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        assert "the same command again to continue" in refused(130, "smoothness", *probed.words, "--out", "out")
    counted_steps.clear()
    landscape("smoothness", *probed.words, "--out", "out")
    assert counted_steps == {RUNS[1]: 3}, "no finished epoch is trained again"
    assert_same_outcome(Path("out"), probed.out)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_and_continued_equals_an_uninterrupted_one(probed, landscape, counted_steps, killed_when):
    out = Path("out")
    last = out / "checkpoints" / f"{RUNS[1]}-last.pth"
    killed_when(last.exists, ["-m", "landscape", "smoothness", *probed.words, "--out", "out", "--quiet"])
    done = load_checkpoint(last).meta["epoch"]
    landscape("smoothness", *probed.words, "--out", "out")
    assert sum(counted_steps.values()) == 3 * (2 - done)
    assert_same_outcome(out, probed.out)


@pytest.mark.parametrize("writes", [1, 9])
def test_a_full_disk_is_told_and_no_finished_run_is_lost(probed, refused, landscape, monkeypatch, writes):
    fsync, made = os.fsync, []

    def full(descriptor):
        made.append(descriptor)
        if len(made) > 2 * writes:  # a file and its folder
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        says = ["cannot write out/", "No space left on device", "same command"]
        refused(1, "smoothness", *probed.words, "--out", "out", says=says)
    finished = [path for path in Path("out").glob("runs/*.h5") if len(load(path).epoch) == 2]
    written = {path: path.stat().st_mtime_ns for path in finished}
    landscape("smoothness", *probed.words, "--out", "out")
    assert {path: path.stat().st_mtime_ns for path in finished} == written, "a finished run is not written again"
    assert_same_outcome(Path("out"), probed.out)


def test_steps_become_whole_epochs(landscape, counted_steps):
    words = (*ONE[:2], *ONE[4:], "--batch-size", 20)
    result = landscape("smoothness", *words, "--steps", 4, "--every", 5, "--out", "s")
    told = result.stderr.splitlines()
    assert told[0] == "4 steps are rounded up to 6: whole epochs of 3 steps."
    assert "0–6" in result.stdout and "0–10" not in result.stdout  # windows end where the training does
    assert "rounded up" not in landscape("smoothness", *words, "--steps", 3, "--ics", "--out", "t").stderr
    assert load("t/traces/vgg_light-lr0.1-seed0.h5").layer.tolist() == ["classifier.4"], "the fifth: there is no tenth"
    assert counted_steps == {"vgg_light-lr0.1-seed0": 6 + 3}  # 54 images: three steps an epoch
    assert load("s/traces/vgg_light-lr0.1-seed0.h5").step.tolist() == [0, 5]


def test_step_sizes_may_be_named(landscape):
    landscape("smoothness", *ONE, "--step-sizes", "0.3,0.01", "--ics", "--layers", "features.3", "--out", "s")
    trace = load("s/traces/vgg_light-lr0.1-seed0.h5")
    assert trace.step_size.tolist() == [0.01, 0.3]
    assert trace.layer.tolist() == ["features.3"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--steps", 5], 2, ["--steps and --epochs"]),
        (["--multiples", "1,2", "--step-sizes", "0.1"], 2, ["--multiples and --step-sizes"]),
        (["--multiples", "1,0"], 2, ["--multiples", "above zero"]),
        (["--step-sizes", "0.1,0.1"], 2, ["none twice"]),
        (["--layers", "0"], 2, ["--layers", "counted from 1"]),
        (["--layers", "5,10"], 2, ["no layer 10", "1 features.0", "5 classifier", "--layers"]),
        (["--layers", "99"], 2, ["no layer 99"]),
        (["--layers", "features.33"], 2, ["features.33"]),
        (["--models", "vgg_lite"], 2, ["vgg_lite", "vgg_light"]),
        (["--models", "vgg_light,vgg_light"], 2, ["--models", "vgg_light twice", "none twice"]),
        (["--every", 0], 2, ["--every"]),
        (["--models", "dln,vgg_light"], 2, ["vgg_light", "two calls"]),
    ],
)
def test_bad_input(refused, place, words, code, says):
    refused(code, "smoothness", *ONE, *words, "--out", "bad", says=says)
    assert not list(place.rglob("*.pth"))


def test_other_probes_of_a_finished_run_are_refused(refused, probed, place):
    out = shutil.copytree(probed.out, place / "out")
    refused(1, "smoothness", *probed.words, "--every=1", "--out", out, says=["every=2", "every=1"])
    refused(1, "smoothness", *probed.words, "--lr=0.05", "--weight-decay=0.1", "--out", out, says=["weight_decay"])


def test_a_place_that_cannot_be_written_to(refused, place):
    (place / "file").write_text("in the way")
    refused(1, "smoothness", *ONE, "--out", "file/out", says=["file", "Nothing was trained"])


def test_several_traces_make_one_figure(landscape, refused, probed, trained, place):
    names = [shutil.copy(probed.out / "traces" / f"{run}.h5", place / f"{run}.h5").name for run in RUNS]
    assert landscape("plot", *names, "--out", "both").stdout.split() == ["both.html", "both.png"]
    assert "vgg_light / vgg_light_bn, ratio" in (place / "both.html").read_text()
    assert landscape("plot", names[0], "--format", "pdf").stdout.split() == [names[0].replace(".h5", ".pdf")]
    refused(2, "plot", *names, trained / "bands.h5", says=["bands.h5", "one file at a time"])
    refused(2, "plot", names[0], "--format", "vtk", says=["a trace"])
    refused(2, "plot", names[0], names[0], says=["there twice"])


def test_info_of_a_trace(landscape, probed):
    shown = landscape("info", probed.out / "traces" / f"{RUNS[0]}.h5").stdout
    assert "vgg_light (mean over the training, 1 seed): loss range" in shown
    assert "step 3, step_size 4" in shown


# --- the deep linear setting


DEEP = ("--models", "dln,dln_bn", "--steps", 4, "--every", 2)


def test_deep_linear_networks(landscape, counted_steps, estimate):
    result = landscape("smoothness", *DEEP, "--seeds", "0,1", "--out", "deep")
    assert "16 of 16 steps" in estimate(result.stderr, "step")[-1]
    traces = sorted(Path("deep/traces").iterdir())
    assert [path.stem for path in traces] == [f"{m}-lr1e-06-seed{s}" for m in ("dln", "dln_bn") for s in (0, 1)]
    trace = load(traces[0])
    assert trace.step.tolist() == [0, 2]
    np.testing.assert_allclose(trace.step_size, [1e-8, 1e-7, 1e-6, 1e-5, 3.16e-5])
    assert "dln / dln_bn, ratio of means" in result.stdout
    before = {path: path.read_bytes() for path in traces}
    again = landscape("smoothness", *DEEP, "--seeds", "0,1", "--out", "deep")
    assert "All 16 steps were done before" in again.stderr
    assert {path: path.read_bytes() for path in traces} == before
    assert not counted_steps


def test_options_of_images_are_refused_for_vectors(refused, landscape):
    refused(2, "smoothness", *DEEP, "--batch-size", 10, says=["--batch-size", "vectors"])
    refused(2, "smoothness", *DEEP, "--limit", 10, says=["--limit", "vectors"])
    landscape("smoothness", *DEEP, "--lr", "1e-7", "--multiples", "1,3", "--out", "d")
    np.testing.assert_allclose(load("d/traces/dln-lr1e-07-seed0.h5").step_size, [1e-7, 3e-7])


def test_a_log_for_tensorboard_changes_nothing_and_dln_has_none(probed, landscape, refused):
    pytest.importorskip("tensorboard")
    words = [w for w in probed.words if not w.startswith("--models")]
    landscape("smoothness", "--models=vgg_light_bn", *words, "--tensorboard", "logs", "--out", "logged")
    assert [path.parent.name for path in Path("logs").rglob("*tfevents*")] == [RUNS[1]]
    logged, plain = (load(out / "traces" / f"{RUNS[1]}.h5") for out in (Path("logged"), probed.out))
    np.testing.assert_array_equal(logged.loss, plain.loss)
    refused(2, "smoothness", "--models", "dln", "--tensorboard", "logs", says=["--tensorboard is for networks on imag"])
    Path("file").write_text("no folder")
    refused(1, "smoothness", *ONE, "--tensorboard", "file/log", says=["file/log", "is a file", "Nothing was trained"])
