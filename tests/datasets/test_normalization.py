from __future__ import annotations

import numpy as np
import pytest

from landscape.datasets import format_normalization, load, parse_normalization
from landscape.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dataset", None),
        ("half", ((0.5,), (0.5,))),
        ("none", ((0.0,), (1.0,))),
        ("0.1/0.2", ((0.1,), (0.2,))),
        ("0.1,0.2,.3/1,2e-1, 3", ((0.1, 0.2, 0.3), (1.0, 0.2, 3.0))),
    ],
)
def test_forms(text, expected):
    assert parse_normalization(text) == expected


@pytest.mark.parametrize(
    "text", ["", "imagenet", "0.5", "0.5/", "a/b", "0.1,0.2/0.3,", "1/2/3", "nan/1", "0/0", "0/-1", "0/inf"]
)
def test_other_text_is_refused_with_the_forms(text):
    with pytest.raises(UsageError, match=r"dataset .*half .*none .*M,M,M/S,S,S"):
        parse_normalization(text)


def test_text_round_trips_exactly():
    rng = np.random.default_rng(0)
    for mean, std in rng.random((50, 2, 3)):
        assert parse_normalization(format_normalization(mean, std)) == (tuple(mean), tuple(std))


def test_a_loaded_normalization_can_be_passed_on(arrays, npz):
    name = npz(arrays)
    first = load(name)
    second = load(name, split="test", normalization=first.transform.normalization)
    assert second.transform == load(name, split="test").transform == first.transform


def test_a_number_for_each_channel_or_one_for_all(arrays, npz):
    name = npz(arrays)
    assert load(name, normalization="0.1/0.2").transform.mean == (0.1,) * 3
    assert load(name, normalization="0.1,0.2,0.3/0.5").transform.std == (0.5,) * 3
    with pytest.raises(UsageError, match=r"2 means and 2 standard deviations does not fit images of 3 channels"):
        load(name, normalization="0.1,0.2/0.3,0.4")
    with pytest.raises(UsageError, match=r"3 means and 3 .* images of 1 channel: give 1"):
        load(name, channels=1, normalization="1,2,3/1,2,3")


@pytest.mark.parametrize(
    "options", [{}, {"limit": 4}, {"split": "test"}, {"split": "test", "limit": 2}, {"image_size": 9}]
)
def test_statistics_are_those_of_the_whole_train_split(options, arrays, npz):
    x = arrays["x_train"].astype(np.float64) / 255
    transform = load(npz(arrays), **options).transform
    np.testing.assert_allclose(transform.mean, x.mean(axis=(0, 1, 2)), rtol=1e-13)  # NumPy's sums round, ours do not
    np.testing.assert_allclose(transform.std, x.std(axis=(0, 1, 2)), rtol=1e-13)


def test_statistics_of_luminance(arrays, npz):
    grey = arrays["x_train"].astype(np.float64) @ [0.299, 0.587, 0.114] / 255
    transform = load(npz(arrays), channels=1).transform
    np.testing.assert_allclose([*transform.mean, *transform.std], [grey.mean(), grey.std()], rtol=1e-13)


def test_statistics_do_not_depend_on_the_chunks(arrays, npz, folder, monkeypatch):
    whole = load(npz(arrays)).transform
    monkeypatch.setattr("landscape.datasets.statistics._CHUNK", 200)
    assert load(npz(arrays)).transform == whole
    assert load(folder(arrays)).transform == whole


def test_statistics_of_the_embedded_images():
    data = load("fashion_mnist_mini")
    x = data.images.numpy().astype(np.float64) / 255  # before padding
    np.testing.assert_allclose(data.transform.mean, [x.mean()] * 3, rtol=1e-12)
    np.testing.assert_allclose(data.transform.std, [x.std()] * 3, rtol=1e-12)


def test_normalised_images_have_mean_zero_and_deviation_one(arrays, npz):
    inputs = load(npz(arrays)).inputs.double()
    np.testing.assert_allclose(inputs.mean(dim=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.std(dim=(0, 2, 3), correction=0), 1, atol=1e-6)


def test_a_constant_channel_is_refused(arrays, npz):
    arrays["x_train"][..., 1] = 77
    name = npz(arrays)
    with pytest.raises(DataError, match="channel of the train split is constant"):
        load(name)
    assert load(name, normalization="none").inputs.max() <= 1


def test_statistics_are_not_computed_when_they_are_given(arrays, npz):
    del arrays["x_train"]
    assert load(npz(arrays), split="test", normalization="half").transform.mean == (0.5,) * 3
    with pytest.raises(DataError, match="lacks x_train"):
        load(npz(arrays), split="test")
