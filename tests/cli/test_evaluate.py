"""`landscape evaluate`: a table, a page, and JSON that other programs can read."""

import json
import re

import pytest
import torch

from landscape import load


def test_the_default_is_the_test_split_and_a_table(landscape, ckpt, place):
    shown = landscape("evaluate", "--ckpt", ckpt, "--limit", 100)
    lines = shown.stdout.splitlines()
    assert lines[-3:] == [f"results/evaluations/net.{end}" for end in ("h5", "png", "html")]
    assert re.match(r"\d+ of 100 images are classified right: accuracy .* Top-5 accuracy .* Loss ", lines[0])
    record = load("results/evaluations/net.h5")
    assert record.recipe["split"] == "test"
    for name in record.true_class:
        assert re.search(rf"^ *{re.escape(name)} +.* 10  .* to .* % ", shown.stdout, re.M), name
    for title in ("Accuracy by class", "Most frequent confusions", "Most confident mistakes"):
        assert title in shown.stdout
    assert "Assumed" not in shown.stderr
    assert record.provenance["command"].startswith("landscape evaluate --ckpt")
    assert (place / "results/evaluations/plotly.min.js").exists()


def test_json_is_all_there_is_on_standard_output(landscape, ckpt):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    shown = landscape("evaluate", "--ckpt", ckpt, "--limit", 50, "--json", "--mistakes", 2)
    found = json.loads(shown.stdout, parse_constant=refuse)
    assert found["images"] == 50
    assert sum(map(sum, found["confusion"]["counts"])) == 50
    assert len(found["mistakes"]) == 2
    assert found["files"]["page"] == "results/evaluations/net.html"
    assert "50 images" in shown.stderr


def test_quiet_prints_names_of_files_only(landscape, ckpt):
    shown = landscape("evaluate", "--ckpt", ckpt, "--limit", 20, "--quiet", "--split", "train", "--out", "deep/e")
    assert shown.stdout.split() == ["deep/e.h5", "deep/e.png", "deep/e.html"]
    assert shown.stderr == ""
    assert load("deep/e.h5").recipe["split"] == "train"


def test_assumptions_are_told_before_and_warnings_after(landscape, foreign):
    words = ("--dataset", "fashion_mnist_mini", "--limit", 20, "--normalization", "none")
    stderr = landscape("evaluate", "--ckpt", foreign, *words).stderr
    assert "Assumed: the file does not name its network" in stderr
    assert "assumed cross_entropy (--loss changes it)" in stderr
    assert stderr.count("Assumed: the checkpoint does not say which loss") == 1


def test_few_classes_have_no_top_5_and_that_is_said(landscape, npz, place):
    from landscape import models
    from landscape.storage import save_checkpoint

    model = models.build("vgg_light", num_classes=4)
    save_checkpoint(place / "four.pth", model, model_name="vgg_light", model_options={"num_classes": 4})
    words = ("--dataset", npz(side=32, classes=4, channels=3), "--limit", 20, "--json")
    found = json.loads(landscape("evaluate", "--ckpt", "four.pth", *words).stdout)
    assert found["top5_accuracy"] is None
    assert any("No top-5 accuracy: with 4 outputs" in text for text in found["notes"])


def test_bad_input_is_one_paragraph(refused, ckpt, place, npz):
    refused(1, "evaluate", "--ckpt", "nope.pth", says=["no checkpoint nope.pth"])
    refused(2, "evaluate", "--ckpt", ckpt, "--split", "validation", says=["--split", "'test'"])
    refused(2, "evaluate", "--ckpt", ckpt, "--mistakes", -1, says=["--mistakes"])
    refused(2, "evaluate", "--ckpt", ckpt, "--loss", "mes", says=["there is no loss named 'mes'", "Did you mean 'mse'"])
    refused(2, "evaluate", "--ckpt", ckpt, "--out", "e.png", says=["--out names the evaluation file", "e.h5"])
    refused(1, "evaluate", "--ckpt", ckpt, "--limit", 2000, says=["2000 test images", "there are 1000"])
    name = npz(side=28, classes=10, channels=1)
    says = ["28 x 28", "32 x 32"]
    refused(1, "evaluate", "--ckpt", ckpt, "--dataset", name, "--image-size", 28, says=says)
    refused(1, "evaluate", "--ckpt", ckpt, "--dataset", npz(side=32, classes=12, channels=3), says=["12 classes"])
    assert not (place / "results").exists()


def test_a_surface_is_not_replaced_by_an_evaluation(refused, landscape, ckpt):
    landscape("surface", "--ckpt", ckpt, "--points", 1, "--pairs", 1, "--limit", 20, "--quiet", "--out", "s.h5")
    refused(1, "evaluate", "--ckpt", ckpt, "--limit", 20, "--out", "s.h5", says=["s.h5", "'surface'", "--out"])


def test_it_is_drawn_again_and_described(landscape, refused, ckpt):
    landscape("evaluate", "--ckpt", ckpt, "--limit", 30, "--out", "e.h5", "--quiet")
    printed = landscape("plot", "e.h5", "--format", "html,png,pdf", "--out", "again").stdout
    assert printed.split() == ["again.html", "again.png", "again.pdf"]
    shown = landscape("info", "e.h5").stdout
    assert "evaluation" in shown
    assert "true_class 10" in shown
    assert "images are classified right" in shown
    refused(2, "plot", "e.h5", "--format", "vtk", says=["e.h5 holds an evaluation", "html, png or pdf"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_printed_is_what_torch_counts(landscape, ckpt, precision):
    from landscape import datasets, load_checkpoint

    words = ("--limit", 200, "--json", "--batch-size", 64, "--precision", precision)
    found = json.loads(landscape("evaluate", "--ckpt", ckpt, *words).stdout)
    checkpoint = load_checkpoint(ckpt)
    numbers = checkpoint.meta["data"]
    text = "/".join(",".join(map(repr, numbers[key])) for key in ("mean", "std"))
    data = datasets.load("fashion_mnist_mini", split="test", limit=200, normalization=text)
    with torch.inference_mode():
        said = checkpoint.build()(data.inputs).argmax(dim=1)
    assert found["accuracy"] == pytest.approx(float((said == data.targets).double().mean()), abs=0.02)
    if precision == "fp32":
        assert found["accuracy"] == float((said == data.targets).double().mean())
