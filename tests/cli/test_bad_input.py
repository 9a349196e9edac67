"""Bad input to every command: one paragraph, the right exit code, nothing lost and nothing half-written."""

import os
import pickle

import pytest
import torch
from torch import nn

from landscape.models import Family, base

SMALL = ("--points", 3, "--pairs", 1, "--limit", 20)
MINI = ("--dataset", "fashion_mnist_mini", *SMALL)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


# --- checkpoints


@pytest.mark.parametrize("command", ["surface", "check"])
def test_a_missing_checkpoint(refused, place, command):
    refused(1, command, "--ckpt", "nope.pth", says=["no checkpoint nope.pth"])
    assert not list(place.iterdir())


def test_a_folder_as_a_checkpoint(refused, place):
    (place / "folder").mkdir()
    refused(1, "surface", "--ckpt", "folder", says=["folder is a folder", "file"])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("command", ["surface", "check", "info"])
def test_a_truncated_checkpoint(refused, ckpt, command, share):
    whole = ckpt.read_bytes()
    ckpt.write_bytes(whole[: int(share * len(whole))])
    words = ("info", ckpt) if command == "info" else (command, "--ckpt", ckpt)
    refused(1, *words, says=[ckpt, "damaged or truncated"] if share != 0.01 else [ckpt])


@pytest.mark.parametrize("command", ["surface", "check", "info"])
@pytest.mark.parametrize("form", ["torch", "old torch", "pickle"])
def test_a_checkpoint_that_carries_code_is_refused_and_nothing_is_executed(refused, place, command, form):
    marker = place / "executed"
    content = {"state_dict": {"weight": torch.ones(2)}, "extra": Payload(marker)}
    with (place / "evil.pth").open("wb") as file:
        if form == "pickle":
            pickle.dump(content, file)
        else:
            torch.save(content, file, _use_new_zipfile_serialization=form == "torch")
    words = ("info", "evil.pth") if command == "info" else (command, "--ckpt", "evil.pth")
    message = refused(1, *words, says=["evil.pth", "nothing in it was executed", "torch.save(model.state_dict()"])
    assert not marker.exists()
    assert "weights_only" not in message, "no advice to switch the protection off"


def test_a_file_without_weights(refused, place):
    torch.save({"epoch": 3, "note": "no weights"}, place / "empty.pth")
    refused(1, "surface", "--ckpt", "empty.pth", says=["empty.pth holds no weights", "epoch, note"])


# --- networks


def test_a_wrong_network_for_a_file_of_ours(refused, ckpt, place):
    refused(
        1, "surface", "--ckpt", ckpt, "--model", "vgg_light", says=["do not fit vgg_light: at ", "tensors", "--model"]
    )
    assert not (place / "results").exists()


@pytest.mark.parametrize("file", ["ckpt", "foreign"])
def test_a_misspelled_network(refused, request, file):
    path = request.getfixturevalue(file)
    refused(
        2, "surface", "--ckpt", path, "--model", "vgg_ligth_bn", says=["Did you mean 'vgg_light_bn'?", "Known: vgg,"]
    )


def test_an_option_that_the_network_does_not_have(refused, foreign):
    words = ("--model", "vgg_light_bn", "--model-option", "num_clases=10")
    refused(2, "surface", "--ckpt", foreign, *words, says=["num_clases", "Did you mean 'num_classes'?"])


def test_an_option_that_the_weights_contradict(refused, ckpt):
    refused(1, "surface", "--ckpt", ckpt, "--model-option", "num_classes=7", *MINI, says=["7 outputs", "10 classes"])
    refused(1, "surface", "--ckpt", ckpt, "--model-option", "num_classes=12", *MINI, says=["do not fit vgg_light_bn"])


def test_weights_that_fit_no_network(refused, place):
    torch.save(nn.Linear(5, 3).state_dict(), place / "other.pth")
    says = ["2 tensors, 18 numbers; weight (3, 5)", "--model package.module:factory"]
    refused(1, "surface", "--ckpt", "other.pth", says=says)


