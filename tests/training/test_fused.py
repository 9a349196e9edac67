"""Trained together equals trained alone: one pass for several runs, a recorded step, killed and continued."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import UsageError
from landscape.storage import load, load_checkpoint
from landscape.training import TrainingData, fused, keeping, train
from landscape.training.fused import choose, groups, seconds, train_together
from landscape.training.recorded import RecordedStep
from landscape.training.stack import Stack
from landscape.training.trainer import Trainer

RATES = (1e-3, 3e-3, 1e-2)


@pytest.fixture
def members(config, data):
    """Runs of one network at several learning rates, in a precision of choice."""

    def make(model, dtype=torch.float64, rates=RATES, seeds=(0, 0, 0), **settings):
        made = []
        for rate, seed in zip(rates, seeds, strict=True):
            run = Trainer(config(model, learning_rate=rate, seed=seed, **settings), data, lambda progress: None)
            run.model.to(dtype).train()
            made.append(run)
        return made

    return make


@pytest.fixture
def in_double(monkeypatch):
    batch = Trainer.batch

    def double(self, rows):
        inputs, targets = batch(self, rows)
        return inputs.to(next(self.model.parameters()).dtype), targets

    monkeypatch.setattr(Trainer, "batch", double)


def mini_batches(seed, steps=10):
    order = torch.randperm(117, generator=torch.Generator().manual_seed(seed))
    return [order.roll(-7 * step)[:20] for step in range(steps)]


def averaged_bias(run):
    """What a running mean holds of the convolution's bias, kept like the running mean: before every step."""
    own = run.model.state_dict()["0.bias"].double()
    run.bias = 0.9 * getattr(run, "bias", torch.zeros_like(own)) + 0.1 * own


def alone(runs, steps=10):
    losses = []
    for run in runs:
        torch.manual_seed(0)
        made = []
        for rows in mini_batches(run.config.seed, steps):
            averaged_bias(run)
            made.append(run.step(rows)[0])
        losses.append(torch.stack(made))
    return torch.stack(losses)


def together(runs, steps=10):
    torch.manual_seed(0)
    stack, made = Stack(runs), []
    for asked in zip(*(mini_batches(run.config.seed, steps) for run in runs), strict=True):
        for run in runs:
            averaged_bias(run)
        made.append(torch.stack([loss for loss, _ in stack.step(asked)]))
    return torch.stack(made, dim=1)


def feeds_batchnorm(run):
    """Biases whose effect the next BatchNorm takes away: their true gradient is zero."""
    layers = list(run.model.named_children())
    return {f"{a}.bias" for (a, _), (_, b) in itertools.pairwise(layers) if isinstance(b, nn.BatchNorm2d)}


