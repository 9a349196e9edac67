"""Steps that train and sweep: their numbers are the records', what needs a file says so, differences are paired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from landscape import devices, models
from landscape.datasets.options import DataOptions
from landscape.errors import UsageError
from landscape.storage import load, load_checkpoint
from landscape.tasks.experiment import run_experiment
from landscape.tasks.experiment_file import Expected, read_experiment
from landscape.tasks.experiment_report import found_number
from landscape.tasks.experiment_steps import Number, Outcome
from landscape.training import evaluate

LABS = sorted((Path(__file__).parents[2] / "experiments" / "labs").glob("*.toml"))
SMALL = """
question = "Do small sweeps leave their numbers?"
protocol = "net on few images."

[data]
dataset = "fashion_mnist_mini"
limit = 80

[[step]]
name = "one"
kind = "train"
model = "net"
batch_size = 24
epochs = 2
test_limit = 50

[[step]]
name = "sweep"
kind = "sweep"
model = "net"
batch_size = 24
epochs = 1
seeds = [0, 1]
log = true

[[step.setting]]
name = "adam-fast"
optimizer = "adam"
learning_rate = 1e-2

[[step]]
name = "weights"
kind = "sweep"
requires = "net.pth"
model = "resnet18"
model_options = {pretrained = "net.pth"}

[[expected]]
number = "sweep.accuracy.adam-fast - sweep.accuracy.base"
source = "nowhere"
low = -1.0

[[expected]]
number = "weights.accuracy.base - sweep.accuracy.base"
source = "nowhere"
says = "with weights"
"""


def written(folder, text=SMALL):
    file = folder / "experiments" / "labs" / "small.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labs")
    with devices.threads(1):
        return folder / "out", run_experiment(written(folder), out=folder / "out")


def test_the_numbers_of_a_run(finished):
    out, done = finished
    work, found = out / "work/full/one", done.outcomes["one"].numbers
    run = load(work / "runs/net-lr0.001-seed0.h5")
    assert found["best"].value == run.best_accuracy and found["last"].value == run.val_accuracy[-1]
    assert found["val_loss"].value == run.val_loss[-1] and found["epochs"].value == 2
    assert found["train_loss"].value == pytest.approx(run.loss[-3:].mean(), rel=1e-12)
    model = load_checkpoint(work / "checkpoints/net-lr0.001-seed0-best.pth").build()
    images = DataOptions("fashion_mnist_mini", limit=50).load("test")
    assert found["test"].value == evaluate(model, images).accuracy
    assert found["test_loss"].count == 50


def test_the_numbers_of_a_sweep(finished):
    out, done = finished
    sweep, found = load(out / "work/full/sweep/sweep.h5"), done.outcomes["sweep"].numbers
    assert sweep.setting.tolist() == ["base", "adam-fast"]
    for k, name in enumerate(sweep.setting):
        assert found[f"accuracy.{name}"].value == pytest.approx(sweep.val_accuracy[k].mean())
        assert found[f"accuracy.{name}"].spread == pytest.approx(sweep.val_accuracy[k].std(ddof=1))
        assert found[f"accuracy.{name}"].count == 2
        assert found[f"train_loss.{name}"].value == pytest.approx(sweep.train_loss[k].mean())
        assert found[f"flagged.{name}"].count == 2
    paired = sweep.val_accuracy[1] - sweep.val_accuracy[0]
    assert found["difference.adam-fast"].value == pytest.approx(paired.mean())
    assert found["difference.adam-fast"].spread == pytest.approx(paired.std(ddof=1))
    assert found["best"].value == pytest.approx(sweep.val_accuracy.mean(axis=1).max())
    difference = found_number(done.experiment.expected[0], done.outcomes)
    assert difference.value == pytest.approx(paired.mean())
    assert difference.spread == pytest.approx(paired.std(ddof=1))
    assert (out / "work/full/sweep/tensorboard/adam-fast").is_dir()


def test_what_needs_a_file_says_so_and_the_rest_is_run(finished):
    out, done = finished
    assert done.outcomes["weights"].missing.startswith("not run: it needs the file net.pth")
    text = done.summary.read_text(encoding="utf-8")
    assert "`weights`: not run: it needs the file net.pth" in text
    assert "| with weights | not run |" in text
    assert "| base (baseline) |" in text and "| adam-fast |" in text
    assert "All of these that were run came out." in text
    assert (out / "sweep-sweep.png").exists()


def test_a_file_that_is_there_is_used(tmp_path, monkeypatch):
    torch.save(models.build("resnet18", num_classes=7, seed=5).state_dict(), tmp_path / "net.pth")
    step = SMALL[SMALL.index('[[step]]\nname = "weights"') : SMALL.index("[[expected]]")]
    text = SMALL[: SMALL.index("[[step]]")].replace("limit = 80", "limit = 20") + step + "epochs = 1\nbatch_size = 9\n"
    monkeypatch.chdir(tmp_path)
    done = run_experiment(written(tmp_path, text.replace('"resnet18"', '"resnet18"\nchannels = 3')))
    assert done.outcomes["weights"].missing == ""
    assert done.summary == Path("results/labs/small/README.md"), "as the file lies below experiments/"
    recipe = load(next(Path("results/labs/small/work/full/weights/base/runs").glob("*.h5"))).recipe
    assert recipe["model_options"]["pretrained"].startswith("net.pth sha256:")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("learning_rate = 1e-2", "learning_rat = 1", "step 'sweep': sweep: there is no setting of a run named"),
        ('optimizer = "adam"', 'optimizer = "adan"', "setting adam-fast: there is no optimizer named 'adan'"),
        ('name = "adam-fast"', 'name = "base"', "the name of a setting is letters"),
        ("test_limit = 50", 'loss = "msee"', "step 'one': there is no loss named 'msee'"),
        ("log = true", "grid = {lr = []}", "grid: lr needs at least one value"),
        ("log = true", "logs = true", "no key named 'logs'"),
        ("sweep.accuracy.base", "swep.accuracy.base", "no key named 'swep'"),
    ],
)
def test_a_wrong_step_is_refused_when_the_file_is_read(tmp_path, old, new, told):
    assert old in SMALL
    with pytest.raises(UsageError) as error:
        read_experiment(written(tmp_path, SMALL.replace(old, new)))
    assert told in str(error.value) and "small.toml" in str(error.value)


def test_differences_of_other_numbers_carry_no_spread():
    outcomes = {"a": Outcome({"x": Number(1.5, 0.1, 2), "y": Number(0.5, values=(0.25, 0.75), count=2)}, ())}
    found = found_number(Expected("a.x - a.y", ""), outcomes)
    assert found.value == 1.0 and np.isnan(found.spread)
    outcomes["a"].numbers["x"] = Number(1.5, 0.1, 2, (1.0, 2.0))
    assert found_number(Expected("a.x - a.y", ""), outcomes) == Number.over([0.75, 1.25])


def test_every_lab_is_there():
    assert len(LABS) == 16
    for file in LABS:
        experiment = read_experiment(file)
        assert all("seeds" in experiment.settings(step, reduced=False) for step in experiment.steps), file.stem
