"""`landscape info`: what is in a file and how it was made."""

import pytest
import torch
from torch import nn

from landscape import load


def table(result):
    """Printed lines as a mapping; a name may come more than once."""
    found = {}
    for line in result.stdout.splitlines():
        name, _, text = line.partition("  ")
        found.setdefault(name, []).append(text.strip())
    return found


def test_a_surface(landscape, ckpt):
    landscape("surface", "--ckpt", ckpt, "--points", 3, "--pairs", 2, "--limit", 20, "--quiet")
    shown = table(landscape("info", "results/surfaces/net.h5"))
    assert shown["kind"] == ["surface"]
    assert shown["dimensions"] == ["alpha 3, beta 3, pair 2"]
    assert shown["cells"] == ["18 of 18 done"]
    assert shown["finding"][0].startswith("The loss at the center is")
    recipe = load("results/surfaces/net.h5").recipe
    for key in ("model", "dataset", "limit", "normalization", "bn", "precision", "seed", "normalize"):
        assert shown[f"recipe.{key}"] == [str(recipe[key])]
    assert shown["checks.ok"] == ["True"]
    assert shown["provenance.command"][0].startswith("landscape surface --ckpt")
    assert shown["environment.torch"][0].startswith(torch.__version__.split("+")[0])


def test_bands(landscape, trained):
    shown = table(landscape("info", trained / "bands.h5"))
    assert shown["kind"][0] in {"bands", "variant_bands"}
    assert "learning_rate 2" in shown["dimensions"][0]
    assert "fashion_mnist_mini" in shown.get("recipe.data.dataset", shown.get("recipe.dataset"))
    assert "gap" in shown["finding"][0]


def test_a_run(landscape, trained):
    shown = table(landscape("info", trained / "runs" / "vgg_light_bn-lr0.001-seed0.h5"))
    assert shown["kind"] == ["run"]
    assert set(shown["dimensions"][0].split(", ")) == {"step 6", "epoch 2", "val_step 0"}
    assert shown["recipe.learning_rate"] == ["0.001"]
    assert shown["recipe.model"] == ["vgg_light_bn"]


def test_a_checkpoint_of_ours(landscape, ckpt):
    shown = table(landscape("info", ckpt))
    assert shown["kind"] == ["checkpoint"]
    assert shown["model"] == ["vgg_light_bn"]
    assert shown["numbers"][0].startswith("285,")
    assert shown["data.dataset"] == ["fashion_mnist_mini"]
    assert "assumed" not in shown


def test_a_foreign_checkpoint(landscape, foreign):
    shown = table(landscape("info", foreign))
    assert shown["model"] == ["vgg_light_bn"]
    assert "does not name its network" in shown["assumed"][0]


def test_sentences_have_lines_of_their_own(landscape, foreign):
    words = ("--points", 1, "--pairs", 1, "--limit", 20, "--dataset", "fashion_mnist_mini")
    landscape("surface", "--ckpt", foreign, *words, "--quiet")
    assumed = table(landscape("info", "results/surfaces/foreign.h5"))["provenance.assumed"]
    assert assumed == load("results/surfaces/foreign.h5").provenance["assumed"]
    assert len(assumed) == 4  # data, normalization, loss, and that its twin with noise agrees in evaluation mode


def test_a_checkpoint_of_an_unfinished_run(landscape, trained):
    shown = table(landscape("info", trained / "checkpoints" / "vgg_light-lr0.003-seed0-last.pth"))
    assert shown["model"] == ["vgg_light"]
    assert shown["run"] == ["vgg_light-lr0.003-seed0"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 not a zip"])
@pytest.mark.parametrize("name", ["garbage.pth", "garbage.h5", "garbage"])
def test_garbage(refused, place, name, content):
    (place / name).write_bytes(content)
    refused(1, "info", name, says=[name])


def test_what_is_not_there(refused):
    refused(1, "info", "nope.pth", says=["nope.pth"])
    refused(1, "info", ".", says=["folder", "a result file (.h5) or a checkpoint"])


def test_weights_of_an_unknown_network_are_listed(landscape, place):
    torch.save(nn.Linear(5, 3).state_dict(), place / "other.pth")
    shown = landscape("info", "other.pth").stdout
    assert "not recognised" in shown
    assert "2 tensors, 18 numbers" in shown
    assert shown.splitlines()[-2:] == ["weight  3 x 5", "bias    3"]
