"""The networks of the course project: counts, names, functions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from landscape import datasets, models
from landscape.errors import LandscapeError, ShapeError, UsageError

COUNTS = [
    ("vgg", {}, 9_750_922),
    ("vgg_dropout", {}, 9_750_922),
    ("vgg_bn", {}, 9_756_426),
    ("vgg_dropout_bn", {}, 9_756_426),
    ("vgg_bn", {"bn_placement": "conv+fc"}, 9_758_474),
    ("vgg_dropout_bn", {"bn_placement": "conv+fc"}, 9_758_474),
    ("vgg_bn", {"conv_bias": False}, 9_753_674),
    ("vgg_light", {}, 285_162),
    ("vgg_light_bn", {}, 285_258),
    ("vgg_light_bn", {"bn_placement": "conv+fc"}, 285_770),
]
VGG_A = [(64, 3), (128, 64), (256, 128), (256, 256), (512, 256), (512, 512), (512, 512), (512, 512)]


def meta(name, **options):
    with torch.device("meta"):
        return models.build(name, **options)


def kinds(sequence):
    return " ".join({nn.Conv2d: "C", nn.BatchNorm2d: "B", nn.BatchNorm1d: "B", nn.ReLU: "R", nn.MaxPool2d: "M",
                     nn.Linear: "L", nn.Dropout: "D"}[type(layer)] for layer in sequence)  # fmt: skip


@pytest.mark.parametrize(("name", "options", "count"), COUNTS)
def test_parameters_are_counted(name, options, count):
    assert sum(p.numel() for p in meta(name, **options).parameters()) == count


@pytest.mark.parametrize(
    ("name", "options", "features", "classifier"),
    [
        ("vgg", {}, "C R M C R M C R C R M C R C R M C R C R M", "L R L R L"),
        ("vgg_bn", {}, "C B R M C B R M C B R C B R M C B R C B R M C B R C B R M", "L R L R L"),
        ("vgg_dropout", {}, "C R M C R M C R C R M C R C R M C R C R M", "D L R D L R L"),
        ("vgg_light", {}, "C R M C R M", "L R L R L"),
        ("vgg_light_bn", {"bn_placement": "conv+fc"}, "C B R M C B R M", "L B R L B R L"),
        ("vgg_dropout_bn", {"bn_placement": "conv+fc"}, None, "D L B R D L B R L"),
    ],
)
def test_layers_stand_in_their_order(name, options, features, classifier):
    model = meta(name, **options)
    assert [n for n, _ in model.named_children()] == ["features", "classifier"]
    assert features is None or kinds(model.features) == features
    assert kinds(model.classifier) == classifier
    assert all(layer.p == 0.5 for layer in model.modules() if isinstance(layer, nn.Dropout))


def test_shapes_of_the_large_network():
    model = meta("vgg")
    convolutions = [m for m in model.features if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.in_channels) for c in convolutions] == VGG_A
    assert all((c.kernel_size, c.padding, c.stride) == ((3, 3), (1, 1), (1, 1)) for c in convolutions)
    linear = [m for m in model.classifier if isinstance(m, nn.Linear)]
    assert [tuple(m.weight.shape) for m in linear] == [(512, 512), (512, 512), (10, 512)]
    light = [tuple(m.weight.shape) for m in meta("vgg_light").classifier if isinstance(m, nn.Linear)]
    assert light == [(128, 2048), (128, 128), (10, 128)]


def test_keys_of_the_state_dict():
    layers = ("features.0", "features.3", "classifier.0", "classifier.2", "classifier.4")
    expected = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert list(meta("vgg_light").state_dict()) == expected
    dropout = list(meta("vgg_dropout").state_dict())
    assert [k for k in dropout if k.startswith("classifier")][::2] == [f"classifier.{i}.weight" for i in (1, 4, 6)]
    unbiased = list(meta("vgg_light_bn", conv_bias=False).state_dict())
    assert unbiased[:3] == ["features.0.weight", "features.1.weight", "features.1.bias"]
    assert "classifier.0.bias" in unbiased


def test_classes_and_channels_are_options():
    model = models.build("vgg_light", num_classes=100, in_channels=1)
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 100)
    assert model.training


def test_the_function_is_that_of_its_layers():
    """features, flatten, classifier; batch of one in evaluation mode."""
    model = models.build("vgg_light_bn").eval()
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    y = x
    for layer in [*model.features, nn.Flatten(), *model.classifier]:
        y = layer(y)
    assert torch.equal(model(x.clone()), y)


@pytest.mark.parametrize("name", ["vgg", "vgg_dropout"])
def test_loss_at_the_default_initialisation_is_that_of_guessing(name):
    data = datasets.load("fashion_mnist_mini", limit=100)
    for seed in (0, 1):
        model = models.build(name, init="default", seed=seed).eval()
        with torch.inference_mode():
            loss = nn.functional.cross_entropy(model(data.inputs), data.targets)
        assert abs(float(loss) - math.log(10)) < 0.1


@pytest.mark.parametrize(
    ("shape", "found"), [((2, 3, 28, 28), "3 x 28 x 28"), ((2, 1, 32, 32), "1 x 32 x 32"), ((3, 32, 32), "32 x 32")]
)
def test_images_of_another_size_are_refused_with_the_way_out(shape, found):
    with pytest.raises(ShapeError) as caught:
        models.build("vgg_light")(torch.zeros(shape))
    message = str(caught.value)
    assert message.startswith(f"vgg_light takes 3 x 32 x 32 images; got {found}. ")
    assert "--image-size 32 --channels 3" in message
    assert ("in_channels=1" in message) == ("1 x 32" in found), "other channels are advised where they are what differs"


@pytest.mark.parametrize("name", [n for n in models.names() if n.startswith("vgg")])
def test_a_message_names_the_network(name):
    with pytest.raises(ShapeError, match=f"^{name} takes 3 x 32 x 32 images; got 3 x 28 x 28"):
        meta(name)(torch.zeros(1, 3, 28, 28, device="meta"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bn_placement": "fc"}, "no BatchNorm placement 'fc'; known: conv, conv"),
        ({"init": "hee"}, "no initialisation 'hee'; known: he, xavier, default"),
        ({"num_classes": 0}, "classes and channels are at least 1; got 0 and 3"),
        ({"in_channels": -1}, "classes and channels are at least 1; got 10 and -1"),
        ({"clases": 3}, r"vgg_light: there is no option named 'clases'. Did you mean 'num_classes'\? Known: num_"),
    ],
)
def test_options_without_meaning_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        models.build("vgg_light", **options)


def test_an_unknown_network_is_answered_with_the_closest():
    with pytest.raises(
        LandscapeError, match=r"no model named 'vgg_ligth'. Did you mean 'vgg_light'\? Known: vgg, vgg_bn"
    ):
        models.build("vgg_ligth")


def test_names_stand_in_the_order_in_which_checkpoints_are_compared():
    shipped = ["vgg", "vgg_bn", "vgg_dropout", "vgg_dropout_bn", "vgg_light", "vgg_light_bn"]
    assert models.names()[:6] == shipped
    for name in shipped:
        entry = models.family(name)
        assert entry.image_size == 32
        assert len(entry.layouts) == (4 if "bn" in name else 2)
        assert set(entry.defaults) <= set(entry.options)