def test_weights_that_fit_two_networks_which_are_different_functions(refused, place, monkeypatch):
    def flat(activation):
        def build():
            return nn.Sequential(nn.Flatten(), nn.Linear(3072, 4), activation, nn.Linear(4, 10))

        return Family(build, options=(), image_size=32)

    monkeypatch.setitem(base._FAMILIES._items, "flat_tanh", flat(nn.Tanh()))
    monkeypatch.setitem(base._FAMILIES._items, "flat_relu", flat(nn.ReLU()))
    torch.save(flat(nn.Tanh()).factory().state_dict(), place / "flat.pth")
    refused(1, "surface", "--ckpt", "flat.pth", *MINI, says=["flat_tanh; flat_relu", "different functions", "--model"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nosuch.module:net", "No module named 'nosuch'"),
        ("json:nosuch", "'json' has no 'nosuch'"),
        ("json:__name__", "not a function that builds a network"),
        ("json:", "package.module:factory"),
    ],
)
def test_a_factory_that_is_none(refused, foreign, name, says):
    refused(2, "surface", "--ckpt", foreign, "--model", name, says=[name, says])


# --- images


def test_a_wrong_data_root_lists_the_ways_to_images(refused, ckpt, place):
    ways = ["cifar10", "elsewhere", "--download", "--data-root DIR", "--dataset npz:FILE", "--dataset folder:DIR"]
    words = ("--dataset", "cifar10", "--data-root", "elsewhere")
    for command in (
        ("surface", "--ckpt", ckpt),
        ("check", "--ckpt", ckpt),
        ("train-variants", "--variants", "vgg_light"),
    ):
        refused(1, *command, *words, says=[*ways, "fashion_mnist_mini"])
    assert [path.name for path in place.rglob("*") if path.is_file()] == [ckpt.name]


def test_the_default_data_set_is_not_there(refused, monkeypatch, foreign):
    refused(1, "surface", "--ckpt", foreign, says=["'cifar10'", "data/cifar-10-batches-py", "--data-root DIR"])
    monkeypatch.setenv("LANDSCAPE_DATA", "from-environment")
    refused(1, "surface", "--ckpt", foreign, says=["from-environment/cifar-10-batches-py"])


@pytest.mark.parametrize("name", ["npz:none.npz", "folder:none"])
def test_data_of_ones_own_that_are_missing(refused, ckpt, name):
    refused(1, "surface", "--ckpt", ckpt, "--dataset", name, says=[name, "missing", "fashion_mnist_mini"])


def test_an_unknown_data_set(refused, ckpt):
    for command in (("surface", "--ckpt", ckpt), ("train-variants",)):
        refused(2, *command, "--dataset", "cifar_10", says=["'cifar_10'", "Did you mean 'cifar10'?", "npz"])


@pytest.mark.parametrize("text", ["0.5", "a/b", "0.5/0", "nan/1", "0.5/-1", "imagenet", "", "0,0/1,1"])
def test_a_normalization_without_meaning(refused, ckpt, text):
    words = ("--dataset", "fashion_mnist_mini", "--normalization", text)
    for command in (("surface", "--ckpt", ckpt), ("train-variants", "--variants", "vgg_light")):
        if text or command[0] == "train-variants":
            refused(2, *command, *words, says=["normalization"])


def test_more_images_than_there_are(refused, ckpt):
    refused(1, "surface", "--ckpt", ckpt, "--limit", 5001, says=["5001 train images", "there are 5000", "Lower"])
    refused(1, "surface", "--ckpt", ckpt, "--split", "test", "--limit", 1001, says=["1001 test", "there are 1000"])


def test_images_of_a_size_that_the_network_cannot_take_when_training(refused, npz, place):
    words = ("train-variants", "--variants", "vgg_light", "--lrs", "1e-3", "--epochs", 1)
    refused(1, *words, "--dataset", npz(), says=["1 x 32 x 32", "1 x 28 x 28", "--image-size 32"])
    assert not (place / "results").exists()


