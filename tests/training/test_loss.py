"""What a run minimises: every loss against its formula, in the steps, in validation, and in evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.errors import DataError, UsageError
from landscape.storage import load_checkpoint
from landscape.training import TrainingData, evaluate, train
from landscape.training.trainer import Trainer


def log_softmax(z):
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def binary(z, hot):
    p = 1 / (1 + np.exp(-z))
    return -(hot * np.log(p) + (1 - hot) * np.log(1 - p))


LOSSES = {  # of logits and one-hot targets, each (images, classes)
    "cross_entropy": lambda z, hot: -(hot * log_softmax(z)).sum(1).mean(),
    "label_smoothing:0.3": lambda z, hot: -((0.7 * hot + 0.3 / 10) * log_softmax(z)).sum(1).mean(),
    "mse": lambda z, hot: ((z - hot) ** 2).mean(),
    "bce": lambda z, hot: binary(z, hot).mean(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_trained_with_validated_with_and_evaluated_with(config, steps, tmp_path, name):
    def by_hand(model, images, rows):
        inputs, targets = images.batch(rows)
        with torch.no_grad():
            z = model(inputs).double().numpy()
        return LOSSES[name](z, np.eye(10)[targets.numpy()])

    c = config("tiny", loss=name, epochs=1, out=tmp_path)
    data = TrainingData.of(c)
    initial = Trainer(c, data, lambda progress: None).model
    run = train(c)
    assert run.recipe["loss"] == name
    assert run.loss[0] == pytest.approx(by_hand(initial, data.train, steps[0][1]), rel=1e-5)
    final, held_out = load_checkpoint(c.checkpoint_path("last")).build(), torch.arange(13)
    expected = by_hand(final, data.validation, held_out)
    assert run.val_loss[0] == pytest.approx(expected, rel=1e-5)
    assert evaluate(final, data.validation, loss=name).loss == pytest.approx(expected, rel=1e-5)


def test_a_share_out_of_range_is_told_before_training(config, steps):
    with pytest.raises(UsageError, match=r"a share between 0 and 1; got 1.5"):
        train(config("tiny", loss="label_smoothing:1.5"))
    assert steps == []


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_a_one_hot_loss_needs_an_output_for_every_class_and_no_other(config, steps, loss):
    with pytest.raises(DataError, match=r"12 outputs, .* 10 classes: mse and bce .* unknown.*num_classes=10"):
        train(config("tiny", loss=loss, model_options={"num_classes": 12}))
    for name in (loss, "cross_entropy"):
        with pytest.raises(DataError, match=r"7 outputs, .* 10 classes"):
            train(config("tiny", loss=name, model_options={"num_classes": 7}))
    assert steps == []
    assert np.isfinite(train(config("tiny", epochs=1, model_options={"num_classes": 12})).loss).all()
