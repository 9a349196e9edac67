"""A classifier class by class, against counts made by hand and numpy's own sorting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape import datasets, models
from landscape.datasets import ArrayDataset, Transform
from landscape.errors import ShapeError, UsageError
from landscape.records import Evaluation
from landscape.training import evaluate, evaluate_classifier

NAN = float("nan")


class Told(nn.Module):
    """Outputs by the first pixel of an image: image ``i`` of the data set has the pixel ``i``."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(torch.as_tensor(outputs, dtype=torch.float32))

    def forward(self, x):
        return self.outputs[(x[:, 0, 0, 0] * 255).round().long()]


def numbered(targets, classes):
    """Images of one pixel more than one, so that each can be told from the others."""
    n = len(targets)
    images = torch.arange(n, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 2, 4)
    images[:, 1] = 255 - images[:, 1]
    transform = Transform((0.0,) * 3, (1.0,) * 3, (2, 4), 3)
    names = tuple(f"c{k}" for k in range(classes))
    return ArrayDataset(images, torch.as_tensor(targets), names, "fake", "test", transform)


@pytest.fixture
def random_case():
    """Sixty images of six classes, of which one has no image, and seven outputs, many of them equal."""
    rng = np.random.default_rng(0)
    targets = rng.choice([0, 1, 2, 4, 5], 60)
    return rng.integers(0, 4, (60, 7)).astype(float), targets


def test_counts_made_by_hand():
    """Class 0: one right, one taken for 2; class 1: right; class 2: taken for 1."""
    outputs = [[3, 1, 2], [0, 1, 2], [0, 9, 2], [1, 2, 0]]
    found = evaluate_classifier(Told(outputs), numbered([0, 0, 1, 2], 3), batch_size=3)
    assert found.confusion.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]
    assert found.overall.accuracy == 0.5
    assert found.class_accuracy.tolist() == [0.5, 1.0, 0.0]
    assert found.rank_count.tolist() == [2, 0, 2]
    assert found.mistake_index.tolist() == [1, 3]  # the same three outputs: equally sure, in the data set's order


def test_the_confusion_matrix_is_numpys_count(random_case):
    outputs, targets = random_case
    found = evaluate_classifier(Told(outputs), numbered(targets, 6), batch_size=7)
    expected = np.zeros((6, 7), int)
    np.add.at(expected, (targets, outputs.argmax(axis=1)), 1)
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.predicted_class.tolist() == ["c0", "c1", "c2", "c3", "c4", "c5", "output 6"]
    assert found.unpredicted.sum() == 0
    assert found.class_examples[3] == 0


@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_top_k_is_that_of_a_stable_sort(random_case, k):
    outputs, targets = random_case
    first = np.argsort(-outputs, axis=1, kind="stable")[:, :k]
    found = evaluate_classifier(Told(outputs), numbered(targets, 6))
    assert found.top(k) == pytest.approx((first == targets[:, None]).any(axis=1).mean(), abs=1e-12)
    assert found.top(1) == found.overall.accuracy
    assert np.isnan(found.top(7))  # every class is among seven of seven outputs


def test_losses_of_classes_are_means_over_their_images(random_case):
    outputs, targets = random_case
    found = evaluate_classifier(Told(outputs), numbered(targets, 6))
    losses = np.log(np.exp(outputs).sum(axis=1)) - outputs[range(60), targets]
    for k in (0, 1, 2, 4, 5):
        own = losses[targets == k]
        np.testing.assert_allclose(found.class_loss[k], own.mean(), rtol=1e-12)
        np.testing.assert_allclose(found.class_loss_sem[k], own.std(ddof=1) / len(own) ** 0.5, rtol=1e-12)
    assert np.isnan(found.class_loss[3])
    weighted = np.nansum(found.class_loss * found.class_examples) / 60
    np.testing.assert_allclose(weighted, found.overall.loss, rtol=1e-12)
    np.testing.assert_allclose(found.overall.loss, losses.mean(), rtol=1e-12)


def test_mistakes_come_surest_first_with_their_own_images(random_case):
    outputs, targets = random_case
    outputs = outputs + np.linspace(0, 0.5, 60)[:, None] * np.arange(7)  # no two images are equally sure
    data = numbered(targets, 6)
    found = evaluate_classifier(Told(outputs), data, mistakes=9, batch_size=11)
    outputs = outputs.astype(np.float32).astype(float)
    soft = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    wrong = [i for i in range(60) if outputs[i].argmax() != targets[i]]
    expected = sorted(wrong, key=lambda i: -soft[i].max())[:9]
    assert found.mistake_index.tolist() == expected
    np.testing.assert_allclose(found.mistake_confidence, soft.max(axis=1)[expected], rtol=1e-12)
    assert found.mistake_true.tolist() == targets[expected].tolist()
    assert found.mistake_predicted.tolist() == outputs.argmax(axis=1)[expected].tolist()
    np.testing.assert_array_equal(found.mistake_image, data.images.numpy().transpose(0, 2, 3, 1)[expected])


