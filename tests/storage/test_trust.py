"""A file is data: no name that only a file gives is ever imported or called."""

from __future__ import annotations

import pytest
import torch

from landscape import models
from landscape.errors import CheckpointError, DataError
from landscape.storage import load_checkpoint, save_checkpoint
from landscape.tasks.data import DataChoice, images_for
from landscape.tasks.info import info

PLAIN = {"layer.weight": torch.zeros(3, 2)}
PREFIXED = {f"model.{name}": t for name, t in PLAIN.items()}


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("state", [PLAIN, PREFIXED])
def test_a_function_that_a_file_names_is_not_called(tmp_path, monkeypatch, state, ending):
    if ending == "safetensors":
        pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.py").write_text("open('imported', 'w')\ndef build(**options):\n    open('called', 'w')\n")
    path = tmp_path / f"evil.{ending}"
    save_checkpoint(path, state, model_name="trap:build", model_options={"cmd": "x"})
    checkpoint = load_checkpoint(path)
    assert (checkpoint.model_name, checkpoint.trusted) == ("trap:build", False)
    assert ("model", "trap:build") in info(path)
    with pytest.raises(CheckpointError, match=r"not trusted to name code.*--model trap:build"):
        checkpoint.build()
    assert not (tmp_path / "imported").exists()


def test_a_system_function_is_not_called(tmp_path):
    marker = tmp_path / "marker"
    path = tmp_path / "evil.pth"
    save_checkpoint(path, PREFIXED, model_name="subprocess:getoutput", model_options={"cmd": f"touch {marker}"})
    with pytest.raises(CheckpointError, match="not trusted"):
        load_checkpoint(path).build()
    assert not marker.exists()


def test_a_name_that_the_caller_gives_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trusted_net.py").write_text("import torch\ndef build():\n    return torch.nn.Linear(2, 3)\n")
    model = models.build("trusted_net:build")
    save_checkpoint(tmp_path / "a.pth", model, model_name="trusted_net:build")
    again = load_checkpoint(tmp_path / "a.pth", "trusted_net:build").build()
    assert torch.equal(again.weight, model.weight)


def test_a_data_set_that_a_file_names_is_not_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap_data.py").write_text("open('imported', 'w')\nsource = None\n")
    save_checkpoint(
        tmp_path / "a.pth",
        models.build("vgg_light"),
        model_name="vgg_light",
        meta={"data": {"dataset": "trap_data:source", "mean": [0.5], "std": [0.5]}},
    )
    with pytest.raises(DataError, match=r"not trusted to name code.*--dataset trap_data:source"):
        images_for(load_checkpoint(tmp_path / "a.pth"), DataChoice())
    assert not (tmp_path / "imported").exists()
