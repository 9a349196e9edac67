"""Which images a checkpoint is measured on: the user's word, else the file's, else an assumption that is told."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape import datasets, models
from landscape.errors import DataError, ShapeError, UsageError
from landscape.storage import load_checkpoint
from landscape.tasks.data import DataChoice, check_fit, images_for, subset_facts


def test_the_file_says_everything(own, data_facts):
    data, assumed = images_for(load_checkpoint(own), DataChoice(limit=30))
    assert assumed == []
    assert (data.name, len(data), data.split) == ("fashion_mnist_mini", 30, "train")
    assert list(data.transform.mean) == data_facts["mean"]
    assert list(data.transform.std) == data_facts["std"]


def test_the_user_wins(own):
    choice = DataChoice("fashion_mnist_mini", split="test", limit=30, normalization="half", image_size=40, channels=1)
    data, assumed = images_for(load_checkpoint(own), choice)
    assert assumed == []
    assert (data.split, data.shape, data.transform.mean) == ("test", (1, 40, 40), (0.5,))


def test_a_foreign_file_gets_defaults_that_are_told(bare, monkeypatch):
    monkeypatch.setitem(datasets.SOURCES._items, "cifar10", datasets.SOURCES.get("fashion_mnist_mini"))
    data, assumed = images_for(load_checkpoint(bare), DataChoice(limit=30))
    assert data.name == "cifar10"
    assert data.normalization == "dataset"
    assert len(assumed) == 2
    assert "assumed cifar10 (--dataset changes it)" in assumed[0]
    assert "--normalization changes it" in assumed[1]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"dataset": "fashion_mnist_mini"}, ["normalized"]),
        ({"dataset": "fashion_mnist_mini", "normalization": "none"}, []),
    ],
)
def test_only_what_was_not_said_is_assumed(bare, said, words):
    _, assumed = images_for(load_checkpoint(bare), DataChoice(limit=30, **said))
    assert len(assumed) == len(words)
    assert all(word in text for word, text in zip(words, assumed, strict=True))


def test_other_images_than_those_of_training_keep_its_normalization_and_that_is_told(make_ckpt, data_facts):
    path = make_ckpt(data=data_facts | {"dataset": "cifar10"})
    data, assumed = images_for(load_checkpoint(path), DataChoice("fashion_mnist_mini", limit=30))
    assert list(data.transform.mean) == data_facts["mean"]
    assert len(assumed) == 1
    assert "trained on cifar10" in assumed[0]
    assert "measured on fashion_mnist_mini" in assumed[0]
    assert "the training constants" in assumed[0]


def test_of_a_file_of_arrays_only_the_name_is_kept_and_the_user_is_asked_where_it_is(make_ckpt, data_facts, place):
    path = make_ckpt(data=data_facts | {"dataset": "npz:own.npz"})
    with pytest.raises(DataError, match=r"trained on npz:own\.npz.*--dataset npz:PATH"):
        images_for(load_checkpoint(path), DataChoice(limit=10))
    (place / "far").mkdir()
    images = np.zeros((20, 32, 32, 3), np.uint8)
    labels = np.arange(20) % 10
    np.savez(place / "far" / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    data, assumed = images_for(load_checkpoint(path), DataChoice("npz:far/own.npz", limit=10))
    assert (data.name, assumed) == ("npz:own.npz", [])


def test_fewer_outputs_than_classes(make_ckpt):
    checkpoint = load_checkpoint(make_ckpt(num_classes=7))
    with pytest.raises(DataError, match=r"7 outputs, fashion_mnist_mini has 10 classes.*--dataset"):
        images_for(checkpoint, DataChoice("fashion_mnist_mini", limit=10))


def flat(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs)).eval()


def test_a_network_that_takes_the_images():
    data = datasets.load("fashion_mnist_mini", limit=10)
    other = nn.Sequential(flat(3072, 10), nn.Unflatten(1, (2, 5)))  # not class outputs: not judged here
    networks = [flat(3072, 10), flat(3072, 12).double(), other]
    state = torch.get_rng_state()
    for network in networks:
        check_fit(network, data)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("network", "error"), [(flat(784, 10), ShapeError), (flat(3072, 9), DataError)])
def test_a_network_that_cannot_take_the_images(network, error):
    with pytest.raises(error, match="fashion_mnist_mini"):
        check_fit(network, datasets.load("fashion_mnist_mini", limit=10))


def test_the_words_of_the_network_itself_are_kept():
    data = datasets.load("fashion_mnist_mini", limit=10, channels=1)
    with pytest.raises(ShapeError, match=r"vgg_light takes 3 x 32 x 32 images; got 1 x 32 x 32"):
        check_fit(models.build("vgg_light").eval(), data)


def test_an_unknown_data_set_is_a_matter_of_usage(own):
    with pytest.raises(UsageError):
        images_for(load_checkpoint(own), DataChoice("nonsense", limit=10))


def test_facts_of_a_subset_leave_the_seed_to_the_directions():
    facts = subset_facts(datasets.load("fashion_mnist_mini", limit=10, seed=5))
    assert "seed" not in facts
    assert (facts["data_seed"], facts["limit"], facts["classes"], facts["split"]) == (5, 10, 10, "train")
