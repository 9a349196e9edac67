"""The protocols of the course labs, as their files in ``experiments/labs`` have them in full."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest

from landscape.datasets.options import DataOptions
from landscape.tasks.experiment_file import read_experiment
from landscape.tasks.sweep import sweep_config
from landscape.training import TrainConfig

LABS = sorted((Path(__file__).parents[2] / "experiments" / "labs").glob("*.toml"))
CIFAR10, MNIST = DataOptions("cifar10"), DataOptions("mnist", image_size=32)
PLAIN = {"weight_decay": 0.0, "epochs": 10}
CIFAR10NET = PLAIN | {
    "model": "cifar10net", "optimizer": "adam", "learning_rate": 3e-3, "batch_size": 64, "early_stop": 3,
    "data": CIFAR10,
}  # fmt: skip
NET = PLAIN | {"model": "net", "optimizer": "momentum", "learning_rate": 1e-3, "batch_size": 64, "data": CIFAR10}
LENET4 = PLAIN | {"model": "lenet4", "optimizer": "sgd", "learning_rate": 1e-2, "batch_size": 128, "data": MNIST}
PLATEAU = {"factor": 0.1, "patience": 5}
# What the labs fixed, by file and step: settings of the base, and what each setting changes, or the lists of a grid.
PROTOCOLS = {
    "cifar10net_activation.sweep": (
        CIFAR10NET,
        {"tanh": {"model_options": {"activation": "tanh"}}, "sigmoid": {"model_options": {"activation": "sigmoid"}}},
    ),
    "cifar10net_loss.sweep": (
        CIFAR10NET, {"bce": {"loss": "bce"}, "label_smoothing": {"loss": "label_smoothing:0.1"}},
    ),
    "cifar10net_optimizer.sweep": (CIFAR10NET, {"sgd": {"optimizer": "momentum", "learning_rate": 1e-3}}),
    "cifar10net_size.sweep": (CIFAR10NET, {"three": {"model": "cifar10net_3"}, "four": {"model": "cifar10net_4"}}),
    "cifar10net_weight_decay.sweep": (CIFAR10NET, {"l2": {"weight_decay": 1e-4}}),
    "lenet4_study.sweep": (
        LENET4,
        {
            "batch_32": {"batch_size": 32},
            "batch_512": {"batch_size": 512},
            "epochs_5": {"epochs": 5},
            "epochs_20": {"epochs": 20},
            "lr_0.1": {"learning_rate": 0.1},
            "lr_0.001": {"learning_rate": 1e-3},
            "momentum": {"optimizer": "momentum"},
            "adam": {"optimizer": "adam", "learning_rate": 1e-3},
            "step": {"scheduler": "step", "scheduler_options": {"step_size": 3, "gamma": 0.5}},
            "cosine": {"scheduler": "cosine"},
        },
    ),
    "lenet_loss.sweep": (LENET4, [("model", ["lenet4", "lenet5"]), ("loss", ["cross_entropy", "mse"])]),
    "mlp_cnn_resnet9.sweep": (
        {"optimizer": "adam", "learning_rate": 0.01, "scheduler": "onecycle", "weight_decay": 1e-4, "batch_size": 64,
         "epochs": 20, "data": CIFAR10},
        [("model", ["mlp", "cnn", "resnet9"]), ("grad_clip", ["value:0.1", None])],
    ),
    "mnist_lenet_resnet18.sweep": (
        {"model": "lenet", "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "batch_size": 64,
         "epochs": 3, "val_every": 100, "data": MNIST},
        {
            "fully_connected": {"model": "mlp"},
            "resnet18": {"model": "resnet18_gray", "data": DataOptions("mnist", image_size=224)},
        },
    ),
    "net_architecture.sweep": (
        NET, {"bn": {"model": "net_bn"}, "kaiming": {"model": "net_kaiming"}, "wide": {"model": "net_wide"}},
    ),
    "net_augment.sweep": (
        NET,
        {
            "autoaugment": {"augment": ("autoaugment",)},
            "noise": {"augment": ("noise:0.05",)},
            "both": {"augment": ("autoaugment", "noise:0.05")},
            "flip_both": {"augment": ("flip", "autoaugment", "noise:0.05")},
        },
    ),
    "net_batch_size.sweep": (NET, {"batch_128": {"batch_size": 128}, "batch_512": {"batch_size": 512}}),
    "net_flip.sweep": (NET, {"flip": {"augment": ("flip",)}}),
    "net_grid.sweep": (
        NET,
        [
            ("batch_size", [8, 16, 32, 64, 128, 256, 512, 1024]),
            ("augment", [(), ("flip",)]),
            ("optimizer", ["momentum", "adam"]),
            ("scheduler", ["none", "plateau"]),
            ("learning_rate", [0.05, 0.01, 0.005, 0.001, 0.0005]),
        ],
    ),
    "net_optimizer.sweep": (
        NET,
        {
            "adam": {"optimizer": "adam"},
            "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
            "plateau": {"scheduler": "plateau", "scheduler_options": PLATEAU},
        },
    ),
    "net_resnet18.scratch": (NET | {"model": "resnet18"}, {}),
    "net_resnet18.pretrained": (NET | {"model": "resnet18", "model_options": {"pretrained": "resnet18.pth"}}, {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def steps():
    """The steps of all labs in full, by file and name."""
    experiments = [read_experiment(file) for file in LABS]
    return {f"{e.name}.{step.name}": e.settings(step, reduced=False) for e in experiments for step in e.steps}


def sweep_of(settings):
    return sweep_config({k: v for k, v in settings.items() if k not in {"requires", "log"}}, where="", out=Path("out"))


def test_every_step_of_the_labs_has_its_protocol_here(steps):
    assert steps.keys() == PROTOCOLS.keys()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_a_lab_trains_is_its_protocol(steps, name):
    """Every field of every run: what the protocol does not name is the default."""
    base, changes = PROTOCOLS[name]
    sweep = sweep_of(steps[name])
    if isinstance(changes, dict):
        assert [setting.name for setting in sweep.settings] == ["base", *changes]
        wanted = [base, *(base | change for change in changes.values())]
    else:
        keys = [key for key, _ in changes]
        wanted = [base | dict(zip(keys, values, strict=True)) for values in itertools.product(*dict(changes).values())]
    seeds = (0,) if name == "net_grid.sweep" else (0, 1, 2)
    found = [dataclasses.replace(run, out=None) for run in sweep.runs()]
    assert found == [TrainConfig(**own, seed=seed) for own in wanted for seed in seeds]


def test_plateaus_of_the_labs_fall_to_a_tenth_after_five_epochs(steps):
    runs = [run for settings in steps.values() for run in sweep_of(settings).runs() if run.scheduler == "plateau"]
    assert len(runs) == 160 + 3
    assert all(run.chosen()["scheduler_options"].items() >= PLATEAU.items() for run in runs)


def test_the_grid_has_320_settings_and_baselines_are_as_stated(steps):
    baselines = {name: sweep_of(settings).baseline_name for name, settings in steps.items()}
    assert len(sweep_of(steps["net_grid.sweep"]).settings) == 320
    assert baselines["net_grid.sweep"] == "lr=0.001_batch_size=64_optimizer=momentum_scheduler=none_augment=none"
    assert baselines["lenet_loss.sweep"] == "model=lenet4_loss=cross_entropy"
    assert baselines["mlp_cnn_resnet9.sweep"] == "model=mlp_grad_clip=value-0.1"
    assert {b for name, b in baselines.items() if isinstance(PROTOCOLS[name][1], dict)} == {"base"}


def test_what_is_logged_and_what_needs_a_file(steps):
    assert {name for name, settings in steps.items() if settings.get("log")} == {"lenet_loss.sweep"}
    needed = {name: settings["requires"] for name, settings in steps.items() if "requires" in settings}
    assert needed == {"net_resnet18.pretrained": "resnet18.pth"}
