"""From a checkpoint to an evaluation: whose loss, which images, strict JSON."""

from __future__ import annotations

import json

import pytest
import torch

from landscape import load, save
from landscape.errors import DataError, ShapeError, StorageError, UnknownNameError, UsageError
from landscape.records import Evaluation, Run
from landscape.tasks.data import DataChoice
from landscape.tasks.evaluate import EvaluateOptions, evaluate_checkpoint, evaluation_json
from landscape.tasks.info import info
from landscape.tasks.plot import plot


def small(**changes):
    data = DataChoice(dataset="fashion_mnist_mini", split="test", limit=30, **changes.pop("data", {}))
    return EvaluateOptions(**{"data": data, "device": "cpu"} | changes)


def test_record_page_and_picture_lie_beside_each_other(own, place):
    written = evaluate_checkpoint(own, place / "e", small(), command="typed")
    assert [path.name for path in (written.file, written.page, written.image)] == ["e.h5", "e.html", "e.png"]
    stored = load(written.file)
    assert isinstance(stored, Evaluation)
    assert stored.confusion.sum() == 30
    assert stored.recipe["model"] == "vgg_light_bn"
    assert stored.recipe["split"] == "test"
    assert stored.provenance["command"] == "typed"
    assert stored.provenance["checkpoint"] == "net.pth"
    before = written.page.read_bytes()
    written.page.unlink()
    plot(written.file, formats=("html",))
    assert written.page.read_bytes() == before
    shown = dict(info(written.file))
    assert shown["kind"] == "evaluation"
    assert "images are classified right" in shown["finding"]


@pytest.mark.parametrize(("asked", "used"), [(None, "mse"), ("bce", "bce")])
def test_the_loss_is_that_of_the_training_unless_the_user_says_another(trained_with, place, asked, used):
    told = []
    written = evaluate_checkpoint(trained_with("mse"), place / "e.h5", small(loss=asked), say=told.append)
    assert written.evaluation.recipe["loss"] == used
    assert told == []


def test_a_loss_that_is_not_known_here_is_told(trained_with, place):
    told = []
    path = trained_with("my_losses:focal")
    written = evaluate_checkpoint(path, place / "e.h5", small(), say=told.append)
    assert written.evaluation.recipe["loss"] == "cross_entropy"
    assert len(told) == 1
    assert "'my_losses:focal'" in told[0]
    with pytest.raises(UnknownNameError, match=r"'crossentropy'.*Did you mean 'cross_entropy'"):
        evaluate_checkpoint(path, place / "e.h5", small(loss="crossentropy"))


def test_what_a_bare_file_does_not_say_is_assumed_and_told(bare, place):
    told = []
    written = evaluate_checkpoint(bare, place / "e.h5", small(), say=told.append)
    assert any("which loss it was trained with; assumed cross_entropy" in text for text in told)
    assert any("how its images were normalized" in text for text in told)
    assert [f"Assumed: {text}" for text in written.evaluation.provenance["assumed"]] == told
    assert all(text in written.page.read_text() for text in ("assumed cross_entropy", "were normalized"))


def test_json_is_strict_and_has_everything_but_the_images(make_ckpt, data_facts, place):
    """A network that has lost its mind: all outputs NaN."""
    path = make_ckpt("vgg_light", data=data_facts)
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {name: t.fill_(torch.nan) for name, t in content["state_dict"].items()}
    torch.save(content, path)
    written = evaluate_checkpoint(path, place / "e.h5", small())
    found = json.loads(json.dumps(evaluation_json(written), allow_nan=False))
    assert (found["loss"], found["accuracy"], found["images"]) == (None, 0.0, 30)
    assert found["classes"][0] == {
        "class": "T-shirt/top", "images": 3, "right": 0, "unpredicted": 3, "accuracy": 0.0,
        "accuracy_interval": [0.0, pytest.approx(0.5615, abs=1e-4)], "loss": None, "loss_sem": None,
    }  # fmt: skip
    assert len(found["confusion"]["counts"]) == len(found["outputs"]) == 10
    assert any("NaN" in text for text in found["notes"])
    assert found["files"]["record"].endswith("e.h5")


def test_json_agrees_with_the_record(own, place):
    written = evaluate_checkpoint(own, place / "e.h5", small(mistakes=3))
    found, record = evaluation_json(written), written.evaluation
    assert found["confusion"]["counts"] == record.confusion.tolist()
    assert found["top5_accuracy"] == record.top(5)
    assert found["accuracy_interval"] == list(record.accuracy_interval)
    assert [m["image"] for m in found["mistakes"]] == record.mistake_index.tolist()
    assert [m["predicted"] for m in found["mistakes"]] == record.predicted_class[record.mistake_predicted].tolist()


def test_another_result_is_not_written_over(own, place):
    run = Run([0], [1.0], [1], [1.0], [0.5])
    save(run, place / "run.h5")
    before = (place / "run.h5").read_bytes()
    with pytest.raises(StorageError, match=r"run\.h5 holds a record of kind 'run'.*'evaluation'.*--out"):
        evaluate_checkpoint(own, place / "run.h5", small())
    assert (place / "run.h5").read_bytes() == before
    evaluate_checkpoint(own, place / "e.h5", small(mistakes=1))
    assert len(evaluate_checkpoint(own, place / "e.h5", small(mistakes=2)).evaluation.mistake_index) == 2
    with pytest.raises(UsageError, match="--out names the evaluation file"):
        evaluate_checkpoint(own, place / "e.html", small())


def test_images_that_the_network_cannot_take(own, make_ckpt, data_facts, place):
    with pytest.raises(ShapeError, match="32 x 32"):
        evaluate_checkpoint(own, place / "e.h5", small(data={"image_size": 28}))
    few = make_ckpt("vgg_light", data=data_facts, num_classes=7)
    with pytest.raises(DataError, match="7 outputs"):
        evaluate_checkpoint(few, place / "e.h5", small())
    assert not list(place.glob("e.*"))
