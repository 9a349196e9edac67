"""Experiment files: what is read, what is refused, and that the outcome is the records' own numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from landscape.errors import StorageError, UsageError
from landscape.smoothness import band_gap, compare_bands, variant_band
from landscape.storage import load
from landscape.surface.metrics import metrics
from landscape.tasks.experiment import run_experiment
from landscape.tasks.experiment_file import Expected, read_experiment
from landscape.tasks.experiment_report import came_out, found_number
from landscape.tasks.experiment_steps import Number, Outcome

SHIPPED = sorted((Path(__file__).parents[2] / "experiments").rglob("*.toml"))
SMALL = """
question = "Does a small run leave its numbers?"
protocol = "Two light networks, {rates} learning rates."

[data]
dataset = "fashion_mnist_mini"
limit = 60

[[step]]
name = "bands"
kind = "train-variants"
variants = ["vgg_light", "vgg_light_bn"]
learning_rates = [1e-4, 1e-3]
epochs = 3
batch_size = 30

[[step]]
name = "plane"
kind = "surface"
ckpt = "bands/vgg_light_bn.pth"
points = 3
pairs = 2
bn = "all"
limit = 20

[reduced]
cuts = "two of three epochs"

[reduced.bands]
epochs = 2

[[expected]]
number = "bands.gap.vgg_light"
source = "nowhere"
says = "a gap that cannot be"
published = -1.0
high = -0.5

