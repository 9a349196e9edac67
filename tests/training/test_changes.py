"""Keys, values and names of settings that differ from a base."""

from __future__ import annotations

import re

import pytest

from landscape.datasets.options import DataOptions
from landscape.errors import UsageError
from landscape.training import TrainConfig
from landscape.training.changes import ALIASES, changed, flat, full_key, slug, value_in


@pytest.mark.parametrize(
    ("key", "full"),
    [
        ("lr", "learning_rate"),
        ("wd", "weight_decay"),
        ("batch-size", "batch_size"),
        ("activation", "model_options.activation"),
        ("model_options.dropout", "model_options.dropout"),
        ("scheduler_options.gamma", "scheduler_options.gamma"),
        ("limit", "data.limit"),
        ("data.limit", "data.limit"),
        ("data.seed", "data.seed"),
    ],
)
def test_keys_have_short_spellings(key, full):
    assert full_key(key) == full


def test_every_short_spelling_names_a_field():
    assert all(full_key(short) == full for short, full in ALIASES.items())


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("batch_sise", r"no setting of a run named 'batch_sise'\. Did you mean 'batch_size'"),
        ("learning_rat", "Known: model, lr, "),
        ("model_options", r"no setting of a run named 'model_options'.*model_options\.NAME"),
        ("data.root", r"no setting of a run named 'data\.root'"),
        ("seed", r"'seed' cannot differ.*--seeds"),
        ("out", "'out' cannot differ.*own folder"),
        ("device", "one device"),
    ],
)
def test_a_key_that_does_not_exist_is_refused_in_words(key, told):
    with pytest.raises(UsageError) as error:
        full_key(key)
    assert re.search(told, str(error.value))


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("lr", 1, 1.0),
        ("batch_size", 1e3, 1000),
        ("grad_clip", "none", None),
        ("early_stop", "none", None),
        ("limit", "none", None),
        ("scheduler", "none", "none"),
        ("augment", "flip+crop", ("flip", "crop")),
        ("augment", "none", ()),
        ("augment", ["noise:0.05"], ("noise:0.05",)),
        ("model_options.dropout", 0.5, 0.5),
    ],
)
def test_values_get_the_type_of_their_field(key, given, value):
    found = next(iter(flat({key: given}).values()))
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("batch_size", "many", "batch_size takes a whole number; got 'many'"),
        ("batch_size", 1.5, "whole number; got 1.5"),
        ("lr", "fast", "lr takes a number; got 'fast'"),
        ("lr", True, "lr takes a number; got True"),
        ("loss", 3, "loss takes a word; got 3"),
    ],
)
def test_a_value_of_another_type_is_refused(key, value, told):
    with pytest.raises(UsageError) as error:
        flat({key: value})
    assert told in str(error.value)


def test_one_field_set_by_both_spellings_is_refused():
    with pytest.raises(UsageError, match="'learning_rate' is set twice"):
        flat({"lr": 0.1, "learning_rate": 0.2})


def test_nested_mappings_and_dotted_keys_are_the_same_changes():
    nested = flat({"data": {"limit": 5}, "model_options": {"activation": "tanh"}, "batch_size": 4})
    dotted = flat({"batch_size": 4, "model_options.activation": "tanh", "limit": 5})
    assert nested == dotted == {"batch_size": 4, "data.limit": 5, "model_options.activation": "tanh"}


def test_changes_are_applied_to_fields_and_entries():
    base = TrainConfig(model_options={"dropout": 0.1}, model="mlp", data=DataOptions("mnist", limit=9))
    config = changed(base, flat({"lr": 0.5, "limit": 3, "model_options.seed": 0, "augment": "flip"}))
    assert config.learning_rate == 0.5
    assert config.data == DataOptions("mnist", limit=3)
    assert config.model_options == {"dropout": 0.1, "seed": 0}
    assert config.augment == ("flip",)
    assert value_in(config, "data.limit") == 3
    assert value_in(config, "model_options.dropout") == 0.1
    assert value_in(config, "model_options.init") is None
    assert base.model_options == {"dropout": 0.1}, "the base is left alone"


def test_options_that_only_the_base_can_take_do_not_reach_another_network_or_scheduler():
    base = TrainConfig(
        model="cifar10net", model_options={"activation": "tanh"}, scheduler="step", scheduler_options={"gamma": 0.5}
    )
    config = changed(base, {"model": "net", "scheduler": "cosine"})
    assert config.model_options == {} and config.scheduler_options == {}
    config = changed(base, {"model": "cifar10net_3"})
    assert config.model_options == {"activation": "tanh"} and config.scheduler_options == {"gamma": 0.5}


def test_names_are_readable_and_independent_of_the_order_of_writing():
    assert slug(flat({"lr": 1e-3, "batch_size": 64})) == "lr=0.001_batch_size=64"
    assert slug(flat({"batch_size": 64, "lr": 1e-3})) == "lr=0.001_batch_size=64"
    assert slug(flat({"loss": "label_smoothing:0.1"})) == "loss=label_smoothing-0.1"
    assert slug(flat({"augment": ["flip", "crop"], "grad_clip": "none"})) == "grad_clip=none_augment=flip+crop"


def test_names_differ_where_values_differ_and_are_fit_for_folders():
    values = [0.1, 0.1 + 1e-12, 1e-5, 1.00000001e-5]
    names = {slug(flat({"lr": v})) for v in values}
    names |= {slug(flat({"dataset": text})) for text in ("npz:a/b.npz", "npz:a-b.npz", "npz:a b.npz")}
    long = {slug({"model_options.widths": list(range(k, k + 200))}) for k in range(3)}
    assert len(names | long) == len(values) + 3 + 3
    assert all(re.fullmatch(r"[\w.=+-]{1,130}", name, re.ASCII) for name in names | long)
