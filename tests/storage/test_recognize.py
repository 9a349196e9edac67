"""Which network a bare state dict belongs to."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from landscape import models
from landscape.errors import CheckpointError
from landscape.models import Family
from landscape.storage import load_checkpoint

LAYOUTS = [{}, {"conv_bias": False}, {"bn_placement": "conv+fc"}, {"bn_placement": "conv+fc", "conv_bias": False}]


def renamed(state):
    """Names of somebody else's code, in the same order."""
    return {f"block{i}.{name.rsplit('.', 1)[-1]}": t for i, (name, t) in enumerate(state.items())}


@pytest.fixture
def written(tmp_path):
    def write(state):
        torch.save(state, tmp_path / "a.pth")
        return tmp_path / "a.pth"

    return write


@pytest.mark.parametrize("foreign", [False, True], ids=["exact", "foreign"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("vgg_light_bn", layout) for layout in LAYOUTS]
    + [("vgg_light", layout) for layout in LAYOUTS[:2]]
    + [
        ("vgg_light_bn", {"num_classes": 100, "in_channels": 1}),
        ("vgg_light", {"num_classes": 2, "in_channels": 4, "conv_bias": False}),
    ],
)
def test_layout_classes_and_channels_are_found(written, lively, assert_same_function, *, name, options, foreign):
    net = lively(models.build(name, **options))
    found = load_checkpoint(written(renamed(net.state_dict()) if foreign else net.state_dict()))
    assert (found.model_name, found.model_options) == (name, options)
    assert list(found.state_dict) == list(net.state_dict())
    assert ("by the sequence of their shapes" in found.notes[0]) is foreign
    assert_same_function(found.build(), net, options.get("in_channels", 3))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_the_large_network_are_found(written, lively, assert_same_function, layout):
    net = lively(models.build("vgg_bn", **layout))
    found = load_checkpoint(written(net.state_dict()))
    assert (found.model_name, found.model_options) == ("vgg_bn", layout)
    assert_same_function(found.build(), net)


@pytest.mark.parametrize("bn", ["", "_bn"])
def test_networks_that_agree_are_one_answer_which_is_said(written, lively, assert_same_function, bn):
    net = lively(models.build(f"vgg_dropout{bn}", num_classes=4))
    found = load_checkpoint(written(renamed(net.state_dict())))
    assert found.model_name == f"vgg{bn}"
    assert f"fit vgg{bn} (num_classes=4), vgg_dropout{bn} (num_classes=4), which agree" in found.notes[1]
    assert found.notes[1].endswith(f"took vgg{bn}")
    assert_same_function(found.build(), net)
    exact = load_checkpoint(written(net.state_dict()))
    assert exact.model_name == f"vgg_dropout{bn}"  # its own names tell
    assert len(exact.notes) == 1


def test_counters_that_an_old_file_lacks_are_zero(written, lively, assert_same_function):
    net = lively(models.build("vgg_light_bn"))
    state = {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    found = load_checkpoint(written(state))
    assert found.model_name == "vgg_light_bn"
    assert found.state_dict["features.1.num_batches_tracked"] == 0
    assert_same_function(found.build(), net)


class Net(nn.Module):
    def __init__(self, activation, num_classes=10, in_channels=3, width=5):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, width, 3), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.body(x))


def smooth(**options):
    return Net(nn.Tanh(), **options)


def hard(**options):
    return Net(nn.Hardtanh(), **options)


def test_networks_that_differ_as_functions_are_a_question(written, register, lively, assert_same_function):
    register("smooth", Family(smooth))
    register("hard", Family(hard))
    net = lively(hard())
    path = written(net.state_dict())
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "several networks that are different functions: smooth; hard. Say which with --model" in message
    assert "--model-option KEY=VALUE" in message
    assert load_checkpoint(path, "hard").model_name == "hard"
    assert_same_function(load_checkpoint(path, "hard").build(), net)
    other = smooth()
    other.load_state_dict(net.state_dict())
    assert_same_function(load_checkpoint(path, "smooth").build(), other)


def test_exact_names_win_over_shapes(written, register):
    class Renamed(Net):
        def __init__(self, **options):
            super().__init__(nn.Tanh(), **options)
            self.tail = self._modules.pop("head")

        def forward(self, x):
            return self.tail(self.body(x)) + 1

    register("smooth", Family(smooth))
    register("renamed", Family(Renamed))
    assert load_checkpoint(written(smooth().state_dict())).model_name == "smooth"
    assert load_checkpoint(written(Renamed().state_dict())).model_name == "renamed"


def test_a_network_with_other_defaults_can_be_built_again(written, register, assert_same_function):
    """Ten classes and three channels are our networks' defaults, not everybody's."""
    register(
        "many", Family(lambda num_classes=1000, in_channels=1: smooth(num_classes=num_classes, in_channels=in_channels))
    )
    net = smooth(num_classes=10, in_channels=3)
    found = load_checkpoint(written(net.state_dict()))
    assert found.model_options == {"num_classes": 10, "in_channels": 3}
    assert_same_function(found.build(), net)


def test_a_network_that_reads_values_while_it_is_built_is_recognised(written, register):
    def factory(**options):
        torch.linspace(0, 1, 5)[2].item()  # impossible without memory for the weights
        return smooth(**options)

    register("reader", Family(factory))
    path, state = written(smooth().state_dict()), torch.get_rng_state()
    assert load_checkpoint(path).model_name == "reader"
    assert torch.equal(state, torch.get_rng_state())


def test_options_that_were_given_are_not_varied_and_nothing_is_listed_twice(written):
    path = written(renamed(models.build("vgg_light_bn", conv_bias=False).state_dict()))
    found = load_checkpoint(path, "vgg_light_bn", model_options={"conv_bias": False})
    assert found.model_options == {"conv_bias": False}
    assert found.notes == ("the tensors fit vgg_light_bn (conv_bias=False), by the sequence of their shapes",)
    with pytest.raises(CheckpointError, match="do not fit vgg_light_bn"):
        load_checkpoint(path, "vgg_light_bn", model_options={"conv_bias": True})
    exact = load_checkpoint(written(models.build("vgg_light_bn").state_dict()), "vgg_light_bn")
    assert exact.notes == (), "what the user said is not assumed"


def test_weights_that_fit_nothing_are_described(written):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(written({"a.weight": torch.ones(3, 4), "a.bias": torch.ones(3), "n": torch.ones(2, 2, 1, 1)}))
    message = str(caught.value)
    assert "(3 tensors, 19 numbers; a.weight (3, 4), a.bias (3,), n (2, 2, 1, 1), ...)" in message
    assert "do not fit vgg, vgg_bn, vgg_dropout, vgg_dropout_bn, vgg_light, vgg_light_bn" in message
    assert "--model package.module:factory" in message


def test_a_factory_by_its_path_is_recognised(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own_nets.py").write_text("from torch import nn\n\ndef small():\n    return nn.Linear(2, 3)\n")
    found = load_checkpoint(written(nn.Linear(2, 3).state_dict()), "my_own_nets:small")
    assert found.model_name == "my_own_nets:small"
    assert isinstance(found.build(), nn.Linear)
