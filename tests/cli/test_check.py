"""`landscape check`: geometry of planes through a checkpoint, on this machine."""

import dataclasses

import pytest
import torch

from landscape import load_checkpoint
from landscape.tasks import check as task

CHECKS = ("cosine", "filter norm error", "center error", "restored", "ok")


def test_a_good_network(landscape, ckpt, place):
    result = landscape("check", "--ckpt", ckpt, "--pairs", 1)
    first, *lines, verdict = result.stdout.splitlines()
    assert "vgg_light_bn" in first
    assert "random images, not data" in first
    assert "BN mode frozen, 1 pair, on" in first
    assert verdict == "geometry holds"
    shown = {line.strip().rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in lines}
    assert set(CHECKS) <= set(shown)
    assert float(shown["cosine"]) < 1e-6
    assert all(len(shown[name]) <= len("1.23e-10") for name in CHECKS[:3])
    assert float(shown["filter norm error"]) < 1e-5
    assert (float(shown["center error"]), shown["restored"], shown["ok"]) == (0.0, "True", "True")
    assert [path.name for path in place.iterdir()] == ["net.pth"], "it writes nothing"


def test_on_data(landscape, ckpt):
    result = landscape("check", "--ckpt", ckpt, "--pairs", 1, "--dataset", "fashion_mnist_mini", "--limit", 20)
    assert "20 images of fashion_mnist_mini" in result.stdout
    assert "random" not in result.stdout


@pytest.mark.parametrize("mode", ["batch", "recalibrated"])
def test_in_other_modes(landscape, ckpt, mode):
    assert f"BN mode {mode}" in landscape("check", "--ckpt", ckpt, "--pairs", 1, "--bn", mode).stdout


@pytest.mark.parametrize("words", [("--normalize", "layer"), ("--no-orthogonal",), ("--normalize", "none")])
def test_other_planes(landscape, ckpt, words):
    assert landscape("check", "--ckpt", ckpt, "--pairs", 1, *words).stdout.endswith("geometry holds\n")


def test_what_was_recognized_is_said(landscape, foreign):
    result = landscape("check", "--ckpt", foreign, "--pairs", 1)
    assert result.stderr.startswith("Assumed: the file does not name its network")


def test_quiet_prints_the_verdict_only(landscape, ckpt):
    result = landscape("check", "--ckpt", ckpt, "--pairs", 1, "--quiet")
    assert (result.stdout, result.stderr) == ("geometry holds\n", "")


@pytest.mark.parametrize("words", [(), ("--quiet",)])
def test_exit_code_1_when_a_check_fails(ckpt, monkeypatch, run_any, words):
    pairs = task.random_pairs

    def doubled(*args, **kwargs):
        """Planes whose first direction is twice too long."""
        return [
            dataclasses.replace(pair, first={name: 2 * t for name, t in pair.first.items()})
            for pair in pairs(*args, **kwargs)
        ]

    monkeypatch.setattr(task, "random_pairs", doubled)
    result = run_any("check", "--ckpt", ckpt, "--pairs", 1, *words)
    assert result.exit_code == 1
    assert result.stdout.endswith("geometry does NOT hold\n")
    assert "Traceback" not in result.stderr


def test_exit_code_1_for_a_network_that_is_not_finite(trained, place, run_any):
    state = dict(load_checkpoint(trained / "vgg_light.pth").state_dict)
    state["classifier.0.weight"] = state["classifier.0.weight"] * float("nan")
    torch.save(state, place / "nan.pth")
    result = run_any("check", "--ckpt", "nan.pth", "--pairs", 1)
    assert result.exit_code == 1
    assert result.stdout.endswith("geometry does NOT hold\n")
