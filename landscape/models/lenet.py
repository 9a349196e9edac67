"""LeNet-5 and LeNet-4 for 1 x 32 x 32 images, and LeNet with the layers that later courses gave it.

``lenet`` and ``lenet5`` have equal weights under equal names and are different functions, so a file of bare weights
does not say which it holds: it is refused until the network is named.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from landscape.models.base import Family, isolated, register
from landscape.models.classifier import Classifier, check_counts

IMAGE = 32


def lenet5(*, num_classes: int = 10, in_channels: int = 1, seed: int = 0) -> nn.Module:
    """Build LeNet-5: 61,706 parameters for ten classes.

    Convolutions of 6 and 16 maps (5 x 5), each with tanh and average pooling, then 400-120-84-10 with tanh. What
    differs from the paper: every map of the second convolution reads all six maps, not the sparse table of C3;
    subsampling is a plain average, without trainable coefficient and bias; tanh is not scaled to 1.7159 tanh(2x/3);
    and the last layer is linear, to be trained with the usual losses, not Euclidean distances to fixed codes (RBF). C5
    is written as the linear layer that it is on maps of 5 x 5.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.
        seed: Seed of the initial weights.

    Returns:
        The network.

    Source: LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition.
    """
    pools = (nn.AvgPool2d(2), nn.AvgPool2d(2))
    return _lenet("lenet5", nn.Tanh, pools, num_classes=num_classes, in_channels=in_channels, seed=seed)


def lenet(*, num_classes: int = 10, in_channels: int = 1, seed: int = 0) -> nn.Module:
    """Build LeNet with ReLU, max pooling after the first convolution and average pooling after the second.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.
        seed: Seed of the initial weights.

    Returns:
        The network: 61,706 parameters for ten classes.

    Source: the course lab on MNIST.
    """
    pools = (nn.MaxPool2d(2), nn.AvgPool2d(2))
    return _lenet("lenet", nn.ReLU, pools, num_classes=num_classes, in_channels=in_channels, seed=seed)


def _lenet(
    name: str,
    act: Callable[[], nn.Module],
    pools: tuple[nn.Module, nn.Module],
    *,
    num_classes: int,
    in_channels: int,
    seed: int,
) -> nn.Module:
    check_counts(num_classes, in_channels)
    features = [nn.Conv2d(in_channels, 6, 5), act(), pools[0], nn.Conv2d(6, 16, 5), act(), pools[1]]
    classifier = [nn.Linear(400, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, num_classes)]
    return Classifier(name, features, classifier, in_channels=in_channels, image_size=IMAGE, seed=seed)


def lenet4(*, num_classes: int = 10, in_channels: int = 1, seed: int = 0) -> nn.Module:
    """Build LeNet-4: 51,050 parameters for ten classes.

    Convolutions of 4 and 16 maps (5 x 5), each with tanh and average pooling, 120 units written as a 5 x 5 convolution
    with tanh, and one linear layer. The figure of the lab that this follows is lost; its text counts "two fully
    connected layers", which is understood as the 120 units and the outputs. As in ``lenet5``, every map reads all maps
    before it, and pooling has no trainable coefficients.

    Args:
        num_classes: Outputs.
        in_channels: Channels of the images.
        seed: Seed of the initial weights.

    Returns:
        The network.

    Source: LeCun et al. 1995, Comparison of learning algorithms for handwritten digit recognition.
    """
    check_counts(num_classes, in_channels)
    features: list[nn.Module] = []
    for width, out in ((in_channels, 4), (4, 16)):
        features += [nn.Conv2d(width, out, 5), nn.Tanh(), nn.AvgPool2d(2)]
    features += [nn.Conv2d(16, 120, 5), nn.Tanh()]
    head = [nn.Linear(120, num_classes)]
    return Classifier("lenet4", features, head, in_channels=in_channels, image_size=IMAGE, seed=seed)


for _factory in (lenet5, lenet4, lenet):
    _entry = Family(isolated(_factory), options=("num_classes", "in_channels", "seed"), image_size=IMAGE)
    register(_factory.__name__, _entry)
