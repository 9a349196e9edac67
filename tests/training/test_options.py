"""What each option of a run does to it: clipping, early stopping, smoothing, augmentation, validation by steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape import datasets, losses
from landscape.datasets import Augmentation, Augmented
from landscape.datasets.options import DataOptions
from landscape.errors import ResumeError, ShapeError, UsageError
from landscape.records import Measurement
from landscape.storage import load, load_checkpoint
from landscape.training import TrainConfig, TrainingData, evaluate, seeding, train, trainer
from landscape.training.stopping import epochs_waited
from landscape.training.trainer import Trainer


def build(config):
    return Trainer(config, TrainingData.of(config), lambda progress: None)


def update(one, rows):
    """The change of all parameters by one step, as one vector."""
    before = torch.cat([p.detach().flatten().clone() for p in one.model.parameters()])
    one.step(rows)
    after = torch.cat([p.detach().flatten() for p in one.model.parameters()])
    return after - before


ROWS = torch.arange(20)
SGD = {"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 1.0}


def test_clipping_by_value_bounds_every_element_of_the_update(config):
    """With plain SGD at learning rate 1 the update is minus the gradient."""
    free, cut = (update(build(config("tiny", **SGD, grad_clip=c)), ROWS) for c in (None, "value:0.01"))
    assert float(free.abs().max()) > 0.02, "there is something to cut"
    torch.testing.assert_close(cut, free.clamp(-0.01, 0.01), rtol=0, atol=1e-6)


def test_clipping_by_norm_shortens_the_update_and_keeps_its_direction(config):
    free, cut, loose = (update(build(config("tiny", **SGD, grad_clip=c)), ROWS) for c in (None, "norm:0.1", "norm:1e6"))
    assert float(free.norm()) > 0.2
    assert float(cut.norm()) == pytest.approx(0.1, rel=1e-4)
    torch.testing.assert_close(cut, free * (0.1 / free.norm()), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(loose, free, rtol=1e-6, atol=0)


@pytest.mark.parametrize("text", ["0.1", "value", "value:", "value:0", "norm:-1", "norm:nan", "size:1", ""])
def test_clipping_without_meaning_is_refused(text):
    with pytest.raises(UsageError, match="clipped by value:BOUND or norm:BOUND, a number above zero; got"):
        TrainConfig(grad_clip=text)


@pytest.mark.parametrize(
    ("values", "waited"),
    [
        ([], 0),
        ([1.0], 0),
        ([1.0, 0.9, 0.8], 0),
        ([1.0, 1.0], 1),
        ([1.0, 0.5, 0.6, 0.55], 2),
        ([1.0, 0.5, 0.6, 0.49], 0),
        ([math.nan, 1.0], 0),
        ([1.0, math.nan, math.nan], 2),
        ([math.nan, math.nan], 2),
        ([1.0, math.nan, 0.9], 0),
    ],
)
def test_epochs_since_the_lowest_validation_loss(values, waited):
    assert epochs_waited(values) == waited


@pytest.fixture
def validated(monkeypatch):
    """Set the validation losses (and accuracies) that a run is told."""

    def script(values, accuracies=None):
        given = iter(zip(values, accuracies or [0.5] * len(values), strict=True))

        def told(*args, **named):
            loss, accuracy = next(given)
            return Measurement(loss, 0.1, accuracy, 13)

        monkeypatch.setattr(trainer, "evaluate", told)

    return script


@pytest.mark.parametrize(
    ("patience", "epochs"),
    [(1, 3), (2, 6), (3, 7), (4, 8), (5, 9), (6, 9)],
)
def test_early_stopping_stops_when_it_should_and_not_before(config, validated, patience, epochs):
    """Lowest so far after epochs 1, 2, 4; then never again. Nine epochs are asked for."""
    validated([1.0, 0.9, 0.95, 0.8, 0.85, 0.81, 0.8, 0.9, 0.9])
    run = train(config("tiny", epochs=9, early_stop=patience))
    assert len(run.epoch) == epochs
    assert run.provenance["stopped_by_validation_loss"] is (epochs < 9)
    assert not run.diverged
    assert run.survived


def test_a_stopped_run_is_finished(config, validated, tmp_path, steps):
    validated([1.0, 1.1, 1.2, 1.3])
    c = config("tiny", epochs=9, early_stop=2, out=tmp_path)
    first = train(c)
    assert len(first.epoch) == 3
    assert len(steps) == 18
    again = train(c)
    assert len(steps) == 18, "it is not trained again"
    assert again.provenance["ended_early"]
    assert again.loss.tobytes() == first.loss.tobytes()
    assert not load_checkpoint(c.checkpoint_path("last")).training.get("optimizer")


def test_training_images_are_augmented_and_validation_images_never(config, monkeypatch):
    c = config("tiny", epochs=2, augment=("flip", "noise:0.1"))
    one = build(c)
    seen = []
    one.model.register_forward_pre_hook(lambda module, args: seen.append((module.training, args[0].clone())))
    one.run()
    trained = [x for training, x in seen if training]
    validated = [x for training, x in seen if not training]
    assert len(trained) == 12
    for epoch in range(2):
        key = seeding.key(c.seed, "augment", epoch)
        images = Augmented(one.data.train, Augmentation.parse(c.augment), key)
        order = torch.split(seeding.permutation(117, c.seed, epoch), 20)
        for x, rows in zip(trained[6 * epoch : 6 * epoch + 6], order, strict=True):
            assert torch.equal(x, images.batch(rows)[0])
            assert not torch.equal(x, one.data.train.batch(rows)[0])
    for x in validated:
        assert torch.equal(x, one.data.validation.inputs)


def test_an_augmentation_may_be_written_as_text():
    assert TrainConfig(augment="flip, noise:0.1").augment == ("flip", "noise:0.1")
    assert TrainConfig(augment="").augment == ()


@pytest.mark.parametrize("every", [4, 5, 6, 18])
def test_validation_by_steps_stands_at_its_steps_and_changes_nothing(config, every, data):
    c = config(val_every=every, learning_rate=1e-2)
    run = train(c)
    expected = np.arange(every, 19, every)
    np.testing.assert_array_equal(run.val_step, expected)
    plain = train(config(learning_rate=1e-2))
    assert run.loss.tobytes() == plain.loss.tobytes()
    assert run.val_loss.tobytes() == plain.val_loss.tobytes()
    ends = [k for k, step in enumerate(expected) if step % 6 == 0]
    np.testing.assert_array_equal(run.val_step_loss[ends], run.val_loss[expected[ends] // 6 - 1])
    assert plain.val_step.size == 0


def test_a_validation_by_step_measures_the_network_of_that_step(config, data):
    one = build(config(val_every=4, learning_rate=1e-2, epochs=1))
    measured = []
    step = one.step

    def stepped(rows):
        found = step(rows)
        measured.append(evaluate(one.model, data.validation))
        return found

    one.step = stepped
    run = one.run()
    assert run.val_step.tolist() == [4]
    assert run.val_step_loss[0] == measured[3].loss
    assert run.val_step_accuracy[0] == measured[3].accuracy


def test_the_best_network_may_lie_within_an_epoch(config, validated, tmp_path):
    """Validated after steps 4, 6 (epoch), 8, 12 (both), 16, 18 (epoch): the best is at step 8."""
    validated([1.0] * 6, [0.2, 0.3, 0.9, 0.4, 0.9, 0.5])
    c = config(val_every=4, out=tmp_path)
    run = train(c)
    meta = load_checkpoint(c.checkpoint_path("best"), "tiny_dropout_bn").meta
    assert (meta["step"], meta["val_accuracy"], meta["kept"]) == (8, 0.9, "highest validation accuracy")
    last = load_checkpoint(c.checkpoint_path("last"), "tiny_dropout_bn").meta
    assert (last["step"], last["val_accuracy"], last["kept"]) == (18, 0.5, "last epoch")
    assert run.best_accuracy == 0.9
    np.testing.assert_array_equal(run.val_step, [4, 8, 12, 16])
    np.testing.assert_array_equal(run.val_step_accuracy, [0.2, 0.9, 0.4, 0.9])


@pytest.mark.parametrize(
    ("change", "key", "asked"),
    [
        ({"scheduler": "cosine"}, "scheduler", "cosine"),
        ({"grad_clip": "norm:1"}, "grad_clip", "norm:1"),
        ({"early_stop": 3}, "early_stop", "3"),
        ({"augment": ("flip",)}, "augment", "flip"),
        ({"val_every": 4}, "val_every", "4"),
        ({"loss": "label_smoothing:0.1"}, "loss", "label_smoothing:0.1"),
    ],
)
def test_an_option_in_use_is_part_of_the_recipe_and_one_that_is_not_is_absent(
    config, tmp_path, data, *, change, key, asked
):
    c = config("tiny", epochs=1, out=tmp_path)
    plain = train(c, data=data)
    assert (set(change) - {"loss"}) & set(plain.recipe) == set()
    with pytest.raises(ResumeError, match=rf"{key}=.*this call has {key}='?{asked}"):
        train(config("tiny", epochs=1, out=tmp_path, **change), data=data)
    other = train(config("tiny", epochs=1, out=tmp_path / "other", **change), data=data)
    assert str(other.recipe[key]) == asked
    with pytest.raises(ResumeError, match=key):
        train(config("tiny", epochs=1, out=tmp_path / "other"), data=data)


def test_settings_of_a_schedule_are_in_the_recipe_with_their_defaults(config, tmp_path):
    c = config("tiny", epochs=1, scheduler="step", scheduler_options={"gamma": 0.5}, out=tmp_path)
    assert train(c).recipe["scheduler_options"] == {"step_size": 10, "gamma": 0.5}
    with pytest.raises(ResumeError, match=r"scheduler_options.gamma=0.5.*scheduler_options.gamma=0.1"):
        train(config("tiny", epochs=1, scheduler="step", out=tmp_path))
    train(config("tiny", epochs=1, scheduler="step", scheduler_options={"gamma": 0.5, "step_size": 10}, out=tmp_path))


def test_training_accuracy_and_rates_are_recorded(config, tmp_path):
    c = config("tiny", epochs=2, out=tmp_path, learning_rate=0.01)
    run = train(c)
    assert run.learning_rate.tolist() == [0.01] * 12
    assert ((run.train_accuracy > 0) & (run.train_accuracy < 1)).all()
    back = load(c.run_path)
    np.testing.assert_array_equal(back.train_accuracy, run.train_accuracy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"early_stop": 0}, "patience of early stopping is counted in whole epochs from 1; got 0"),
        ({"val_every": 0}, "validation is counted in whole steps from 1; got 0"),
        ({"loss": "label_smoothing:much"}, "'much' is no number; write label_smoothing:0.1"),
        ({"loss": "mse:2"}, "the loss 'mse' takes no number; got 'mse:2'"),
        ({"loss": "crossentropy"}, "Did you mean 'cross_entropy'"),
        ({"augment": ("flop",)}, "Did you mean 'flip'"),
    ],
)
def test_options_without_meaning_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**settings)


def test_images_that_the_network_cannot_take_are_told_in_words(config, steps):
    grey = DataOptions("fashion_mnist_mini", limit=130, image_size=20)
    with pytest.raises(ShapeError, match=r"cannot take the images of fashion_mnist_mini, which are 3 x 20 x 20"):
        train(config("tiny", data=grey))
    assert steps == []


def test_a_last_batch_of_one_image_is_dropped_where_batchnorm_over_features_would_fail(config, monkeypatch):
    """117 = 4 x 29 + 1; BatchNorm1d refuses a single row in training mode."""
    from landscape import models

    def flat(**options):
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(3072, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 10)
        )

    models.register("flat_bn", models.Family(flat, options=()))
    models.register("flat", models.Family(lambda **o: torch.nn.Sequential(*list(flat())[:2], torch.nn.Linear(4, 10))))
    run = train(config("flat_bn", epochs=1, batch_size=29))
    assert len(run.loss) == 4
    assert len(train(config("flat", epochs=1, batch_size=29)).loss) == 5
    with pytest.raises(UsageError, match=r"batches of one image .*--batch-size 2"):
        train(config("flat_bn", epochs=1, batch_size=1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_step_waits_for_a_cuda_device_and_it_sees_the_same_flips_and_crops(config):
    options = {"scheduler": "onecycle", "grad_clip": "norm:1", "augment": ("flip", "crop", "noise:0.1")}
    one = build(config("tiny", device="cuda", **options))
    one.step(ROWS.to("cuda"))  # what is chosen once, is chosen
    one.scheduler.step_done()
    rows = torch.arange(20, 40, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        one.step(rows)
        one.scheduler.step_done()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    drawn = []
    for device in ("cpu", "cuda"):
        data = TrainingData.of(config(device=device)).train
        images = Augmented(data, Augmentation.parse(["flip", "crop", "autoaugment"]), 3)
        drawn.append(images.batch(torch.arange(30))[0].cpu())
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0.05)  # recoloured pixels are rounded to bytes


def test_losses_with_a_number_are_for_surfaces_too():
    from landscape import Objective, models

    data = datasets.load("fashion_mnist_mini", limit=40)
    model = models.build("vgg_light", seed=1).eval()
    objective = Objective(model, data.inputs, data.targets, loss="label_smoothing:0.2", device="cpu")
    with torch.no_grad():
        outputs = model(data.inputs).double()
    expected = torch.nn.functional.cross_entropy(outputs, data.targets, label_smoothing=0.2)
    assert objective(objective.center).loss == pytest.approx(float(expected), rel=1e-5)
    assert objective.loss_name == "label_smoothing:0.2"
    assert losses.resolve("label_smoothing")[0] == "label_smoothing:0.1"
