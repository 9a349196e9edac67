"""Weights come back bit for bit, foreign files are opened, and no code of a file ever runs."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from landscape import models
from landscape.errors import CheckpointError, LandscapeError, UsageError
from landscape.storage import load_checkpoint, save_checkpoint

META = {"data": {"dataset": "mnist", "mean": [0.1, 0.2], "limit": None}, "epoch": 3, "val_accuracy": 0.5, "ok": True}


def assert_same_state(a, b):
    assert list(a) == list(b)
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype, name
        assert torch.equal(tensor, b[name]), name


@pytest.fixture
def light(lively):
    return lively(models.build("vgg_light_bn", seed=3))


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "folder/a.safetensors"])
def test_ours_come_back(tmp_path, light, name, assert_same_function):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    options = {"num_classes": 10, "bn_placement": "conv"}
    save_checkpoint(tmp_path / name, light, model_name="vgg_light_bn", model_options=options, meta=META)
    found = load_checkpoint(tmp_path / name)
    assert (found.model_name, found.model_options, found.meta, found.notes) == ("vgg_light_bn", options, META, ())
    assert found.training == {}
    assert set(found.state_dict) == set(light.state_dict())
    for key, tensor in light.state_dict().items():
        assert torch.equal(found.state_dict[key], tensor)
        assert found.state_dict[key].dtype == tensor.dtype
    built = found.build()
    assert not built.training
    assert_same_function(built, light)


def test_a_state_dict_and_the_state_of_a_run_come_back(tmp_path, light):
    training = {"history": {"loss": torch.arange(3.0)}, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}}
    save_checkpoint(tmp_path / "a.pth", light.state_dict(), model_name="vgg_light_bn", training=training)
    found = load_checkpoint(tmp_path / "a.pth")
    assert_same_state(light.state_dict(), found.state_dict)
    assert torch.equal(found.training["history"]["loss"], torch.arange(3.0))
    assert found.training["optimizer"]["state"][0]["step"] == 1
    with pytest.raises(CheckpointError, match="torch's format"):
        save_checkpoint(tmp_path / "a.safetensors", light, training=training)


def test_layouts_of_memory_and_gradients_are_left_behind(tmp_path, light):
    light = light.to(memory_format=torch.channels_last).requires_grad_(True)
    for name in ("a.pth", "a.safetensors"):
        if name.endswith("safetensors"):
            pytest.importorskip("safetensors")
        save_checkpoint(tmp_path / name, light, model_name="vgg_light_bn")
        state = load_checkpoint(tmp_path / name).state_dict
        assert all(t.is_contiguous() and not t.requires_grad and t.device.type == "cpu" for t in state.values())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_tied_weights_can_be_saved(tmp_path, name):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    model, other = Tied(), Tied()
    save_checkpoint(tmp_path / name, model)
    other.load_state_dict(load_checkpoint(tmp_path / name, other).state_dict)
    assert torch.equal(other.b.weight, model.a.weight)


def test_numbers_of_numpy_are_made_plain_and_what_cannot_be_loaded_again_is_not_written(tmp_path, light):
    meta = {"lr": np.float64(0.1), "seeds": [np.int64(3)], "pair": (1, 2)}
    save_checkpoint(tmp_path / "a.pth", light, model_name="vgg_light_bn", meta=meta)
    assert load_checkpoint(tmp_path / "a.pth").meta == {"lr": 0.1, "seeds": [3], "pair": (1, 2)}
    with pytest.raises(CheckpointError, match=r"facts hold a (Posix|Windows)Path"):
        save_checkpoint(tmp_path / "b.pth", light, meta={"path": tmp_path})
    assert not (tmp_path / "b.pth").exists()


class Inner(nn.Module):
    """Its names all begin like a prefix that others leave in a file."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))

    def forward(self, x):
        return self.model(x)