def test_images_of_a_size_that_the_network_cannot_take_when_measuring(refused, landscape, npz, ckpt, foreign):
    words = ("--dataset", npz(), "--pairs", 1, "--limit", 20)
    says = ["3 x 32 x 32", "1 x 28 x 28", "--image-size 32 --channels 3"]
    refused(1, "surface", "--ckpt", foreign, *words, says=says)
    landscape("check", "--ckpt", foreign, *words, "--image-size", 32, "--channels", 3)  # what it says to type
    landscape("check", "--ckpt", ckpt, *words)  # a file of ours says what it was trained on


def test_images_that_a_network_of_ones_own_cannot_take(refused, place, foreign):
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).state_dict(), place / "flat.pth")
    (place / "flat_network.py").write_text(
        "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    words = ("--ckpt", "flat.pth", "--model", "flat_network:net", *MINI)
    refused(1, "surface", *words, says=["fashion_mnist_mini", "3 x 32 x 32", "784", "--image-size"])


@pytest.mark.parametrize("own", [False, True], ids=["registered", "one's own"])
def test_a_network_with_fewer_outputs_than_classes(refused, ckpt, npz, place, own):
    words = ("--dataset", npz(32, classes=12, channels=3), *SMALL)
    says = ["10 outputs", "12 classes", "--dataset"]
    if own:
        (place / "ten_outputs.py").write_text(
            "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
        )
        torch.save(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).state_dict(), place / "flat.pth")
        refused(1, "surface", "--ckpt", "flat.pth", "--model", "ten_outputs:net", *words, says=says)
    else:
        refused(1, "surface", "--ckpt", ckpt, *words, says=says)


# --- numbers and names


