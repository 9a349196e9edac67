"""A bare state dict is recognised as a network that is the same function, or refused with the candidates."""

from __future__ import annotations

import pytest
import torch

from landscape import models
from landscape.errors import CheckpointError, UsageError
from landscape.storage import load_checkpoint, save_checkpoint

CIFAR = ("cifar10net", "cifar10net_3", "cifar10net_4")
VGGS = ("vgg", "vgg_light", "vgg_light_bn")  # their twins and relatives: test_recognize.py and test_norms.py
LENETS = ("net", "net_kaiming", "lenet", "lenet5")


@pytest.fixture
def written(tmp_path):
    def write(state, foreign=False):
        names = [f"block{i}.{n.rsplit('.', 1)[-1]}" if foreign else n for i, n in enumerate(state)]
        torch.save(dict(zip(names, state.values(), strict=True)), tmp_path / "a.pth")
        return tmp_path / "a.pth"

    return write


def images(name, channels):
    size = models.family(name).image_size or 32
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("foreign", [False, True], ids=["exact", "foreign"])
@pytest.mark.parametrize("name", [n for n in models.names() if not n.startswith(("vgg", "dln")) or n in VGGS])
def test_every_network_is_recognised_or_refused_as_ambiguous(written, name, foreign):
    net = models.build(name, seed=7).eval()
    path = written(net.state_dict(), foreign)
    if name in CIFAR or name in LENETS:
        with pytest.raises(CheckpointError, match="different functions") as caught:
            load_checkpoint(path)
        message = str(caught.value)
        if name in CIFAR:
            for kind in ("relu", "sigmoid", "tanh"):
                assert f"{name} (activation={kind}, activation_in_block=False)" in message
                assert (f"{name} (activation={kind}, activation_in_block=True)" in message) is (kind != "relu")
        else:
            if net.in_channels == 1:
                listed = ("net (in_channels=1)", "lenet5 (in_channels=1)", "lenet (in_channels=1)")
            else:
                listed = ("net", "lenet5 (num_classes=10, in_channels=3)", "lenet (num_classes=10, in_channels=3)")
            assert f"different functions: {'; '.join(listed)}. Say which with --model" in message
        return
    found = load_checkpoint(path)
    assert found.model_name == name
    x = images(name, getattr(net, "in_channels", 1 if name == "resnet18_gray" else 3))
    with torch.inference_mode():
        assert torch.equal(found.build()(x), net(x))


@pytest.mark.parametrize("name", ["lenet", "lenet5", "net"])
def test_a_name_settles_what_weights_cannot(written, name):
    net = models.build(name, in_channels=1, seed=7).eval()
    x = images(name, 1)
    with torch.inference_mode():
        assert torch.equal(load_checkpoint(written(net.state_dict()), name).build()(x), net(x))


@pytest.mark.parametrize("name", ["lenet", "lenet5"])
def test_a_file_of_ours_tells_the_lenets_apart(tmp_path, name):
    net = models.build(name)
    save_checkpoint(tmp_path / "a.pth", net, model_name=name)
    x = images(name, 1)
    with torch.inference_mode():
        assert torch.equal(load_checkpoint(tmp_path / "a.pth").build()(x), net.eval()(x))


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh"])
def test_an_activation_that_is_named_settles_it(written, kind):
    options = {"activation": kind, "activation_in_block": kind != "relu"}
    net = models.build("cifar10net", seed=7, **options).eval()
    path, x = written(net.state_dict()), images("cifar10net", 3)
    with torch.inference_mode():
        assert torch.equal(load_checkpoint(path, model_options=options).build()(x), net(x))
    if kind == "relu":  # in the block it is the same function
        assert load_checkpoint(path, model_options={"activation": "relu"}).model_options["activation"] == "relu"
    else:
        with pytest.raises(CheckpointError, match="different functions"):
            load_checkpoint(path, model_options={"activation": kind})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {"num_classes": 4, "in_channels": 1}),
        ("resnet18", {"num_classes": 1000}),
        ("resnet18_gray", {"num_classes": 5, "in_channels": 2}),
        ("torchvision:squeezenet1_1", {"num_classes": 6, "in_channels": 1}),
    ],
)
def test_classes_and_channels_are_found(written, name, options):
    path = written(models.build(name, **options).state_dict())
    found = load_checkpoint(path, name if ":" in name else None)
    assert (found.model_name, dict(found.model_options)) == (name, options)


def test_a_name_of_torchvision_is_trusted_for_it_imports_nothing_foreign(tmp_path):
    net = models.build("torchvision:squeezenet1_1", num_classes=3)
    options = {"num_classes": 3, "pretrained": "/elsewhere/weights.pth", "seed": 1}
    save_checkpoint(tmp_path / "a.pth", net, model_name="torchvision:squeezenet1_1", model_options=options)
    found = load_checkpoint(tmp_path / "a.pth")
    assert found.trusted
    again = found.build()  # its own weights replace those that it began with
    assert torch.equal(again.classifier[1].weight, net.classifier[1].weight)


def test_a_file_cannot_ask_torchvision_for_a_download(tmp_path):
    net = models.build("torchvision:squeezenet1_1")
    options = {"weights": "DEFAULT"}
    save_checkpoint(tmp_path / "a.pth", net, model_name="torchvision:squeezenet1_1", model_options=options)
    with pytest.raises(UsageError, match="no option named 'weights'"):
        load_checkpoint(tmp_path / "a.pth").build()