def test_names_of_a_network_that_begin_like_a_prefix_are_kept(tmp_path, register, assert_same_function):
    register("inner", models.Family(Inner, options=("none",)))
    net = Inner()
    save_checkpoint(tmp_path / "ours.pth", net, model_name="inner")
    assert_same_function(load_checkpoint(tmp_path / "ours.pth").build(), net)
    torch.save(nn.DataParallel(net).state_dict(), tmp_path / "foreign.pth")
    assert_same_function(load_checkpoint(tmp_path / "foreign.pth").build(), net)
    found = load_checkpoint(tmp_path / "foreign.pth", Inner())
    assert_same_state(net.state_dict(), found.state_dict)


def test_a_compiled_network_saved_by_us_loads(tmp_path, light, assert_same_function):
    state = {f"_orig_mod.{name}": t for name, t in light.state_dict().items()}
    save_checkpoint(tmp_path / "a.pth", state, model_name="vgg_light_bn")
    assert_same_function(load_checkpoint(tmp_path / "a.pth").build(), light)


# --- files that are none, or worse -----------------------------------------------------------------------------------


class Evil:
    """Runs code when it is unpickled: makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def as_zip(path, thing):
    torch.save(thing, path)


def as_legacy(path, thing):
    torch.save(thing, path, _use_new_zipfile_serialization=False)


def as_pickle(path, thing):
    path.write_bytes(pickle.dumps(thing))


def as_old_pickle(path, thing):
    path.write_bytes(pickle.dumps(thing, protocol=0))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [as_zip, as_legacy, as_pickle, as_old_pickle])
@pytest.mark.parametrize("container", [None, "state_dict"])
def test_code_is_refused_and_does_not_run(tmp_path, write, container):
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    evil = Evil(marker)
    write(path, {container: {"w": evil}} if container else evil)
    told = r"holds Python objects.*nothing in it was executed.*state_dict\(\)"
    with pytest.raises(CheckpointError, match="is not a checkpoint|" + told if write is as_old_pickle else told):
        load_checkpoint(path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path, "vgg")
    assert not marker.exists()
    (pickle.loads if write in {as_pickle, as_old_pickle} else lambda _: torch.load(path, weights_only=False))(
        path.read_bytes()
    )
    assert marker.exists()  # the trap is a real one


def test_a_whole_network_is_refused(tmp_path, light):
    torch.save(light, tmp_path / "a.pth")
    torch.save({"model": light, "epoch": 1}, tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        with pytest.raises(CheckpointError, match="holds Python objects") as caught:
            load_checkpoint(tmp_path / name)
        assert "weights_only" not in str(caught.value)


def zip_of_something(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/y.txt", "hello")


def arrays(path):
    with io.BytesIO() as buffer:
        np.savez(buffer, a=np.ones(3))
        path.write_bytes(buffer.getvalue())


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("epoch,loss\n1,2.3\n"),
    "binary": lambda path: path.write_bytes(bytes(range(1, 128)) * 9),
    "zip": zip_of_something,
    "npz": arrays,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_is_no_checkpoint_is_said_to_be_none(tmp_path, kind):
    BROKEN[kind](tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth is not a checkpoint, or is damaged") as caught:
        load_checkpoint(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)  # torch's advice to load it without protection is no advice


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, light, share, legacy):
    path = tmp_path / "a.pth"
    torch.save(light.state_dict(), path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"a\.pth") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(100), b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_safetensors_file_is_refused(tmp_path, content):
    pytest.importorskip("safetensors")
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        load_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "holds a list, not a mapping"),
        (torch.ones(2), "holds a Tensor, not a mapping"),
        ({"epoch": 3, "loss": 0.5}, "holds no weights; its keys are: epoch, loss"),
        ({"state_dict": {}}, "holds no weights; its keys are: state_dict"),
        ({}, "holds no weights; its keys are: none"),
    ],
)
def test_a_file_without_weights_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "a.pth")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*none\.pth"):
        load_checkpoint(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)


# --- files of others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [None, "state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "model.module._orig_mod."],
)
def test_containers_are_opened_and_prefixes_removed(tmp_path, light, container, prefix):
    state = OrderedDict((prefix + name, t) for name, t in light.state_dict().items())
    torch.save({container: state, "epoch": 9, "loss": torch.ones(())} if container else state, tmp_path / "a.pth")
    found = load_checkpoint(tmp_path / "a.pth")
    assert (found.model_name, found.model_options, found.meta) == ("vgg_light_bn", {}, {})
    assert_same_state(light.state_dict(), found.state_dict)
    assert found.notes == (
        "the file does not name its network; its tensors fit vgg_light_bn",
        "the weights fit vgg_light_bn, vgg_light_noisy_bn, which agree in evaluation mode; took vgg_light_bn",
    )
    assert_same_state(light.state_dict(), load_checkpoint(tmp_path / "a.pth", models.build("vgg_light_bn")).state_dict)


def test_a_container_of_facts_does_not_hide_the_weights(tmp_path, light):
    torch.save({"model": {"arch": "light"}, "net": light.state_dict(), "training": torch.ones(3)}, tmp_path / "a.pth")
    assert load_checkpoint(tmp_path / "a.pth").model_name == "vgg_light_bn"


def test_a_prefix_of_some_names_only_is_a_part_of_them(tmp_path):
    net = nn.ModuleDict({"module": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    torch.save(net.state_dict(), tmp_path / "a.pth")
    assert list(load_checkpoint(tmp_path / "a.pth", net).state_dict) == list(net.state_dict())


def test_a_given_network_that_does_not_fit_is_told_where(tmp_path, light):
    torch.save(light.state_dict(), tmp_path / "a.pth")
    message = "does not fit the given VGG: at 'classifier.4.weight' the network has shape (7, 128), the file (10, 128)"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_checkpoint(tmp_path / "a.pth", models.build("vgg_light_bn", num_classes=7))
    with pytest.raises(CheckpointError, match=r"does not fit the given Linear: at 'weight'.*the file None"):
        load_checkpoint(tmp_path / "a.pth", nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match=r"'features\.1\.weight' the network has shape None|at 'features\.3"):
        load_checkpoint(tmp_path / "a.pth", models.build("vgg_light"))


def test_a_wrong_name_is_refused_and_a_wrong_option_explained(tmp_path, light):
    torch.save(light.state_dict(), tmp_path / "foreign.pth")
    save_checkpoint(tmp_path / "ours.pth", light, model_name="vgg_light_bn")
    for name in ("foreign.pth", "ours.pth"):
        with pytest.raises(
            CheckpointError, match=r"do not fit vgg_light: at 'features.3.weight' the network has \(32, 16, 3, 3\)"
        ):
            load_checkpoint(tmp_path / name, "vgg_light")
        with pytest.raises(UsageError, match=r"no model named 'vgg_lihgt'\. Did you mean 'vgg_light'"):
            load_checkpoint(tmp_path / name, "vgg_lihgt")
    with pytest.raises(UsageError, match="no option named 'clases'"):
        load_checkpoint(tmp_path / "foreign.pth", "vgg_light_bn", model_options={"clases": 10})
    with pytest.raises(CheckpointError, match="do not fit vgg_light_bn"):
        load_checkpoint(tmp_path / "foreign.pth", "vgg_light_bn", model_options={"num_classes": 7})


def test_a_file_of_ours_whose_weights_do_not_fit_says_so_when_built(tmp_path, light):
    save_checkpoint(tmp_path / "a.pth", light, model_name="vgg_light")
    with pytest.raises(CheckpointError, match="the weights do not fit vgg_light"):
        load_checkpoint(tmp_path / "a.pth").build()
    save_checkpoint(tmp_path / "b.pth", light, model_name="no_such_module_here:net")
    with pytest.raises(LandscapeError, match="no_such_module_here"):
        load_checkpoint(tmp_path / "b.pth").build()
