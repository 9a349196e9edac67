"""Augmented images against what is written by hand, and against the seed that they follow from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from landscape import datasets
from landscape.datasets import Augmentation, Augmented
from landscape.datasets.augment import PADDING, moved
from landscape.errors import UsageError


@pytest.fixture
def images():
    """400 images of 1 x 28 x 28 as they are stored, prepared as 3 x 32 x 32."""
    return datasets.load("fashion_mnist_mini", limit=400, normalization="0.5,0.4,0.3/0.2,0.25,0.3")


@pytest.fixture
def rows():
    return torch.randperm(400, generator=torch.Generator().manual_seed(3))[:60]


def pixels(data, rows):
    return data.transform.pixels(data.images[rows])


def normalized(pixels):
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    return (pixels - mean[:, None, None]) / std[:, None, None]


def test_windows_and_mirrors_are_those_that_are_cut_by_hand():
    """Image by image with plain slices; images that are not square, so that swapped axes cannot pass."""
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(9, 2, 5, 7, generator=generator)
    flipped = torch.tensor([True, False, True, False, True, False, True, True, False])
    corners = torch.randint(2 * PADDING + 1, (9, 2), generator=generator)
    corners[0], corners[1], corners[2] = torch.tensor([4, 4]), torch.tensor([0, 8]), torch.tensor([8, 0])
    for mirror, window in ((flipped, corners), (None, corners), (flipped, None)):
        found = moved(batch, mirror, window)
        for k in range(9):
            padded = np.pad(batch[k].numpy(), ((0, 0), (4, 4), (4, 4)))
            top, left = (4, 4) if window is None else window[k].tolist()
            expected = padded[:, top : top + 5, left : left + 7]
            if mirror is not None and mirror[k]:
                expected = expected[:, :, ::-1]
            np.testing.assert_array_equal(found[k].numpy(), expected)


def test_half_of_the_images_are_mirrored_and_the_others_left_alone(images, rows):
    inputs, targets = Augmented(images, Augmentation(flip=True), 7).batch(rows)
    plain, expected = images.batch(rows)
    assert torch.equal(targets, expected)
    same = (inputs == plain).flatten(1).all(1)
    mirrored = (inputs == plain.flip(-1)).flatten(1).all(1)
    assert bool((same | mirrored).all())
    everything = Augmented(images, Augmentation(flip=True), 7).batch(torch.arange(400))[0]
    share = float((everything != images.inputs).flatten(1).any(1).double().mean())
    assert abs(share - 0.5) < 4 * 0.5 / 400**0.5  # four standard deviations of a fair coin


def test_a_crop_moves_by_at_most_four_pixels_and_fills_with_black(images, rows):
    found, _ = Augmented(images, Augmentation(crop=True), 7).batch(rows)
    before, seen = pixels(images, rows), set()
    for k in range(60):
        padded = torch.nn.functional.pad(before[k], (4,) * 4)
        fits = [
            (top, left)
            for top in range(9)
            for left in range(9)
            if torch.allclose(normalized(padded[:, top : top + 32, left : left + 32]), found[k], rtol=0, atol=1e-5)
        ]
        assert fits, "it is no window of the padded image"
        seen |= set(fits)
    assert {top for top, _ in seen} == {left for _, left in seen} == set(range(9))


def test_noise_has_its_deviation_in_pixels_before_normalization(images):
    """n = 400 x 3072 draws: the deviation is known to sd / sqrt(2 n), the mean to sd / sqrt(n)."""
    found, _ = Augmented(images, Augmentation(noise=0.05), 7).batch(torch.arange(400))
    std = torch.tensor([0.2, 0.25, 0.3])[:, None, None]
    noise = ((found - images.inputs) * std).double().flatten()
    n = noise.numel()
    assert abs(float(noise.std()) - 0.05) < 5 * 0.05 / (2 * n) ** 0.5 + 1e-6
    assert abs(float(noise.mean())) < 5 * 0.05 / n**0.5 + 1e-6


def test_autoaugment_is_torchvisions_policy_on_stored_pixels(images, rows):
    """Each image has a seed of its own; set by hand, torchvision gives the same bytes."""
    augmented = Augmented(images, Augmentation(autoaugment=True), 7)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    found, _ = augmented.batch(rows[:20])
    assert torch.equal(state, torch.get_rng_state()), "the global generator is put back"
    policy, expected = AutoAugment(AutoAugmentPolicy.CIFAR10), []
    for row in rows[:20].tolist():
        torch.manual_seed(int(augmented._seeds[row]))
        expected.append(policy(images.images[row]))
    torch.testing.assert_close(found, images.transform(torch.stack(expected)), rtol=0, atol=0)
    assert not torch.equal(found, images.batch(rows[:20])[0])


@pytest.mark.parametrize("words", [["flip"], ["crop"], ["autoaugment"], ["flip", "crop", "autoaugment"]])
def test_an_image_follows_from_the_seed_and_its_place_alone(images, rows, words):
    def drawn(seed, chosen):
        return Augmented(images, Augmentation.parse(words), seed).batch(chosen)[0]

    together = drawn(7, rows)
    assert torch.equal(together, drawn(7, rows))
    assert torch.equal(together[10:13], drawn(7, rows[10:13])), "whatever batch it comes in"
    assert not torch.equal(together, drawn(8, rows))


def test_noise_follows_from_the_seed_and_the_order_of_batches(images, rows):
    def drawn(seed):
        augmented = Augmented(images, Augmentation(noise=0.1), seed)
        return [augmented.batch(rows)[0] for _ in range(2)]

    first, second = drawn(7)
    again = drawn(7)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, drawn(8)[0])


def test_all_changes_together_are_made_in_their_order(images, rows):
    """Recoloured as stored, then a window, mirrored, then noise: noise would show if it were moved or clipped."""
    seed = 7
    found, _ = Augmented(images, Augmentation.parse(["noise:0.2", "flip", "crop", "autoaugment"]), seed).batch(rows)
    without, _ = Augmented(images, Augmentation.parse(["flip", "crop", "autoaugment"]), seed).batch(rows)
    std = torch.tensor([0.2, 0.25, 0.3])[:, None, None]
    expected = torch.randn(without.shape, generator=torch.Generator().manual_seed(seed)) * 0.2
    torch.testing.assert_close((found - without) * std, expected, rtol=0, atol=1e-5)


def test_the_stored_images_are_left_alone(images, rows):
    before = images.images.clone()
    Augmented(images, Augmentation.parse(["flip", "crop", "autoaugment", "noise"]), 1).batch(rows)
    assert torch.equal(images.images, before)
    grey = replace(images, transform=replace(images.transform, mean=(0.5,), std=(0.5,), channels=1))
    assert Augmented(grey, Augmentation.parse(["flip", "crop", "autoaugment", "noise"]), 1).batch(rows)[0].shape == (
        60,
        1,
        32,
        32,
    )


def test_words_are_read_and_written():
    assert Augmentation.parse([]) == Augmentation()
    assert not Augmentation()
    for words in (["flip"], ["noise:0.1", "flip"], ["autoaugment", "crop", "flip", "noise:0.025"]):
        parsed = Augmentation.parse(words)
        assert parsed
        assert Augmentation.parse(str(parsed).split(",")) == parsed
    assert Augmentation.parse(["noise"]).noise == 0.05


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["noise:x"], "a number above zero, of pixels from 0 to 1; got 'x'"),
        (["noise:0"], "got '0'"),
        (["noise:nan"], "got 'nan'"),
        (["flip:0.3"], "'flip' takes no number; got 'flip:0.3'"),
        (["flip", "crop", "flip"], "'flip' is given twice: flip, crop, flip"),
    ],
)
def test_words_without_meaning_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        Augmentation.parse(words)


def test_an_unknown_word_gets_a_suggestion():
    with pytest.raises(UsageError, match=r"no augmentation named 'flp'. Did you mean 'flip'\? Known: flip, crop, auto"):
        Augmentation.parse(["flp"])
