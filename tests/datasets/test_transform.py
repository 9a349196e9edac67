from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torchvision import transforms

from landscape.datasets import Transform, load
from landscape.errors import UsageError


def pixels(*shape):
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))


def plain(size, channels):
    return Transform((0.0,) * channels, (1.0,) * channels, size, channels)


def test_28_becomes_32_by_zero_padding():
    images = pixels(5, 1, 28, 28)
    assert torch.equal(plain((32, 32), 1)(images), F.pad(images.float() / 255, (2, 2, 2, 2)))


def test_the_border_is_black_before_it_is_normalised():
    prepared = Transform((0.25,), (0.5,), (32, 32), 1)(pixels(2, 1, 28, 28))
    assert (prepared[:, :, :2] == -0.5).all()


def test_normalising_equals_torchvision_bit_for_bit():
    images, mean, std = pixels(7, 3, 9, 8), (0.491, 0.482, 0.446), (0.247, 0.243, 0.261)
    expected = transforms.Normalize(mean, std)(transforms.ConvertImageDtype(torch.float32)(images))
    assert torch.equal(Transform(mean, std, (9, 8), 3)(images), expected)


def test_stored_pixels_are_never_changed():
    images = pixels(3, 3, 8, 8)
    before = images.clone()
    Transform((0.5,) * 3, (0.5,) * 3, (8, 8), 3)(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", [(16, 16), (40, 40), (28, 32)])
def test_other_sizes_are_bilinear_with_antialiasing(size):
    images = pixels(3, 3, 28, 28)
    expected = F.interpolate(images.float() / 255, size=size, mode="bilinear", antialias=True)
    assert torch.equal(plain(size, 3)(images), expected)


def test_halving_a_constant_image_keeps_it():
    images = torch.full((1, 1, 8, 8), 51, dtype=torch.uint8)
    torch.testing.assert_close(plain((4, 4), 1)(images), torch.full((1, 1, 4, 4), 0.2), rtol=1e-6, atol=0)


def test_grey_is_repeated():
    images = pixels(2, 1, 6, 6)
    out = plain((6, 6), 3)(images)
    assert all(torch.equal(out[:, c], images[:, 0] / 255) for c in range(3))


def test_luminance_has_the_weights_of_itu_r_601():
    images = pixels(2, 3, 6, 6)
    expected = (images.double() / 255 * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(
        plain((6, 6), 1)(images).double(), expected, rtol=0, atol=3e-7
    )  # float32, five roundings


@pytest.mark.parametrize(("have", "want"), [(3, 2), (1, 2), (2, 3)])
def test_other_changes_of_channels_are_refused(have, want):
    with pytest.raises(UsageError, match=f"images of {have} channels cannot become {want}"):
        plain((4, 4), want)(pixels(1, have, 4, 4))


@pytest.mark.parametrize("options", [{}, {"image_size": 40}, {"image_size": 12, "channels": 1}, {"channels": 1}])
def test_a_batch_equals_the_same_rows_of_all_inputs_bit_for_bit(options, arrays, npz):
    data = load(npz(arrays), **options)
    everything = data.inputs
    assert everything.shape == (31, *data.shape)
    assert everything.dtype == torch.float32
    for rows in ([4], [30, 2], list(range(30, 0, -3)), list(range(31))):
        inputs, targets = data.batch(torch.tensor(rows))
        assert torch.equal(inputs, everything[rows])
        assert torch.equal(targets, data.targets[rows])
        assert torch.equal(data.subset(rows).inputs, everything[rows])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_gives_the_same_inputs():
    data = load("fashion_mnist_mini", limit=64)
    moved = data.to("cuda")
    assert moved.inputs.device.type == "cuda"
    torch.testing.assert_close(moved.inputs.cpu(), data.inputs, rtol=3e-7, atol=1e-7)  # one division rounds otherwise
    assert torch.equal(moved.batch(range(9))[0], moved.inputs[:9])
    assert moved.describe() == data.describe()