[[expected]]
number = "bands.gap.vgg_light/bands.gap.vgg_light_bn"
source = "by definition"
low = 0.0
"""


@pytest.fixture
def write(tmp_path):
    def write(text, **replaced):
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "small.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    file = folder / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    command = "landscape run small.toml --reduced"
    return file, folder, run_experiment(file, reduced=True, out=folder / "out", command=command)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_experiment_can_be_read_in_both_forms(file):
    experiment = read_experiment(file)
    assert experiment.question.endswith("?")
    assert len(experiment.protocol) > 100
    assert len(experiment.cuts) > 20, "a reduced form says what it cuts"
    changed = [
        s for s in experiment.steps if experiment.settings(s, reduced=True) != experiment.settings(s, reduced=False)
    ]
    assert changed
    assert experiment.expected


def test_there_are_experiments():
    assert len(SHIPPED) >= 3


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("question =", "questoin =", "no key named 'questoin'. Did you mean 'question'"),
        ("epochs = 3", "epoch = 3", "step 'bands': there is no key named 'epoch'. Did you mean 'epochs'"),
        ('kind = "surface"', 'kind = "surfaces"', "no step named 'surfaces'. Did you mean 'surface'"),
        ("epochs = 2", "lr = 2", "[reduced.bands]: there is no key named 'lr'"),
        ("[reduced.bands]", "[reduced.band]", "[reduced]: there is no key named 'band'"),
        ("limit = 60", "limits = 60", "[data]: there is no key named 'limits'"),
        ("published = -1.0", "publised = 1", "[[expected]]: there is no key named 'publised'"),
        ('number = "bands.gap.vgg_light"', 'number = "band.gap"', "no key named 'band'"),
        ('cuts = "two of three epochs"', "", "lacks 'cuts'"),
        ('name = "plane"', 'name = "bands"', "two steps are called 'bands'"),
        ('name = "plane"', 'name = "../up"', "a step's name is letters"),
        ("points = 3", "points = ", "is no TOML"),
        ("points = 3", 'points = "3"', "step 'plane': points is a whole number; got '3'"),
        ("points = 3", "points = true", "step 'plane': points is a whole number; got True"),
        ('bn = "all"', "bn = 1", "step 'plane': bn is text; got 1"),
        ('bn = "all"', 'orthogonal = "yes"', "step 'plane': orthogonal is true or false; got 'yes'"),
        ('bn = "all"', "radius = [1.0]", "step 'plane': radius is a number or text; got [1.0]"),
        ("epochs = 3", "epochs = 3.5", "step 'bands': epochs is a whole number; got 3.5"),
        ("epochs = 2", 'epochs = "2"', "[reduced.bands]: epochs is a whole number; got '2'"),
        ("limit = 60", 'limit = "60"', "[data]: limit is a whole number; got '60'"),
        ("[1e-4, 1e-3]", '[1e-4, "1e-3"]', "learning_rates is a list, each a number; got [0.0001, '1e-3']"),
        ("[1e-4, 1e-3]", "1e-4", "learning_rates is a list, each a number; got 0.0001"),
        ("epochs = 3", 'model_options = "init"', "model_options is a table; got 'init'"),
        ("epochs = 3", 'model_options = {inti = "he"}', "there is no option named 'inti'. Did you mean 'init'"),
        ("published = -1.0", 'published = "a lot"', "[[expected]]: published is a number; got 'a lot'"),
    ],
)
def test_a_wrong_file_is_refused_in_words(write, old, new, told):
    with pytest.raises(UsageError) as error:
        read_experiment(write(SMALL, **{old: new}))
    assert told in str(error.value)


def test_a_missing_file_and_a_missing_reduced_form_are_said(write, tmp_path):
    with pytest.raises(StorageError, match="cannot read the experiment"):
        read_experiment(tmp_path / "none.toml")
    whole = SMALL[: SMALL.index("[reduced]")]
    with pytest.raises(UsageError, match="has no \\[reduced\\] form"):
        run_experiment(write(whole), reduced=True, out=tmp_path / "out")


def test_the_numbers_are_those_of_the_records(finished):
    _, folder, done = finished
    work = folder / "out" / "work" / "reduced"
    bands, numbers = load(work / "bands" / "bands.h5"), done.outcomes["bands"].numbers
    assert bands.epoch.tolist() == [1, 2]  # the reduced form's
    assert numbers["gap.vgg_light"].value == band_gap(variant_band(bands, "vgg_light", 0)).mean
    assert numbers["ratio.light"].value == compare_bands(bands)[0].ratios[0].mean
    assert numbers["accuracy.vgg_light_bn.0.001"].value == bands.val_accuracy[1, 0, 1, -1]
    assert numbers["best.vgg_light_bn.0.001"].value == bands.val_accuracy[1, 0, 1].max()
    np.testing.assert_allclose(numbers["loss.vgg_light.0.0001"].value, bands.loss[0, 0, 0, 2:].mean(), rtol=1e-12)
    surface = load(work / "plane" / "vgg_light_bn.batch.h5")
    assert surface.grid.shape == (3, 3)
    found = done.outcomes["plane"].numbers
    assert found["rise.batch"].value == metrics(surface)["rise"].mean
    assert found["rise.batch.relative_spread"].value == metrics(surface)["rise"].spread / metrics(surface)["rise"].mean


def test_the_outcome_says_what_was_done_and_what_did_not_come_out(finished):
    _, folder, done = finished
    text = done.summary.read_text(encoding="utf-8")
    assert text.startswith("# Does a small run leave its numbers?")
    assert "**Reduced run.** two of three epochs" in text
    assert "landscape run small.toml --reduced" in text
    assert "* a gap that cannot be: " in text
    assert text.count("| yes |") == 1 and text.count("| **no** |") == 1
    assert str(folder) not in text
    numbers = json.loads((folder / "out" / "numbers.json").read_text(encoding="utf-8"))
    gap = done.outcomes["bands"].numbers["gap.vgg_light"].value
    assert numbers["bands.gap.vgg_light"]["value"] == pytest.approx(gap, rel=5e-6)  # six digits are kept
    kept = sorted(path.name for path in (folder / "out").iterdir() if path.is_file())
    assert "bands-bands.h5" in kept and "plane-vgg_light_bn.all.png" in kept


def test_the_same_call_reads_what_is_finished(finished):
    file, folder, done = finished
    heard = []
    again = run_experiment(file, reduced=True, out=folder / "out", progress=heard.append)
    assert heard and all(p.done == p.total for p in heard)
    values = [outcome.outcomes["bands"].numbers["gap.vgg_light"].value for outcome in (done, again)]
    assert values[0] == values[1]


def test_a_quotient_of_numbers_and_one_that_is_not_there(finished):
    *_, done = finished
    ratio, quotient = (entry for entry in done.experiment.expected)
    gaps = [done.outcomes["bands"].numbers[f"gap.{name}"].value for name in ("vgg_light", "vgg_light_bn")]
    assert found_number(quotient, done.outcomes).value == gaps[0] / gaps[1]
    with pytest.raises(UsageError, match=r"has no number 'gap\.vgg_light'; it has gap\.other"):
        found_number(ratio, {"bands": Outcome({"gap.other": Number(1.0)}, ())})


def test_numbers_over_seeds_have_a_spread():
    assert Number.over([1.0, 3.0]) == Number(2.0, np.sqrt(2.0), 2)
    assert np.isnan(Number.over([1.0]).spread)


PROBED = """
question = "Does a probed run leave its numbers?"
protocol = "Two light networks, probed at every second step."

