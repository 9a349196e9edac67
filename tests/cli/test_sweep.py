"""`landscape sweep`, as it is typed: files, table, what is paid twice, and what is refused."""

import json

import numpy as np
import pytest

from landscape import load
from landscape.training.changes import KEYS
from landscape.training.trainer import Trainer

BASE = ("--model", "net", "--epochs", 1, "--batch-size", 30, "--dataset", "fashion_mnist_mini", "--limit", 100)
GRID = ("--grid", "lr=1e-3,1e-2", "--seeds", "0,1")


def test_the_help_lists_the_keys_that_a_message_lists(landscape):
    told = " ".join(landscape("sweep", "--help").stdout.split())
    told = told[told.index("keys of --grid:") :].split(". Every")[0].removeprefix("keys of --grid: ")
    assert sorted(told.split(", ")) == sorted(KEYS)


def test_files_and_table_and_nothing_is_paid_twice(landscape, place, counted_steps, estimate):
    result = landscape("sweep", *BASE, *GRID, "--baseline", "optimizer=sgd", "--top", 1)
    assert len(estimate(result.stderr, "step")) <= 2
    out = place / "results/sweeps/net"
    *said, h5, png, html = result.stdout.splitlines()
    assert [h5, png, html] == [f"results/sweeps/net/sweep.{ending}" for ending in ("h5", "png", "html")]
    sweep = load(out / "sweep.h5")
    assert sweep.setting.tolist() == ["lr=0.001", "lr=0.01", "optimizer=sgd"] and sweep.baseline == "optimizer=sgd"
    assert sweep.done.all() and sweep.provenance["command"].startswith("landscape sweep --model net")
    run = load(out / "lr=0.01/runs/net-lr0.01-seed1.h5")
    assert sweep.val_accuracy[1, 1] == run.val_accuracy.max()
    assert (out / "lr=0.01/checkpoints/net-lr0.01-seed1-best.pth").exists()
    best = sweep.setting[np.argmax(sweep.val_accuracy.mean(axis=1))]
    rows = [line.split()[0] for line in said if " % " in line and " 2 " in line and not line.startswith("Best")]
    assert rows == list(dict.fromkeys([best, "optimizer=sgd"]))
    counted_steps.clear()
    landscape("sweep", *BASE, *GRID, "--baseline", "optimizer=sgd")
    assert not counted_steps
    landscape("sweep", *BASE, "--grid", "lr=1e-3,1e-2,1e-1", "--seeds", "0,1", "--quiet")
    assert counted_steps == {"net-lr0.1-seed0": 3, "net-lr0.1-seed1": 3}
    assert "Best of" in dict(line.split(maxsplit=1) for line in landscape("info", h5).stdout.splitlines())["finding"]
    assert landscape("plot", h5, "--format", "png", "--out", "again.png").stdout.split() == ["again.png"]