@pytest.mark.parametrize("most", [0, 3, 500])
def test_no_more_mistakes_are_kept_than_there_are_or_were_asked_for(random_case, most):
    outputs, targets = random_case
    found = evaluate_classifier(Told(outputs), numbered(targets, 6), mistakes=most)
    assert len(found.mistake_index) == min(most, int((outputs.argmax(axis=1) != targets).sum()))
    assert found.mistake_image.shape[1:] == (2, 4, 3)


@pytest.mark.parametrize(
    ("loss", "expected", "word"),
    [
        ("cross_entropy", np.exp(2) / (1 + np.exp(2) + np.exp(-1)), "softmax"),
        ("bce", 1 / (1 + np.exp(-2)), "sigmoid"),
        ("mse", 2.0, "output"),
    ],
)
def test_confidence_is_what_the_loss_made_of_the_outputs(loss, expected, word):
    found = evaluate_classifier(Told([[0, 2, -1]]), numbered([0], 3), loss=loss)
    np.testing.assert_allclose(found.mistake_confidence, [expected], rtol=1e-12)
    assert (found.recipe["confidence"], found.recipe["loss"]) == (word, loss)


def test_an_image_with_an_output_of_nan_has_no_prediction():
    outputs = [[1, 0, 0], [NAN, 0, 0], [0, NAN, 3], [0, 1, 0]]
    found = evaluate_classifier(Told(outputs), numbered([0, 0, 2, 2], 3))
    assert found.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert found.unpredicted.tolist() == [1, 0, 1]
    assert found.rank_count.sum() == 2
    assert found.overall.accuracy == 0.25
    assert found.class_accuracy[[0, 2]].tolist() == [0.5, 0.0]
    assert found.mistake_index.tolist() == [3]
    assert np.isnan(found.overall.loss)


def test_it_agrees_with_the_trainers_evaluation_and_leaves_the_network_as_it_was():
    data = datasets.load("fashion_mnist_mini", split="test", limit=90)
    model = models.build("vgg_light_bn", seed=2)
    model(data.inputs[:32])
    model.train()
    next(model.modules()).eval()  # a root in evaluation mode, its parts not: flags are put back one by one
    flags = [module.training for module in model.modules()]
    before = {name: t.clone() for name, t in model.state_dict().items()}
    found = evaluate_classifier(model, data, batch_size=40)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    short = evaluate(model, data, batch_size=40)
    assert (found.overall.accuracy, found.overall.examples) == (short.accuracy, 90)
    np.testing.assert_allclose([found.overall.loss, found.overall.loss_sem], [short.loss, short.loss_sem], rtol=1e-12)
    assert found.recipe["dataset"] == "fashion_mnist_mini"
    assert found.recipe["has_batchnorm"] is True


def test_a_float64_network_takes_the_images():
    data = datasets.load("fashion_mnist_mini", split="test", limit=30)
    single = models.build("vgg_light", seed=1)
    found = [evaluate_classifier(model, data) for model in (single, models.build("vgg_light", seed=1).double())]
    np.testing.assert_allclose(found[0].class_loss, found[1].class_loss, rtol=1e-4)


def test_progress_is_an_estimate_and_then_every_batch():
    told = []
    evaluate_classifier(Told(np.eye(5)), numbered(range(5), 5), batch_size=2, progress=told.append)
    assert [(p.done, p.total, p.estimate) for p in told] == [
        (0, 5, True), (2, 5, False), (4, 5, False), (5, 5, False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "says"),
    [(np.zeros((4, 2)), "2 outputs"), (np.zeros(4), r"shape \(4,\)"), (np.zeros((4, 3, 1)), "3, 1")],
)
def test_outputs_that_are_no_classes_are_refused(outputs, says):
    with pytest.raises(ShapeError, match=rf"{says}.*3 classes of fake"):
        evaluate_classifier(Told(outputs), numbered([0, 1, 2, 0], 3))


def test_a_negative_number_of_mistakes_is_refused():
    with pytest.raises(UsageError, match="mistakes=-1"):
        evaluate_classifier(Told(np.eye(3)), numbered([0, 1, 2], 3), mistakes=-1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_counts_are_those_of_the_cpu():
    data = datasets.load("fashion_mnist_mini", split="test", limit=300)
    model = models.build("vgg_light_bn", seed=2)
    found: list[Evaluation] = [evaluate_classifier(model.to(device), data, batch_size=70) for device in ("cpu", "cuda")]
    assert (found[0].confusion != found[1].confusion).sum() <= 4  # an image on the edge may fall on the other side
    np.testing.assert_allclose(found[0].class_loss, found[1].class_loss, rtol=1e-3)
