"""Settings that cannot mean anything are refused before anything is loaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from landscape.errors import UnknownNameError, UsageError
from landscape.training import TrainConfig, VariantsConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "a learning rate is a number above zero; got 0.0"),
        ({"learning_rate": -1.0}, "got -1.0"),
        ({"learning_rate": float("nan")}, "a learning rate is a number above zero; got nan"),
        ({"learning_rate": float("inf")}, "got inf"),
        ({"epochs": 0}, "epochs and batch size are at least 1; got 0 and 128"),
        ({"batch_size": 0}, "got 20 and 0"),
        ({"weight_decay": -0.1}, "weight decay .* got -0.1"),
        ({"weight_decay": float("nan")}, "weight decay .* got nan"),
        (
            {"optimizer": "adamm"},
            r"no optimizer named 'adamm'. Did you mean 'adam\w?'\? Known: adamw, adam, sgd, momentum",
        ),
        ({"model_options": {"seed": 4}}, "the network's seed is the run's, 0; got seed=4"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**settings)


def test_names_of_runs_and_files():
    config = TrainConfig(model="vgg_bn", learning_rate=0.0001, seed=3, out=Path("x"))
    assert config.name == "vgg_bn-lr0.0001-seed3"
    assert config.run_path == Path("x/runs/vgg_bn-lr0.0001-seed3.h5")
    assert config.checkpoint_path("best") == Path("x/checkpoints/vgg_bn-lr0.0001-seed3-best.pth")
    assert dataclasses.replace(config, learning_rate=5e-5, model="a.b:c").name == "a.b.c-lr5e-05-seed3"
    assert TrainConfig().run_path is None
    assert TrainConfig().checkpoint_path("last") is None


def test_numbers_of_numpy_become_plain():
    config = TrainConfig(learning_rate=np.float64(0.5), seed=np.int64(2), epochs=np.int32(3))
    assert [type(v) for v in (config.learning_rate, config.seed, config.epochs)] == [float, int, int]
    assert config == TrainConfig(learning_rate=0.5, seed=2, epochs=3)


@pytest.mark.parametrize("what", ["variants", "learning_rates", "seeds"])
def test_lists_hold_at_least_one_value_and_none_twice(what):
    one = {"variants": "vgg", "learning_rates": 1e-3, "seeds": 0}[what]
    for values in ((), (one, one)):
        with pytest.raises(UsageError, match=f"{what} needs at least one value and none twice"):
            VariantsConfig(**{what: values})
    with pytest.raises(UsageError, match="none twice"):
        VariantsConfig(learning_rates=(1e-3, 0.001))


def test_every_member_of_a_list_is_checked():
    with pytest.raises(UnknownNameError, match=r"no model named 'vgg_nb'. Did you mean 'vgg\w*'\? Known: vgg, vgg_bn"):
        VariantsConfig(variants=("vgg", "vgg_nb"))
    with pytest.raises(UsageError, match="a learning rate is a number above zero; got nan"):
        VariantsConfig(learning_rates=(1e-3, float("nan")))
    with pytest.raises(UsageError, match="got 0"):
        VariantsConfig(learning_rates=(0.0,))


def test_runs_are_every_combination_in_a_fixed_order():
    shared = TrainConfig(model_options={"bn_placement": "conv+fc"})
    config = VariantsConfig(("vgg", "vgg_bn"), (3e-3, 1e-4), (1, 0), shared)
    runs = [(c.model, c.seed, c.learning_rate) for c in config.runs()]
    assert runs == [(v, s, r) for v in ("vgg", "vgg_bn") for s in (1, 0) for r in (1e-4, 3e-3)]
    assert config.runs()[-1].model_options == {"bn_placement": "conv+fc"}
    assert len(VariantsConfig().runs()) == 6 * 4


def test_an_option_that_some_network_takes_goes_to_that_one_and_one_that_none_takes_is_refused():
    config = VariantsConfig(("mlp", "vgg_light"), (1e-3,), (0,), TrainConfig(model_options={"conv_bias": False}))
    assert [run.model_options for run in config.runs()] == [{}, {"conv_bias": False}]
    with pytest.raises(UsageError, match=r"vgg, vgg_bn: there is no option named 'inti'. Did you mean 'init'"):
        VariantsConfig(("vgg", "vgg_bn"), shared=TrainConfig(model_options={"inti": "xavier"}))