@pytest.mark.parametrize(
    "text", ["abc", "0", "-1e-3", "nan", "inf", "1e-3,,3e-3", "1e-3,", "", "1e-3;3e-3", "1e-3,x", "1e-3,0.001"]
)
def test_a_learning_rate_that_is_none(refused, place, text):
    message = refused(2, "train-variants", f"--lrs={text}", "--dataset", "fashion_mnist_mini")
    assert "--lrs" in message or "learning_rates" in message
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--points", "0"), "'--points': 0"),
        (("--points", "-3"), "'--points': -3"),
        (("--points", "4.5"), "'4.5' is not a valid integer"),
        (("--pairs", "0"), "'--pairs': 0"),
        (("--radius", "0"), "'--radius': 0"),
        (("--radius", "wide"), "'wide' is not a number"),
        (("--limit", "0"), "'--limit': 0"),
        (("--batch-size", "0"), "'--batch-size': 0"),
        (("--bn", "train"), "'train' is not one of 'frozen', 'batch', 'recalibrated', 'all'"),
        (("--normalize", "li"), "'li' is not one of 'filter'"),
        (("--precision", "fp16"), "'fp16' is not one of 'fp32'"),
        (("--split", "validation"), "'validation' is not one of 'train', 'test'"),
        (("--loss", "crossentropy"), "Did you mean 'cross_entropy'?"),
        (("--engine", "seriel"), "Did you mean 'serial'?"),
        (("--device", "gpu"), "'gpu'"),
        (("--model-option", "num_classes"), "KEY=VALUE"),
        (("--poinst", "3"), "'--points'"),
    ],
)
def test_an_option_of_a_surface_without_meaning(refused, ckpt, place, words, says):
    refused(2, "surface", "--ckpt", ckpt, *words, says=[says])
    assert not (place / "results").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--variants", "vgg_lite"), "Did you mean 'vgg_light'?"),
        (("--variants", "vgg_light,vgg_light"), "variants"),
        (("--variants", "vgg_light,,vgg"), "empty place"),
        (("--seeds", "0,0"), "seeds"),
        (("--seeds", "zero"), "'zero' is not a valid integer"),
        (("--epochs", "0"), "'--epochs': 0"),
        (("--weight-decay", "-1"), "'--weight-decay': -1"),
        (("--optimizer", "lion"), "'lion' is not one of 'adamw'"),
        (("--init", "zeros"), "'zeros' is not one of 'he'"),
    ],
)
def test_an_option_of_training_without_meaning(refused, place, words, says):
    refused(2, "train-variants", *words, "--dataset", "fashion_mnist_mini", says=[says])
    assert not list(place.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_where_there_is_none(refused, ckpt, place):
    for command in (("surface", "--ckpt", ckpt), ("check", "--ckpt", ckpt)):
        refused(2, *command, "--device", "cuda", says=["cuda", "0 CUDA devices"])
    refused(2, "train-variants", "--dataset", "fashion_mnist_mini", "--device", "cuda:1", says=["cuda:1"])
    assert not (place / "results").exists()


# --- places to write to


def test_a_surface_that_cannot_be_written_is_found_out_before_it_is_measured(refused, ckpt, place, counted_cells):
    (place / "file").write_text("in the way")
    says = ["cannot write", "file/deeper/net.h5", "Not a directory", "--out"]
    refused(1, "surface", "--ckpt", ckpt, *SMALL, "--out", "file/deeper/net.h5", says=says)
    (place / "folder.h5").mkdir()
    refused(1, "surface", "--ckpt", ckpt, *SMALL, "--out", "folder.h5", says=["folder.h5"])
    assert counted_cells == []


def test_bands_that_cannot_be_written_are_found_out_before_they_are_trained(refused, place, counted_steps):
    (place / "file").write_text("in the way")
    words = ("train-variants", "--variants", "vgg_light", "--dataset", "fashion_mnist_mini", "--limit", 100)
    refused(1, *words, "--out", "file/deeper", says=["cannot write", "file/deeper", "is a file", "--out"])
    refused(1, *words, "--out", "file", says=["cannot write", "file", "--out"])
    refused(1, "demo", "--out", "file/deeper", says=["cannot write", "file/deeper"])
    assert not counted_steps


@pytest.mark.parametrize("name", ["net.html", "net.png"])
def test_an_output_that_the_page_or_the_picture_would_overwrite(refused, ckpt, counted_cells, name):
    refused(2, "surface", "--ckpt", ckpt, *SMALL, "--out", name, says=["--out", "net.h5"])
    assert counted_cells == []


# --- files that are there already


def test_a_file_that_is_not_hdf5_is_not_overwritten(refused, ckpt, place, counted_cells):
    (place / "notes.h5").write_text("my notes")
    refused(1, "surface", "--ckpt", ckpt, *SMALL, "--out", "notes.h5", says=["notes.h5", "not a result file"])
    refused(1, "plot", "notes.h5", says=["notes.h5", "not a result file"])
    refused(1, "info", "notes.h5", says=["notes.h5", "not a result file"])
    assert counted_cells == []


def test_an_hdf5_file_of_another_kind_is_not_overwritten(refused, ckpt, trained, place, counted_cells):
    (place / "bands.h5").write_bytes((trained / "bands.h5").read_bytes())
    refused(1, "surface", "--ckpt", ckpt, *SMALL, "--out", "bands.h5", says=["bands.h5", "not a surface", "--out"])
    assert counted_cells == []


def test_a_truncated_result_is_not_overwritten(refused, landscape, ckpt, place):
    landscape("surface", "--ckpt", ckpt, *SMALL, "--out", "cut.h5")
    path = place / "cut.h5"
    path.write_bytes(path.read_bytes()[:-500])
    for words in (("surface", "--ckpt", ckpt, *SMALL, "--out", "cut.h5"), ("plot", "cut.h5"), ("info", "cut.h5")):
        refused(1, *words, says=["cut.h5", "damaged"])


@pytest.mark.parametrize("words", [("--lrs", "1e-4,0.0001"), ("--variants", "vgg,vgg"), ("--seeds", "0,1,0")])
def test_a_value_that_is_there_twice_is_told_with_its_option(refused, words):
    twice = words[1].split(",")[-1]
    refused(2, "train-variants", *words, says=[f"'{words[0]}'", f"holds {twice} twice", "none twice"])


def test_another_number_of_points_is_told_by_the_options_that_say_it(landscape, refused, ckpt):
    words = ("surface", "--ckpt", ckpt, *MINI, "--limit", 20, "--pairs", 1, "--out", "s.h5")
    landscape(*words, "--points", 1)
    refused(1, *words, "--points", 3, says=["1 point on the alpha axis", "3 points", "(--points, --radius)"])