def test_a_failed_run_is_told_and_tried_again(run_any, landscape, place, monkeypatch):
    step = Trainer.step

    def failing(self, rows):
        if self.config.learning_rate == 1e-2:
            raise RuntimeError("no luck")
        return step(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", failing)
        result = run_any("sweep", *BASE, "--grid", "lr=1e-2,1e-3", "--out", "o")
    assert result.exit_code == 1 and "lr=0.01 seed 0: RuntimeError: no luck" in result.stdout
    assert load(place / "o/sweep.h5").failed.tolist() == [[True], [False]]
    landscape("sweep", *BASE, "--grid", "lr=1e-2,1e-3", "--out", "o")
    assert not load(place / "o/sweep.h5").failed.any()


def test_where_every_run_fails_the_first_reason_is_the_error(refused, monkeypatch):
    def failing(self, rows):
        raise RuntimeError("no luck")

    monkeypatch.setattr(Trainer, "step", failing)
    refused(1, "sweep", *BASE, *GRID, says=["every run of the sweep failed", "RuntimeError: no luck"])


def test_a_file_has_the_same_keys_and_typed_options_replace_its_own(landscape, place):
    (place / "s.toml").write_text(
        'model = "net"\nepochs = 3\nbatch_size = 30\ndataset = "fashion_mnist_mini"\nlimit = 100\nseeds = [4]\n'
        '[[setting]]\nname = "slow"\nlearning_rate = 1e-4\n[[setting]]\nname = "flip"\naugment = ["flip"]\n',
        encoding="utf-8",
    )
    landscape("sweep", "--file", "s.toml", "--epochs", 1, "--out", "o")
    sweep = load(place / "o/sweep.h5")
    assert sweep.setting.tolist() == ["base", "slow", "flip"] and sweep.seed.tolist() == [4]
    assert sweep.recipe["epochs"] == 1 and sweep.recipe["batch_size"] == 30
    assert sweep.settings["flip"] == {"learning_rate": 1e-3, "augment": ["flip"]}


def test_options_of_train_are_the_base(landscape, place):
    words = ("--model", "cifar10net", "--activation", "tanh", "--scheduler", "step", "--scheduler-option", "gamma=0.5")
    rest = ("--loss", "label_smoothing:0.1", "--seed", 3, "--tensorboard", "logs", "--grid", "batch_size=25,30")
    landscape("sweep", *words, *rest, "--epochs", 1, "--dataset", "fashion_mnist_mini", "--limit", 60, "--out", "o")
    recipe = load(place / "o/sweep.h5").recipe
    assert recipe["model_options"]["activation"] == "tanh" and recipe["loss"] == "label_smoothing:0.1"
    assert recipe["scheduler"] == "step" and recipe["scheduler_options"]["gamma"] == 0.5
    assert load(place / "o/sweep.h5").seed.tolist() == [3]
    assert {path.name for path in (place / "logs").iterdir()} == {"batch_size=25", "batch_size=30"}


def test_parts_share_the_work(landscape, place, counted_steps):
    for part in ("1/2", "2/2"):
        landscape("sweep", *BASE, *GRID, "--shard", part, "--out", "o")
    assert set(counted_steps.values()) == {3} and len(counted_steps) == 4
    assert load(place / "o/sweep.h5").done.all()


def test_worker_processes_train_the_same_runs(landscape, place, counted_steps):
    words = ("sweep", *BASE, "--grid", "lr=1e-3,1e-2", "--engine")
    landscape(*words, "processes:2", "--out", "apart")
    assert not counted_steps, "this process trained nothing"
    landscape(*words, "serial", "--out", "here")
    assert sorted(counted_steps.values()) == [3, 3]
    apart, here = (load(place / out / "sweep.h5") for out in ("apart", "here"))
    assert apart.done.all() and apart.setting.tolist() == here.setting.tolist()
    np.testing.assert_allclose(apart.val_loss, here.val_loss, rtol=1e-4)  # workers may have other threads
    for out in ("apart", "here"):
        assert len(list((place / out).glob("lr=*/checkpoints/*-best.pth"))) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--grid", "batchsize=1"), ["no setting of a run named 'batchsize'", "Did you mean 'batch_size'"]),
        (("--grid", "batch_size"), ["not of the form KEY=VALUE,VALUE"]),
        (("--grid", "batch_size=1,,2"), ["not of the form KEY=VALUE,VALUE"]),
        (("--grid", "batch_size=8,8"), ["none twice; got 8, 8"]),
        (("--grid", "optimizer=adam,adan"), ["setting optimizer=adan", "Did you mean 'adam'"]),
        (("--grid", "activation=relu"), ["net: there is no option named 'activation'"]),
        (("--grid", "seed=1,2"), ["--seeds"]),
        (("--seeds", "1,1"), ["none twice"]),
        ((), ["nothing to compare", "--grid"]),
        (("--grid", "lr=1,2", "--shard", "3/2"), ["i from 1 to n"]),
        (("--grid", "lr=1,2", "--baseline", "lrs=1"), ["no setting of a run named 'lrs'"]),
    ],
)
def test_what_makes_no_sweep_is_refused_in_one_paragraph(refused, place, words, says):
    refused(2, "sweep", *BASE, *words, says=says)
    assert not (place / "results").exists()


def test_a_missing_file_ends_alike_in_every_command(refused):
    for words in (("sweep", "--file", "n"), ("run", "n"), ("info", "n"), ("plot", "n"), ("surface", "--ckpt", "n")):
        refused(1, *words, says=["n"])


def test_a_file_with_an_unknown_key_or_without_a_model(refused, place):
    (place / "s.toml").write_text('model = "net"\nlearningrate = 1\n', encoding="utf-8")
    refused(2, "sweep", "--file", "s.toml", says=["s.toml", "Did you mean 'learning_rate'"])
    (place / "s.toml").write_text("[grid]\nlr = [1, 2]\n", encoding="utf-8")
    refused(2, "sweep", "--file", "s.toml", says=["which network?"])


def test_images_that_do_not_fit_are_refused_before_anything_is_trained(refused, npz, place):
    words = ("--model", "vgg", "--dataset", npz(side=20), "--grid", "lr=1e-3,1e-2", "--out", "o")
    refused(1, "sweep", *words, says=["lr=0.001 seed 0", "--image-size"])
    assert not (place / "o").exists()


def test_a_list_is_swept_by_words(landscape, place):
    landscape("sweep", *BASE, "--grid", "augment=none,flip", "--out", "o", "--quiet")
    sweep = load(place / "o/sweep.h5")
    assert json.loads(json.dumps(sweep.settings)) == {
        "augment=none": {"augment": []},
        "augment=flip": {"augment": ["flip"]},
    }
    assert sweep.baseline == "augment=none"
