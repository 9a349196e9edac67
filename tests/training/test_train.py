"""One run: seeded, equal to a loop written by hand, and honest about what happened."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from landscape import models
from landscape.datasets import ArrayDataset, Transform
from landscape.errors import DataError, UsageError
from landscape.records import Measurement
from landscape.storage import load, load_checkpoint
from landscape.training import TrainConfig, TrainingData, evaluate, train, trainer


def test_one_seed_is_one_run_and_another_seed_another(config, assert_same_run):
    torch.manual_seed(1)
    first = train(config())
    torch.manual_seed(2)  # the caller's generator has no say
    state = torch.get_rng_state()
    assert_same_run(first, train(config()))
    assert torch.equal(state, torch.get_rng_state())
    other = train(config(seed=1))
    assert not np.isclose(first.loss, other.loss).any()
    assert first.loss.shape == (18,)
    assert first.step.tolist() == list(range(18))
    assert first.epoch.tolist() == [1, 2, 3]


def test_every_learning_rate_starts_from_the_same_weights_and_sees_the_same_batches(config, steps, assert_same_run):
    runs = [train(config("tiny_bn", learning_rate=rate)) for rate in (1e-5, 1e-3, 1e-1)]
    assert len({run.loss[0] for run in runs}) == 1
    assert len({run.loss[1] for run in runs}) == 3
    by_run = np.array_split(range(len(steps)), 3)
    for part in by_run[1:]:
        for a, b in zip(by_run[0], part, strict=True):
            assert torch.equal(steps[a][1], steps[b][1])


def test_an_epoch_is_a_permutation_of_its_own(config, steps, data):
    train(config(), data=data)
    epochs = [torch.cat([rows for _, rows in steps[i : i + 6]]) for i in (0, 6, 12)]
    for order in epochs:
        assert sorted(order.tolist()) == list(range(117))
    assert len({tuple(order.tolist()) for order in epochs}) == 3
    assert [len(rows) for _, rows in steps[:6]] == [20] * 5 + [17]


def test_a_network_and_its_dropout_twin_start_equal(config, data):
    options = {"epochs": 1, "batch_size": 60}
    plain, dropout = (train(config(m, **options), data=data).recipe for m in ("vgg", "vgg_dropout"))
    assert plain["model_options"] == dropout["model_options"]  # initialisation is no confound
    a, b = (models.build(m, seed=0, **plain["model_options"]) for m in ("vgg", "vgg_dropout"))
    with torch.no_grad():
        assert torch.equal(a.eval()(data.train.inputs[:4]), b.eval()(data.train.inputs[:4]))


def images(count, classes=10):
    transform = Transform((0.5,) * 3, (0.5,) * 3, (1, 1), 3)
    targets = torch.arange(count) % classes
    names = tuple(map(str, range(classes)))
    return ArrayDataset(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), targets, names, "fake", "train", transform)


@pytest.mark.parametrize(
    ("count", "batch", "steps"), [(50_000, 128, 391), (45_000, 128, 352), (256, 128, 2), (130, 128, 2), (5, 128, 1)]
)
@pytest.mark.parametrize("model", ["tiny", "tiny_bn"])
def test_steps_of_an_epoch(count, batch, steps, model):
    data = TrainingData(images(count), images(5))
    assert data.steps(TrainConfig(batch_size=batch), models.build(model)) == steps


def test_a_last_batch_of_one_image_is_dropped_with_batchnorm_only():
    data = TrainingData(images(257), images(5))
    assert data.steps(TrainConfig(), models.build("tiny_bn")) == 2
    assert data.steps(TrainConfig(), models.build("tiny")) == 3
    alone = TrainingData(images(1), images(5))
    assert alone.steps(TrainConfig(), models.build("tiny")) == 1
    with pytest.raises(DataError, match="1 training images give no batch that BatchNorm could take"):
        alone.steps(TrainConfig(), models.build("tiny_bn"))


def test_the_image_that_is_dropped_is_not_trained_on(config, steps):
    assert len(train(config("tiny_bn", batch_size=29, epochs=1)).loss) == 4  # 117 = 4 * 29 + 1
    assert sum(len(rows) for _, rows in steps) == 116
    steps.clear()
    assert len(train(config("tiny", batch_size=29, epochs=1)).loss) == 5
    assert sum(len(rows) for _, rows in steps) == 117


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=1e-2),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-2),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-3, weight_decay=1e-2),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-3, weight_decay=1e-2, momentum=0.9),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_equals_a_loop_written_by_hand(config, steps, data, tmp_path, optimizer):
    """Five steps in plain PyTorch: same images, same batches, same layout in memory; no other line is shared.

    The layout matters: on the CPU torch's BatchNorm is some 1e-6 less exact in channels_last.
    """
    c = config("vgg_light_bn", epochs=1, batch_size=24, weight_decay=1e-2, optimizer=optimizer, out=tmp_path)
    run = train(c, data=data)
    model = models.build("vgg_light_bn", seed=0, init="he").train().to(memory_format=torch.channels_last)
    update = OPTIMIZERS[optimizer](model.parameters())
    losses = []
    for _, rows in steps:
        inputs = data.train.inputs[rows].contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(inputs), data.train.targets[rows])
        update.zero_grad()
        loss.backward()
        update.step()
        losses.append(loss.item())
    assert len(losses) == 5
    np.testing.assert_allclose(run.loss, losses, rtol=1e-6, atol=1e-6)
    value = evaluate(model, data.validation)
    np.testing.assert_allclose(run.val_loss, [value.loss], rtol=1e-6)
    trained = load_checkpoint(c.checkpoint_path("last")).state_dict
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-6, atol=1e-6)


def test_the_record_says_what_it_depends_on(config, data, tmp_path):
    c = config(out=tmp_path, optimizer="sgd", validation=0.1)
    run = train(c, data=data)
    recipe = run.recipe
    assert recipe["model"] == "tiny_dropout_bn"
    assert recipe["model_options"] == {"num_classes": 10, "in_channels": 3}
    for key in ("learning_rate", "seed", "epochs", "batch_size", "optimizer", "weight_decay", "loss", "precision"):
        assert recipe[key] == getattr(c, key)
    assert (recipe["steps_per_epoch"], recipe["classes"], recipe["validation_examples"]) == (6, 10, 13)
    assert recipe["data"] == data.train.describe()
    stored = load(c.run_path)
    assert stored.recipe == recipe
    assert stored.loss.tobytes() == run.loss.tobytes()
    assert str(tmp_path) not in str((stored.recipe, stored.environment, stored.provenance))


def test_checkpoints_are_those_of_their_epochs(config, data, tmp_path):
    c = config(out=tmp_path, learning_rate=1e-2)
    run = train(c, data=data)
    best, last = (load_checkpoint(c.checkpoint_path(which)) for which in ("best", "last"))
    assert best.meta["epoch"] == int(np.argmax(run.val_accuracy)) + 1 == run.provenance["best_epoch"]
    assert last.meta["epoch"] == 3
    for checkpoint in (best, last):
        at = checkpoint.meta["epoch"] - 1
        value = evaluate(checkpoint.build(), data.validation)
        assert (value.loss, value.accuracy) == pytest.approx((run.val_loss[at], run.val_accuracy[at]), rel=1e-6)
        assert checkpoint.meta["data"] == data.train.describe()
        assert checkpoint.meta["run"] == c.name
    assert best.training == {}


def test_the_best_checkpoint_is_that_of_the_first_best_epoch(config, tmp_path, monkeypatch, assert_same_weights):
    """Validation accuracies 0.2, 0.5, 0.5, 0.1: the second epoch, which is the end of a run of two."""
    accuracies = iter([0.2, 0.5, 0.5, 0.1, 0.2, 0.5])
    monkeypatch.setattr(trainer, "evaluate", lambda *args, **named: Measurement(1.0, 0.1, next(accuracies), 13))
    four, two = config(out=tmp_path / "four", epochs=4), config(out=tmp_path / "two", epochs=2)
    assert train(four).provenance["best_epoch"] == 2
    train(two)
    assert load_checkpoint(four.checkpoint_path("best")).meta["epoch"] == 2
    assert_same_weights(four.checkpoint_path("best"), two.checkpoint_path("last"))


def test_dropout_masks_are_those_of_the_seed_and_the_epoch(config, data, monkeypatch):
    """Equal at every learning rate, another in every epoch, and for another seed."""
    states = []
    step = trainer.Trainer.step
    monkeypatch.setattr(
        trainer.Trainer, "step", lambda t, rows: (states.append(torch.get_rng_state()), step(t, rows))[1]
    )
    for settings in ({"learning_rate": 1e-4}, {"learning_rate": 1e-2}, {"seed": 1}):
        train(config(**settings), data=data)
    one, other, seed = (states[i : i + 18] for i in (0, 18, 36))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, seed, strict=True))
    assert len({state.numpy().tobytes() for state in one}) == 18


def test_validation_images_are_never_trained_on(config, data, steps):
    train(config(), data=data)
    trained = {t.numpy().tobytes() for t in data.train.images}
    assert not trained & {t.numpy().tobytes() for t in data.validation.images}
    assert max(int(rows.max()) for _, rows in steps) == 116


def test_a_run_learns(config):
    run = train(config("tiny_bn", epochs=8, learning_rate=1e-2))
    assert run.loss[-6:].mean() < 0.6 * run.loss[:6].mean()
    assert run.survived


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_diverging_run_is_ended_early_flagged_and_kept(config, tmp_path, steps, optimizer):
    rate = 1e20 if optimizer == "sgd" else 1e30
    c = config("tiny", optimizer=optimizer, learning_rate=rate, epochs=4, out=tmp_path)
    run = train(c)
    assert run.diverged
    assert not run.collapsed
    assert len(run.epoch) < 4
    assert not np.isfinite(run.loss).all()
    assert np.isfinite(run.loss[0])
    assert run.provenance["ended_early"]
    weights = load_checkpoint(c.checkpoint_path("last")).state_dict
    assert not all(bool(t.isfinite().all()) for t in weights.values())
    made = len(steps)
    assert train(c).loss.tobytes() == run.loss.tobytes()  # it is not trained again
    assert len(steps) == made


def test_a_dead_network_is_flagged_as_collapsed(config):
    def dead(**options):
        model = models.build("tiny", **options)
        for p in model.parameters():
            p.data.zero_()
        return model

    entry = dataclasses.replace(models.family("tiny"), factory=dead)
    models.register("dead", entry)
    run = train(config("dead", learning_rate=1e-60, optimizer="sgd", epochs=2))
    np.testing.assert_allclose(run.loss, np.log(10), atol=1e-4)
    assert run.collapsed
    assert not run.diverged


def test_reduced_precision_runs(config, data):
    full, half = (train(config("tiny_bn", precision=p), data=data) for p in ("fp32", "bf16"))
    assert half.recipe["precision"] == "bf16"
    assert not np.array_equal(full.loss, half.loss)
    np.testing.assert_allclose(half.loss[:6], full.loss[:6], rtol=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "fp8"}, "no precision 'fp8'"),
        ({"loss": "crossentropy"}, "no loss named 'crossentropy'. Did you mean 'cross_entropy'"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"model": "tinny"}, "no model named 'tinny'. Did you mean 'tiny"),
        ({"validation": 1.0}, "validation fraction of 1.0"),
    ],
)
def test_names_that_are_none_are_refused_before_a_step(config, steps, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        train(config(out=tmp_path, **settings))
    assert not list(tmp_path.iterdir())


def test_progress_counts_every_step_once(config):
    seen = []
    train(config(), progress=seen.append)
    assert [p.done for p in seen] == list(range(1, 19))
    assert {p.total for p in seen} == {18}
    assert seen[-1].seconds_left == 0
    assert all(p.seconds_left > 0 for p in seen[:-1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_changes_speed_and_not_the_start(config):
    here, there = (train(config("vgg_light_bn", epochs=1, device=d)) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(there.loss[0], here.loss[0], rtol=1e-5)
    np.testing.assert_allclose(there.loss, here.loss, rtol=2e-2)
    assert here.recipe == there.recipe