def assert_equal_states(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        idle = feeds_batchnorm(one)
        state, wanted = one.model.state_dict(), other.model.state_dict()
        for name in state.keys() - idle:
            a, b = state[name].double(), wanted[name].double()
            if name.endswith("running_mean"):
                a, b = a - one.bias, b - other.bias
            torch.testing.assert_close(
                a, b, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize("model", ["tiny", "tiny_bn", "tiny_dropout_bn"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_sgd_together_equals_sgd_alone(members, in_double, *, model, optimizer, dtype, tolerance):
    """Parameters and buffers after ten steps; with dropout all members and the runs alone draw the same masks."""
    expected, found = (members(model, dtype, optimizer=optimizer) for _ in range(2))
    losses = alone(expected)
    torch.testing.assert_close(together(found), losses, rtol=tolerance, atol=0)
    assert_equal_states(found, expected, tolerance)
    assert len({float(loss) for loss in losses[:, -1]}) == 3, "each member has its own learning rate"


@pytest.mark.parametrize("model", ["tiny", "tiny_dropout_bn"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_adamw_together_equals_adamw_alone(members, in_double, *, model, dtype, tolerance):
    """In float32 losses only: Adam amplifies the rounding of gradients that are zero."""
    expected, found = (members(model, dtype) for _ in range(2))
    losses = alone(expected)
    torch.testing.assert_close(together(found), losses, rtol=tolerance, atol=0)
    if dtype == torch.float64:
        assert_equal_states(found, expected, 1e-10)


def test_members_of_other_seeds_have_batches_of_their_own(members, in_double):
    expected, found = (members("tiny_bn", seeds=(0, 1, 2), optimizer="sgd") for _ in range(2))
    losses = alone(expected)
    torch.testing.assert_close(together(found), losses, rtol=1e-10, atol=0)
    assert len({float(loss) for loss in losses[:, 0]}) == 3


@pytest.mark.parametrize("model", ["tiny", "tiny_bn"])
def test_a_diverging_member_harms_no_other(members, in_double, model):
    expected = members(model, rates=RATES, optimizer="sgd")
    found = members(model, rates=(1e-3, 1e200, 1e-2), optimizer="sgd")
    alone(expected)
    losses = together(found)
    assert not losses[1].isfinite().all()
    assert_equal_states([found[0], found[2]], [expected[0], expected[2]], 1e-10)


def test_a_member_that_waits_is_put_back(members, in_double):
    runs = members("tiny_bn")
    before = {name: t.clone() for name, t in runs[1].model.state_dict().items()}
    rows = mini_batches(0)[0]
    assert len(Stack(runs).step([rows, None, rows])) == 2
    for name, tensor in runs[1].model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not runs[1].optimizer.state
    assert runs[0].optimizer.state


@pytest.fixture
def comparison(config):
    def make(out=None, model="tiny_dropout_bn", rates=RATES, seeds=(0,), **settings):
        return [
            config(model, out=out, learning_rate=r, seed=s, **({"epochs": 2} | settings)) for s in seeds for r in rates
        ]

    return make


def test_whole_runs_together_equal_runs_alone(comparison, data, tmp_path):
    """Losses, validation and records on disk; SGD, so that rounding stays rounding."""
    configs = comparison(tmp_path, optimizer="sgd")
    torch.manual_seed(3)
    state = torch.get_rng_state()
    found = train_together(configs, data=data, fuse="on")
    assert torch.equal(torch.get_rng_state(), state)
    for c, run in zip(configs, found, strict=True):
        expected = train(dataclasses.replace(c, out=None))
        np.testing.assert_allclose(run.loss, expected.loss, rtol=1e-4)
        np.testing.assert_allclose(run.val_loss, expected.val_loss, rtol=1e-4)
        assert run.recipe == expected.recipe
        assert run.provenance["method"] == "stacked"
        assert run.provenance["together"] == [c.name for c in configs]
        assert load(c.run_path).loss.tobytes() == run.loss.tobytes()


class Stop(Exception):  # noqa: N818 - as a signal would
    pass


def outcome(configs):
    runs = [load(c.run_path) for c in configs]
    weights = [load_checkpoint(c.checkpoint_path(which)) for c in configs for which in ("best", "last")]
    return (
        [getattr(run, name).tobytes() for run in runs for name in ("loss", "val_loss", "val_accuracy")],
        [t.numpy().tobytes() for w in weights for t in w.state_dict.values()],
    )


@pytest.mark.parametrize(
    "stop",
    [*((n, RATES) for n in (1, 4, 5, 8, 11, 12)), (7, (1e-3, 1e-2, 1e30)), (9, (1e-3, 1e-2, 1e30))],
)
def test_stopped_at_any_write_and_continued_gives_the_same_bits(comparison, data, tmp_path, monkeypatch, stop):
    """Three members, each with best, last and record: some are an epoch ahead of others when it stops.

    The last member may diverge in its first epoch.
    """
    written, rates = stop
    whole, broken = (comparison(tmp_path / name, rates=rates, epochs=3) for name in ("whole", "broken"))
    train_together(whole, data=data, fuse="on")
    save, made = keeping.save_checkpoint, []

    def stopping(path, *args, **named):
        made.append(path)
        if len(made) == written:
            raise Stop
        save(path, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "save_checkpoint", stopping)
        with pytest.raises(Stop):
            train_together(broken, data=data, fuse="on")
    begun = broken[0].checkpoint_path("last").exists()
    train_together(broken, data=data, fuse="auto" if begun else "on")  # what they were begun with stays
    assert outcome(broken) == outcome(whole)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_diverged_member_is_dropped_and_the_others_train_as_if_alone(comparison, data, place):
    """Whichever it is, the others draw the masks of their second epoch as they do alone."""
    rates = [1e-3, 1e-2]
    rates.insert(place, 1e30)
    configs = comparison(rates=rates, optimizer="sgd")
    for n, run in enumerate(train_together(configs, data=data, fuse="on")):
        assert (run.diverged, len(run.epoch)) == ((True, 1) if n == place else (False, 2))
        if n != place:
            np.testing.assert_allclose(run.loss, train(configs[n]).loss, rtol=1e-4)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_member_that_stops_early_leaves_the_others_their_masks(comparison, data, monkeypatch, place):
    """What ends a run early does not matter: here one says after its first epoch that it is stopped."""
    configs = comparison(optimizer="sgd")
    stopped = Trainer.stopped.fget

    def stops(self):
        return stopped(self) or (self.config.name == configs[place].name and self.history.epochs == 1)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "stopped", property(stops))
        found = train_together(configs, data=data, fuse="on")
    assert [len(run.epoch) for run in found] == [1 if n == place else 2 for n in range(3)]
    for c, run in zip(configs, found, strict=True):
        np.testing.assert_allclose(run.loss, train(c).loss[: len(run.loss)], rtol=1e-4)


def test_a_new_member_is_trained_alone_and_the_finished_are_not_touched(comparison, data, tmp_path, monkeypatch):
    train_together(comparison(tmp_path), data=data, fuse="on")
    sizes, make = [], Stack.step
    monkeypatch.setattr(Stack, "step", lambda self, asked: (sizes.append(len(asked)), make(self, asked))[1])
    runs = train_together(comparison(tmp_path, rates=(*RATES, 3e-2)), data=data, fuse="on")
    assert sizes == [1] * 12
    assert runs[3].provenance["together"] == ["tiny_dropout_bn-lr0.03-seed0"]


def test_a_recorded_step_without_a_graph_is_the_step(comparison, data, assert_same_run, monkeypatch):
    """Its buffers, the smaller last batch and the first steps outside: everything but the recording, bit for bit."""
    configs = comparison(optimizer="momentum")
    monkeypatch.setattr(fused, "choose", lambda *_: "recorded")
    for c, run in zip(configs, train_together(configs, data=data), strict=True):
        assert_same_run(run, train(c))


def test_a_recording_is_renewed_with_the_learning_rate(members):
    (run,) = members("tiny", torch.float32, rates=(1e-2,), seeds=(0,))
    step, made = RecordedStep(run), []
    recorded = step._recorded
    step._recorded = lambda: (made.append(1), recorded())[1]
    rows = mini_batches(0)
    for k in range(8):
        if k == 6:
            run.optimizer.param_groups[0]["lr"] = 1e-3
        step(rows[k])
    assert len(made) == 2


def test_steps_that_nobody_is_shown_are_refused_where_somebody_looks_on(members):
    runs = members("tiny")
    runs[1].observers = (object(),)
    with pytest.raises(UsageError, match="1 would look on at a run whose steps are made in one pass with others'"):
        Stack(runs)
    with pytest.raises(UsageError, match="steps are replayed from a recording: those are shown to nobody"):
        RecordedStep(runs[1])


def test_networks_that_draw_are_grouped_by_seed(comparison, data):
    configs = comparison(model="tiny_dropout_bn", seeds=(0, 1)) + comparison(model="tiny_bn", seeds=(0, 1))
    state = torch.get_rng_state()
    assert groups(configs, data) == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_cpu_trains_separately_unless_told(members, data):
    runs = members("tiny")
    assert [choose(runs, data, fuse) for fuse in ("auto", "off", "on")] == ["separate", "separate", "stacked"]


def test_the_quickest_way_is_taken_and_one_that_fails_is_not(members, data, monkeypatch):
    runs = members("tiny_bn", torch.float32)
    times = {"separate": 3.0, "stacked": 2.0, "recorded": 1.0}
    with monkeypatch.context() as patch:
        patch.setattr(runs[0], "device", torch.device("cuda"))
        patch.setattr(fused, "seconds", lambda method, *_: times[method])
        assert choose(runs, data, "auto") == "recorded"

    def cannot(self, asked):
        raise RuntimeError("an operation without a batching rule")

    configs = [run.config for run in runs]
    assert 0 < seconds("separate", configs, data, steps=1) < float("inf")
    monkeypatch.setattr(Stack, "step", cannot)
    assert seconds("stacked", configs, data, steps=1) == float("inf")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["stacked", "recorded"])
@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_ways_agree_on_a_gpu(comparison, monkeypatch, *, method, optimizer, precision):
    configs = comparison(device="cuda", optimizer=optimizer, precision=precision)
    data = TrainingData.of(configs[0])
    expected = train_together(configs, data=data, fuse="off")
    monkeypatch.setattr(fused, "choose", lambda *_: method)
    for run, one in zip(train_together(configs, data=data), expected, strict=True):
        np.testing.assert_allclose(run.loss, one.loss, rtol=1e-3 if precision == "fp32" else 5e-2)
        np.testing.assert_allclose(run.loss[:1], one.loss[:1], rtol=1e-4 if precision == "fp32" else 1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recorded_run_draws_the_masks_of_a_plain_one(comparison, monkeypatch):
    """A graph's generator counts on from where the seed of the epoch put it."""
    (c,) = comparison(device="cuda", rates=(1e-3,), optimizer="sgd")
    data = TrainingData.of(c)
    (plain,) = train_together([c], data=data, fuse="off")
    monkeypatch.setattr(fused, "choose", lambda *_: "recorded")
    (recorded,) = train_together([c], data=data)
    np.testing.assert_allclose(recorded.loss, plain.loss, rtol=1e-5)
