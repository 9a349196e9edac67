"""The networks of the course labs: counts, layers, functions, initial weights, sizes of images."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape import datasets, models
from landscape.errors import CheckpointError, ShapeError, UnknownNameError, UsageError
from landscape.tasks.data import check_fit

COUNTS = {
    "cifar10net": 79_114,
    "cifar10net_3": 132_746,
    "cifar10net_4": 418_186,
    "net": 62_006,
    "net_bn": 62_290,
    "net_kaiming": 62_006,
    "net_wide": 244_962,
    "mlp": 1_738_890,
    "cnn": 1_125_258,
    "resnet9": 6_637_194,
    "lenet5": 61_706,
    "lenet4": 51_050,
    "lenet": 61_706,
    "resnet18": 11_181_642,
    "resnet18_gray": 11_175_434,
    "torchvision:squeezenet1_1": 727_626,  # 1,235,496 with 1,000 classes; 513 for each
}
CHANNELS = {"lenet5": 1, "lenet4": 1, "lenet": 1, "resnet18_gray": 1}  # others take three
MULTIPLICATIONS = {
    "net": 75 * 6 * 28**2 + 150 * 16 * 10**2 + 400 * 120 + 120 * 84 + 84 * 10,
    "lenet5": 25 * 6 * 28**2 + 150 * 16 * 10**2 + 400 * 120 + 120 * 84 + 84 * 10,
    "lenet4": 25 * 4 * 28**2 + 100 * 16 * 10**2 + 400 * 120 + 120 * 10,
    "mlp": 3072 * 512 + 512 * 256 + 256 * 128 + 128 * 10,
    "cnn": (27 + 576 + 576) * 64 * 32**2 + 16384 * 64 + 64 * 10,
    "cifar10net": 27 * 32 * 32**2 + 2 * 288 * 32 * 16**2 + 288 * 64 * 16**2 + 40960,
    "resnet9": 27 * 64 * 32**2
    + 576 * 128 * 32**2
    + 2 * 1152 * 128 * 16**2
    + 1152 * 256 * 16**2
    + 2304 * 512 * 8**2
    + 2 * 4608 * 512 * 4**2
    + 512 * 128
    + 1280,
}


def meta(name, **options):
    with torch.device("meta"):
        return models.build(name, **options)


def state_equal(a, b):
    one, other = a.state_dict(), b.state_dict()
    return list(one) == list(other) and all(torch.equal(t, other[n]) for n, t in one.items())


def kinds(layers):
    return " ".join(type(layer).__name__ for layer in layers)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_counted(name):
    assert sum(p.numel() for p in meta(name).parameters()) == COUNTS[name]


def test_every_network_that_ships_is_counted_here_or_beside_the_vggs():
    elsewhere = {n for n in models.names() if n.startswith(("vgg", "dln"))}
    assert set(models.names()) - elsewhere == {n for n in COUNTS if ":" not in n}


@pytest.mark.parametrize("name", MULTIPLICATIONS)
def test_multiplications_of_one_image_are_those_of_the_stated_layers(name):
    """Strides, paddings and pools decide how often a kernel is used: counts of parameters do not see them."""
    model, total = models.build(name).eval(), 0

    def count(layer, _, output):
        nonlocal total
        total += layer.weight[0].numel() * output.numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    model(torch.zeros(1, CHANNELS.get(name, 3), 32, 32))
    assert total == MULTIPLICATIONS[name]


@pytest.mark.parametrize(
    ("name", "features", "classifier"),
    [
        ("net", "Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d", "Linear ReLU Linear ReLU Linear"),
        ("net_kaiming", "Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d", "Linear ReLU Linear ReLU Linear"),
        ("net_wide", "Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d", "Linear ReLU Linear ReLU Linear"),
        ("net_bn", "Conv2d BatchNorm2d ReLU MaxPool2d Conv2d BatchNorm2d ReLU MaxPool2d",
         "Linear BatchNorm1d ReLU Linear ReLU Linear"),
        ("lenet5", "Conv2d Tanh AvgPool2d Conv2d Tanh AvgPool2d", "Linear Tanh Linear Tanh Linear"),
        ("lenet", "Conv2d ReLU MaxPool2d Conv2d ReLU AvgPool2d", "Linear ReLU Linear ReLU Linear"),
        ("lenet4", "Conv2d Tanh AvgPool2d Conv2d Tanh AvgPool2d Conv2d Tanh", "Linear"),
        ("mlp", "", "Linear ReLU Linear ReLU Linear ReLU Dropout Linear"),
        ("cnn", "Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d ReLU AvgPool2d",
         "Linear ReLU Linear"),
        ("cifar10net", "Conv2d BatchNorm2d ReLU MaxPool2d Residual Conv2d BatchNorm2d ReLU MaxPool2d",
         "Dropout Linear"),
        ("cifar10net_3", "Conv2d BatchNorm2d ReLU MaxPool2d Residual Conv2d BatchNorm2d ReLU MaxPool2d "
         "Conv2d BatchNorm2d ReLU MaxPool2d", "Dropout Linear"),
        ("cifar10net_4", "Conv2d BatchNorm2d ReLU MaxPool2d Residual Conv2d BatchNorm2d ReLU MaxPool2d "
         "Conv2d BatchNorm2d ReLU MaxPool2d Conv2d BatchNorm2d ReLU MaxPool2d", "Dropout Linear"),
        ("resnet9", "Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d ReLU MaxPool2d Residual Conv2d BatchNorm2d ReLU "
         "MaxPool2d Conv2d BatchNorm2d ReLU MaxPool2d Residual MaxPool2d", "Linear Linear"),
    ],
)  # fmt: skip
def test_layers_stand_in_their_order(name, features, classifier):
    model = meta(name)
    assert kinds(model.features) == features
    assert kinds(model.classifier) == classifier


def test_biases_are_where_they_are_stated():
    unbiased = {
        name: [n for n, m in meta(name).named_modules() if isinstance(m, nn.Conv2d) and m.bias is None]
        for name in ("cifar10net", "cnn", "resnet9", "resnet18_gray")
    }
    assert unbiased["cifar10net"] == ["features.4.conv1", "features.4.conv2"]
    assert unbiased["cnn"] == ["features.0"]
    assert unbiased["resnet9"] == []
    assert "conv1" not in unbiased["resnet18_gray"]
    assert len(unbiased["resnet18_gray"]) == 19


def test_dropout_is_an_option():
    assert models.build("cifar10net").classifier[0].p == 0.5
    assert models.build("mlp").classifier[6].p == 0.25
    assert models.build("mlp", dropout=0.1).classifier[6].p == 0.1
    assert state_equal(models.build("cifar10net", dropout=0.0), models.build("cifar10net"))


@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_a_lenet_without_an_image_pushes_its_biases_through(act):
    """On zeros a map is its bias everywhere, so pooling changes nothing and a layer is one product of sums."""
    model = models.build("lenet5" if act == "tanh" else "lenet", seed=3).double().eval()
    f = getattr(torch, act)
    first, second = model.features[0], model.features[3]
    maps = f(second.bias + second.weight.sum((2, 3)) @ f(first.bias))
    outputs = maps.repeat_interleave(25)
    for layer in (model.classifier[0], model.classifier[2]):
        outputs = f(layer.weight @ outputs + layer.bias)
    outputs = model.classifier[4].weight @ outputs + model.classifier[4].bias
    torch.testing.assert_close(model(torch.zeros(1, 1, 32, 32).double())[0], outputs, rtol=1e-12, atol=1e-12)


def test_the_second_pool_of_a_lenet_tells_it_from_the_tutorials_net():
    image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    net, lenet = models.build("net", in_channels=1), models.build("lenet")
    assert state_equal(net, lenet)
    maps = lenet.features[:5](image)
    torch.testing.assert_close(lenet(image), lenet.classifier(functional.avg_pool2d(maps, 2).flatten(1)))
    torch.testing.assert_close(net(image), net.classifier(functional.max_pool2d(maps, 2).flatten(1)))
    assert not torch.allclose(net(image), lenet(image))


@pytest.mark.parametrize("name", ["cifar10net", "resnet9"])
def test_a_residual_block_whose_branch_is_silent_returns_its_input(name):
    """The last BatchNorm of the branch with weight and bias zero: relu(x + 0), or x + relu(0)."""
    block = next(m for m in models.build(name).eval().modules() if type(m).__name__ == "Residual")
    last = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    x = torch.randn(2, last.num_features, 4, 4, generator=torch.Generator().manual_seed(0))
    wanted = torch.relu(x) if name == "cifar10net" else x
    assert torch.equal(block(x), wanted)


@pytest.mark.parametrize("training", [True, False])
def test_a_residual_block_of_cifar10net_is_computed_by_hand(training):
    block = models.build("cifar10net").features[4].double().train(training)
    draws = torch.Generator().manual_seed(0)
    for norm in (block.bn1, block.bn2):
        for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
            tensor.normal_(generator=draws)
        norm.running_var.uniform_(0.5, 2.0, generator=draws)

    def normalized(norm, maps):
        mean, var = norm.running_mean.clone(), norm.running_var.clone()
        return functional.batch_norm(maps, mean, var, norm.weight, norm.bias, training=training, eps=1e-5)

    x = torch.randn(3, 32, 5, 4, generator=draws, dtype=torch.float64)
    inner = functional.relu(normalized(block.bn1, functional.conv2d(x, block.conv1.weight, padding=1)))
    wanted = functional.relu(x + normalized(block.bn2, functional.conv2d(inner, block.conv2.weight, padding=1)))
    torch.testing.assert_close(block(x), wanted, rtol=1e-12, atol=1e-12)  # the same products in the same order


def test_resnet9_has_one_linear_map_at_its_end():
    head = models.build("resnet9").double().classifier
    joined = head[1].weight @ head[0].weight
    x = torch.randn(5, 512, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(head(x) - head(torch.zeros(1, 512).double()), x @ joined.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_the_activation_reaches_the_residual_block_only_when_asked(name):
    outside = models.build("cifar10net_3", activation=name)
    inside = models.build("cifar10net_3", activation=name, activation_in_block=True)
    word = name.capitalize()
    for model, block in ((outside, "ReLU"), (inside, word)):
        assert [type(model.features[place]).__name__ for place in (2, 7, 11)] == [word] * 3
        assert type(model.features[4].activation).__name__ == block
    assert state_equal(outside, inside)
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(outside.eval()(image), inside.eval()(image))


SEEDED = [n for n in COUNTS if n not in {"mlp", "resnet9", "resnet18_gray"}]


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_decides_the_weights_and_the_callers_numbers_are_left_alone(name):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = models.build(name, seed=4)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert state_equal(first, models.build(name, seed=4))
    assert not state_equal(first, models.build(name, seed=5))


def test_a_network_and_its_normalized_twin_start_equal():
    plain, twin = models.build("net", seed=2), models.build("net_bn", seed=2)
    for a, b in zip(*(
        [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)] for net in (plain, twin)
    ), strict=True):  # fmt: skip
        assert torch.equal(a, b)


def test_kaiming_weights_are_normal_over_fan_in_and_biases_are_torchs():
    plain, kaiming = models.build("net", seed=1), models.build("net_kaiming", seed=1)
    for (name, a), b in zip(plain.named_parameters(), kaiming.parameters(), strict=True):
        if name.endswith("bias"):
            assert torch.equal(a, b)
            continue
        w = b.detach().double() * math.sqrt(b[0].numel() / 2)
        assert abs(float(w.std()) - 1) < 5 / math.sqrt(2 * w.numel())
        assert abs(float((w**4).mean()) - 3) < 5 * math.sqrt(96 / w.numel())  # a normal's fourth moment


@pytest.mark.parametrize("name", COUNTS)
def test_outputs_have_a_column_for_every_class(name):
    size, channels = models.family(name).image_size or 32, 2
    model = models.build(name, num_classes=7, in_channels=channels).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, channels, size, size)).shape == (2, 7)


@pytest.mark.parametrize("name", [n for n in [*COUNTS, "vgg_light"] if n != "torchvision:squeezenet1_1"])
def test_images_of_another_size_are_refused_in_words_with_the_way_out(name):
    size, channels = models.family(name).image_size, CHANNELS.get(name, 3)
    model = models.build(name).eval()
    side = 28 if size else 32
    data = datasets.load("fashion_mnist_mini", limit=10, image_size=side, channels=channels if size else 1)
    with pytest.raises(ShapeError) as caught:
        check_fit(model, data)
    way = f"{f'--image-size {size} ' if size else ''}--channels {channels}"
    assert str(caught.value).startswith(f"{name} takes {f'{channels} x {size} x {size} images' if size else 'images'}")
    assert f"got {data.shape[0]} x {side} x {side}. Prepare them with {way} (" in str(caught.value)
    assert ("or build the network with in_channels=" in str(caught.value)) == (data.shape[0] != channels)
    assert "\n" not in str(caught.value)


def test_a_network_of_torchvision_says_what_it_needs_at_least():
    with pytest.raises(
        ShapeError, match=r"torchvision:alexnet takes images with 3 channels and at least 63 x 63 pixels"
    ):
        models.build("torchvision:alexnet")(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ShapeError, match="torchvision:vit_b_32 takes 3 x 224 x 224 images; got 3 x 32 x 32"):
        meta("torchvision:vit_b_32")(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ShapeError, match=r"resnet18 takes images with 3 channels; got 32 x 32\. "):
        models.build("resnet18")(torch.zeros(3, 32, 32))


def test_names_of_torchvision_are_looked_up_not_imported():
    assert models.known("torchvision:resnet50")
    assert not models.known("torchvision.models:resnet50")
    with pytest.raises(UnknownNameError, match=r"no classification network of torchvision named 'resnet81'\. Did you"):
        models.build("torchvision:resnet81")
    with pytest.raises(UnknownNameError, match="classification network"):
        models.build("torchvision:fasterrcnn_resnet50_fpn")  # a detector
    with pytest.raises(UsageError, match="no option named 'weights'"):
        models.build("torchvision:resnet18", weights="DEFAULT")  # would be fetched
    assert state_equal(models.build("torchvision:resnet18", seed=3), models.build("resnet18", seed=3))


def test_torchvisions_networks_give_one_output_while_training_and_can_be_pickled():
    for name in ("googlenet", "inception_v3"):
        assert not any(n.lower().startswith("aux") for n in meta(f"torchvision:{name}").state_dict())
    model = pickle.loads(pickle.dumps(models.build("torchvision:squeezenet1_1")))
    with pytest.raises(ShapeError, match="squeezenet1_1"):
        model(torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cifar10net", {"activation": "tan"}, "no activation named 'tan'. Did you mean 'tanh'"),
        ("mlp", {"dropout": 1.5}, "a dropout rate is at least 0 and below 1; got 1.5"),
        ("lenet", {"in_channels": 0}, "classes and channels are at least 1; got 10 and 0"),
        ("resnet18", {"num_classes": 0}, "classes and channels are at least 1; got 0 and 3"),
        ("net", {"activation": "tanh"}, "net: there is no option named 'activation'"),
    ],
)
def test_options_without_meaning_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        models.build(name, **options)


class TestPretrained:
    @pytest.fixture
    def weights(self, tmp_path):
        """A file of ResNet-18 weights of 100 classes, running statistics that are not fresh, and the network."""
        model = models.build("resnet18", num_classes=100, seed=9)
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean += 0.5
        torch.save({"state_dict": {f"module.{n}": t for n, t in model.state_dict().items()}}, tmp_path / "weights.pth")
        return tmp_path / "weights.pth", model

    def test_all_but_the_last_layer_come_from_the_file(self, weights):
        path, source = weights
        fresh, model = models.build("resnet18", seed=1), models.build("resnet18", seed=1, pretrained=str(path))
        for name, tensor in model.state_dict().items():
            wanted = fresh if name.startswith("fc.") else source
            assert torch.equal(tensor, wanted.state_dict()[name]), name

    def test_a_last_layer_of_as_many_classes_is_kept(self, weights):
        path, source = weights
        assert state_equal(models.build("resnet18", num_classes=100, pretrained=str(path)), source)

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("torchvision:resnet34", {}, r"at 'layer1.2.conv1.weight' the network has \(64, 64, 3, 3\), the file no"),
            ("resnet18", {"in_channels": 1}, r"'conv1.weight' the network has \(64, 1, 7, 7\), the file \(64, 3,"),
            ("resnet18_gray", {}, "at 'conv1.weight'"),
        ],
    )  # fmt: skip
    def test_weights_of_another_network_are_refused(self, weights, name, options, message):
        with pytest.raises(CheckpointError, match=message):
            models.build(name, pretrained=str(weights[0]), **options)

    def test_a_file_that_is_missing_or_no_weights_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"option pretrained names .*none.pth, and there is no such file"):
            models.build("resnet18", pretrained=str(tmp_path / "none.pth"))
        (tmp_path / "evil.pth").write_bytes(pickle.dumps(print))
        with pytest.raises(CheckpointError, match="nothing in it was executed"):
            models.build("resnet18", pretrained=str(tmp_path / "evil.pth"))