[data]
dataset = "fashion_mnist_mini"
limit = 60

[[step]]
name = "probe"
kind = "smoothness"
models = ["vgg_light", "vgg_light_bn"]
steps = 4
every = 2
batch_size = 30
learning_rate = 0.01
layers = [2]

[[step]]
name = "linear"
kind = "deep-linear"
models = ["dln_bn"]
steps = 4
every = 2
depth = 3
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("every = 2\nbatch", 'every = "2"\nbatch', "step 'probe': every is a whole number; got '2'"),
        ("layers = [2]", "layers = 2", "step 'probe': layers is a list, each a whole number or text; got 2"),
        ("depth = 3", "depth = [3]", "step 'linear': depth is a whole number; got [3]"),
    ],
)
def test_settings_of_another_type_are_refused_when_the_file_is_read(write, old, new, told):
    with pytest.raises(UsageError) as error:
        read_experiment(write(PROBED, **{old: new}))
    assert told in str(error.value)


def test_whole_numbers_are_numbers(write):
    read_experiment(write(PROBED, **{"learning_rate = 0.01": "learning_rate = 1"}))


def test_probed_runs_leave_their_numbers(write, tmp_path):
    done = run_experiment(write(PROBED), out=tmp_path / "out", command="landscape run small.toml")
    traces = {name: load(tmp_path / f"out/probe-{name}-lr0.01-seed0.h5") for name in ("vgg_light", "vgg_light_bn")}
    numbers = done.outcomes["probe"].numbers
    for name, trace in traces.items():
        assert trace.step.tolist() == [0, 2]
        assert numbers[f"loss_variation.{name}"].value == pytest.approx(np.ptp(trace.loss, axis=1).mean(), rel=1e-12)
        assert numbers[f"start.beta_smoothness.{name}"].value == trace.beta_smoothness[0]
        assert numbers[f"shift.{name}.2"].value == np.median(trace.covariate_shift[:, 0])
    means = [np.ptp(traces[name].loss, axis=1).mean() for name in ("vgg_light", "vgg_light_bn")]
    assert numbers["ratio.loss_variation.vgg_light"].value == pytest.approx(means[0] / means[1], rel=1e-12)
    trace = load(tmp_path / "out/linear-dln_bn-lr1e-06-seed0.h5")
    logs = np.log10(trace.loss.max(axis=1))
    assert done.outcomes["linear"].numbers["log10_loss.dln_bn"].value == pytest.approx(np.median(logs), rel=1e-12)


def test_every_seed_is_judged_and_quotients_are_paired():
    entry = Expected("a.x/a.y", "nowhere", low=1.0, high=3.0)
    outcomes = {"a": Outcome({"x": Number.over([2.0, 6.0, 2.0]), "y": Number.over([1.0, 4.0, 4.0])}, ())}
    found = found_number(entry, outcomes)
    assert found.values == (2.0, 1.5, 0.5)
    assert found.value == pytest.approx(4 / 3)
    assert came_out(entry, found) == "**at 2 of 3 seeds**"
    assert came_out(entry, Number.over([1.0, 3.0])) == "yes"
    assert came_out(entry, Number.over([1.0, 9.0])) == "**no**"
    assert came_out(entry, Number(float("nan"))) == "**no**"


def test_a_number_that_no_run_gave_is_a_line_and_loses_nothing(write, tmp_path):
    text = SMALL.replace('number = "bands.gap.vgg_light"', 'number = "bands.ratio.plain"')
    short = text[: text.index('[[step]]\nname = "plane"')] + text[text.index("[reduced]") :]
    done = run_experiment(write(short), reduced=True, out=tmp_path / "out")
    page = done.summary.read_text(encoding="utf-8")
    assert "| a gap that cannot be | no value |" in page
    assert "* a gap that cannot be: no value; step 'bands' has no number 'ratio.plain'; it has ratio.light" in page
