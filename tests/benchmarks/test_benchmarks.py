"""The benchmarks run: quick modes on tiny networks, without the peers; and their arithmetic is right."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from landscape import models
from landscape.storage import save_checkpoint

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))

pytestmark = pytest.mark.skipif(not NAMES, reason="not in a checkout")


@pytest.fixture
def bench(monkeypatch):
    """Import a benchmark's module as a script of its folder would; the names are forgotten afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)  # the chosen clock goes with them


@pytest.fixture
def few_images(bench, monkeypatch):
    for name, images in (("W1", 8), ("W2", 12), ("W3", 16)):
        monkeypatch.setitem(bench("workloads").IMAGES, name, images)


def run(module, *arguments, tmp_path):
    """The printed table's source: what the run returns, equal to what it writes."""
    out = tmp_path / "out" / "result.json"
    result = module.main([*arguments, "--out", str(out)])
    written = json.loads(out.read_text(encoding="utf-8"))  # strict: no NaN
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    assert written["environment"]["torch"]
    assert written["command"].startswith(f"python benchmarks/{written['benchmark']}.py")
    assert set(written) == set(result)
    return written


def test_a_command_names_files_without_their_folders(bench):
    argv = [
        "--ckpt",
        "/some/where/net.pth",
        "--dataset",
        "npz:/some/data.npz",
        "--ckpt=~/x/y.pth",
        "--out",
        "results/a",
    ]
    found = bench("common").header("limit", argv, torch.device("cpu"))["command"]
    assert found == "python benchmarks/limit.py --ckpt net.pth --dataset npz:data.npz --ckpt=y.pth --out results/a"


@pytest.mark.parametrize(
    ("found", "at_least", "verdict"),
    [
        (2.0, True, "pass"),
        (1.9, True, "fail"),
        (2.0, False, "pass"),
        (2.1, False, "fail"),
        (None, True, "not measured"),
    ],
)
def test_a_target_is_judged(bench, found, at_least, verdict):
    assert bench("common").Target("speed", 2.0, found, at_least).verdict == verdict


def test_ratios_are_taken_within_rounds(bench):
    """The machine is four times as slow in the second round; the ratio does not notice."""
    slow, quick = {0: 2.0, 1: 8.0, 2: 2.0}, {0: 1.0, 1: 4.0}
    assert bench("rounds").ratios(slow, quick) == {"median": 2.0, "min": 2.0, "max": 2.0, "count": 2}


def campaign_of(bench, turns, *, threads=2):
    """A campaign of finished rounds: contender -> (seconds of a cell, processor) by round; None was not timed."""
    rounds, turn_of = bench("rounds"), bench("contenders").Turn
    campaign = rounds.Campaign(None, list(turns), threads)
    for name, found in turns.items():
        entry = campaign.entries[name] = rounds.Entry(name, None)
        for k, turn in enumerate(found):
            if turn is not None:
                entry.turns[k] = turn_of(seconds=turn[0], cells=9, setup=0.0, processor=turn[1])
    return campaign


def test_a_starved_turn_is_taken_again(bench, monkeypatch):
    """Two threads: 1.13 of them is starved, 1.8 is not; a contender that never gets there keeps its best turn."""
    rounds, contenders = bench("rounds"), bench("contenders")
    monkeypatch.setattr(rounds, "PRECISIONS", ())
    shares = {"naive": [1.13, 1.79, 1.85, 1.9], "losscape": [1.0, 1.1, 1.4, 1.2, 1.9], "Landscaper": [1.95, 0.5]}
    campaign = campaign_of(bench, dict.fromkeys(shares, ()))

    class Runner:
        def __init__(self, shares):
            self.shares = iter(shares)

        def turn(self, cells):
            share = next(self.shares)
            return contenders.Turn(seconds=2 / share, cells=cells, setup=0.0, processor=share)

    for name, entry in campaign.entries.items():
        entry.runner, entry.trials = Runner(shares[name]), {128: 0.5}
    campaign.play(1)
    found = {name: (entry.turns[0].processor, entry.repeats) for name, entry in campaign.entries.items()}
    assert found == {"naive": (1.85, 2), "losscape": (1.4, 3), "Landscaper": (1.95, 0)}


def test_the_fastest_peer_is_the_nearest_within_rounds(bench):
    """losscape has the smaller median, from the rounds in which everybody was quick; round for round it is slower."""
    report = bench("report")
    turns = {
        "landscape fp32": [(1.0, 2.0), (1.0, 2.0), (4.0, 2.0), (4.0, 2.0), (4.0, 2.0)],
        "losscape": [(3.0, 2.0), (3.0, 2.0), None, None, None],
        "Landscaper": [(2.0, 2.0), (2.0, 2.0), (8.0, 2.0), (8.0, 2.0), (8.0, 2.0)],
        "naive": [(1.0, 2.0)] * 5,
    }
    outcome = report.Outcome(campaign_of(bench, turns))
    assert outcome.campaign.entries["losscape"].median < outcome.campaign.entries["Landscaper"].median
    assert outcome.fastest.name == outcome.nearest("fp32").name == "Landscaper"
    assert outcome.over("Landscaper", "fp32")["median"] == 2.0
    assert outcome.nearest("bf16") is None  # was not timed


@pytest.mark.parametrize(("processor", "threads", "busy"), [(1.9, 2, None), (1.13, 2, 0.565), (0.95, 1, None)])
def test_a_busy_machine_is_told_by_the_share_of_all_threads(bench, processor, threads, busy):
    turns = {"naive": [(1.0, processor)] * 3}
    found = bench("report").Outcome(campaign_of(bench, turns, threads=threads)).busy
    assert found == (busy if busy is None else pytest.approx(busy))


def test_what_is_measured_beside_the_turns_does_not_change_how_they_are_told(bench, few_images):
    work = bench("workloads").synthetic("W1", network="vgg_light_bn", images=4)
    ours = bench("contenders").Ours(work, "fp32", points=5)
    ours.turn(2)
    told = dict(ours.execution)
    assert told["evaluator"] == "folded"
    surface = ours.measure(ours.planes, bench("contenders").ls.Grid.square(0.5, 3), evaluator="sequential")
    assert surface.execution["evaluator"] == "sequential"
    assert ours.execution == told


def test_operations_of_vgg_a(bench):
    """Against the sum written out: 9 * in * out * side^2 multiplications with additions, 3 x 3 everywhere."""
    work = bench("workloads").synthetic("W1", network="vgg_bn", images=2)
    layers = [(3, 64, 32), (64, 128, 16), (128, 256, 8), (256, 256, 8), (256, 512, 4)]
    layers += [(512, 512, 4), (512, 512, 2), (512, 512, 2)]
    one = sum(2 * 9 * a * b * side**2 for a, b, side in layers)
    assert work.convolution_flops == 2 * one
    assert work.flops == 2 * (one + 2 * (512 * 512 + 512 * 512 + 512 * 10))
    assert sum(work.convolutions.values()) == 8


def test_floors_follow_from_rates(bench):
    """Two layers at rates of their own: each at its best, and both at the best of all."""
    limit, work = bench("limit"), bench("workloads").synthetic("W1", network="vgg_light", images=3)
    (a, b), floor = work.convolutions, limit.Limit(work, "fp32").floor
    rates = {(a, 1): limit.Rate(1e9, 2e9), (a, 3): limit.Rate(4e9, 4e9), (b, 3): limit.Rate(5e8, 6e8)}
    found = floor(rates)
    assert found.rate == found.quickest == 4e9
    assert found.seconds == pytest.approx(3 * (a.flops + b.flops) / 4e9)
    assert found.layer_seconds == pytest.approx(3 * (a.flops / 4e9 + b.flops / 5e8))


def test_a_loop_is_timed_from_one_cell_to_the_next(bench):
    """Two batches a cell; slow beginnings and ends stay outside, and the network comes back."""
    contenders, work = bench("contenders"), bench("workloads").synthetic("W1", network="vgg_light", images=6)
    instants = iter(
        contenders.Instant(float(t), float(t), 0.5 * t) for t in [0, 100, 101, 103, 104, 106, 107, 109, 110]
    )

    def loop(model, task):
        with torch.no_grad():
            found = [[cross_entropy(model(x), y).item() for x, y in task.batches] for _ in range(task.steps**2)]
            for p in model.parameters():
                p.fill_(torch.nan)
        return found

    walker = contenders.Walker(work, loop, batch=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contenders.Instant, "now", lambda: next(instants))
        turn = walker.turn(4)
    assert (turn.seconds, turn.cells, turn.setup, turn.processor, turn.finite) == (3.0, 3, 100.0, 0.5, 1.0)
    assert walker.turn(4).finite == 1.0


def test_surface_vs_peers_without_peers(bench, few_images, monkeypatch, tmp_path, capsys):
    """Peers that are not installed are said; the naive loop and this package agree; targets are judged."""
    monkeypatch.setattr(bench("peers"), "find_spec", lambda name: None)
    script = bench("surface_vs_peers")
    arguments = ("--quick", "--network", "vgg_light_bn", "--no-memory", "--workloads", "W1", "--threads", "1")
    found = run(script, *arguments, tmp_path=tmp_path)
    work = found["workloads"]["W1"]
    entries = work["contenders"]
    assert {entries[peer]["status"] for peer in found["peers"]} == {"not installed"}
    assert entries["naive"]["seconds_per_cell"]["count"] == 2
    assert entries["landscape fp32"]["execution"]["evaluator"]
    assert entries["naive"]["repeated_turns"] >= 0
    assert entries["landscape fp32"]["over_landscape"]["fp32"]["median"] == 1
    assert work["largest_relative_difference_from_naive"]["landscape fp32"] < 1e-4  # float32
    assert work["floors"]["fp32"]["rate"]["count"] == 2
    assert {t["verdict"] for t in found["targets"] if "peer" in t["name"]} == {"not measured"}
    assert {t["verdict"] for t in found["targets"] if "floor" in t["name"]} <= {"pass", "fail"}
    assert "not installed" in capsys.readouterr().out


def test_a_peer_that_fails_is_recorded_and_stops_nobody(bench, few_images, monkeypatch, tmp_path):
    def broken(model, task):
        torch.set_num_threads(2)
        raise ZeroDivisionError("its own fault")

    peers = bench("peers")
    broken_peer = peers.Peer("losscape", "torch", broken, batched=True, notes="")
    monkeypatch.setitem(peers.PEERS, "losscape", broken_peer)
    naive = bench("contenders").naive
    monkeypatch.setitem(peers.PEERS, "Landscaper", peers.Peer("Landscaper", "torch", naive, batched=True, notes=""))
    script = bench("surface_vs_peers")
    arguments = ("--quick", "--network", "vgg_light", "--no-memory", "--workloads", "W1", "--threads", "1")
    found = run(script, *arguments, "--only", "landscape fp32,losscape,Landscaper", tmp_path=tmp_path)
    entries = found["workloads"]["W1"]["contenders"]
    assert entries["losscape"]["status"] == "failed: ZeroDivisionError: its own fault"
    assert found["workloads"]["W1"]["fastest_peer"] == "Landscaper"
    assert found["four_surfaces"]["fp32"]["status"].startswith("estimated")
    assert torch.get_num_threads() == 1


def test_memory_is_that_of_a_process(bench, few_images, capsys):
    bench("surface_vs_peers").main(["--quick", "--network", "vgg_bn", "--workloads", "W1", "--memory-of", "naive"])
    above = json.loads(capsys.readouterr().out.splitlines()[-1])["above_mib"]
    assert above > 4 * 37  # a copy of the network, its center, two directions: 37 MiB each


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not forget a peak")
def test_a_peak_can_be_forgotten(bench):
    common = bench("common")

    def fill(mib: int) -> None:
        bytearray(mib << 20)[:: 1 << 12] = b"x" * (mib << 8)

    fill(600)
    before = common.peak_mib()
    held = common.forget_peak()
    assert held < before - 300
    fill(200)
    assert 190 < common.peak_mib() - held < 300


def test_limit_alone(bench, few_images, tmp_path):
    arguments = ("--quick", "--network", "vgg_light", "--threads", "1", "--clock", "processor")
    found = run(bench("limit"), *arguments, tmp_path=tmp_path)
    assert found["clock"] == "processor"
    assert found["convolution"]["fp32"]["floor_seconds_per_cell"] > 0
    assert len(found["convolution"]["bf16"]["rates_gflops"]) == 2  # two layers; the batch is 8


def test_surface_gpu_on_the_cpu(bench, few_images, tmp_path):
    arguments = ("--device", "cpu", "--quick", "--network", "vgg_light_bn", "--precisions", "fp32,bf16")
    found = run(bench("surface_gpu"), *arguments, tmp_path=tmp_path)
    result = found["workloads"]["W3"]["fp32"]
    assert result["cells"] == 25
    assert result["share_of_peak"] is None
    assert result["rate_tflops"] == pytest.approx(result["flops"] / result["seconds"]["median"] / 1e12, rel=1e-4)
    assert {t["verdict"] for t in found["targets"]} == {"not measured"}  # no H200


@pytest.mark.parametrize(
    ("name", "bf16"), [("NVIDIA H200", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA GeForce GTX 1080", None)]
)
def test_peaks_by_device_name(bench, name, bf16):
    assert bench("surface_gpu").peak(name, "bf16") == bf16


def test_plane_errors(bench):
    """Four interpolated cells that are off by 1, 2, 2 and 4 %; measured cells and a shared infinity do not count."""
    dense = np.array([[1.0, 2.0, 4.0], [5.0, 10.0, np.inf]])
    adaptive = np.array([[1.01, 2.04, 4.0], [4.9, 10.4, np.inf]])
    measured = np.array([[False, False, True], [False, False, True]])
    found = bench("adaptive_error").plane_error(dense, adaptive, measured, stated=0.03)
    relative = np.array([0.01, 0.02, 0.02, 0.04])
    assert (found.measured, found.share, found.gaps) == (2, pytest.approx(1 / 3), 0)
    assert found.rms == pytest.approx(np.sqrt(np.mean(relative**2)))
    assert found.rms_of_values == pytest.approx(
        np.sqrt(np.mean([0.01**2, 0.04**2, 0.1**2, 0.4**2]) / np.mean([1, 4, 16, 25, 100]))
    )
    assert found.p95 == pytest.approx(np.quantile(relative, 0.95))
    assert found.largest == pytest.approx(0.04)
    assert not found.covers  # 3.7 % at the 95th percentile
    assert not found.good
    adaptive[0, 0] = np.nan
    assert bench("adaptive_error").plane_error(dense, adaptive, measured, stated=0.05).gaps == 1


def test_adaptive_error_of_an_oracle(bench, monkeypatch, tmp_path):
    """The adaptive surface is the dense one, made 1 % too large at every second cell and stating 2 %."""
    script = bench("adaptive_error")
    checkpoint = tmp_path / "net.pth"
    save_checkpoint(checkpoint, models.build("vgg_light", seed=1), model_name="vgg_light")
    dense_surface = script.surface_of

    def oracle(item, work, radius, sampling, options):
        surface = dense_surface(item, work, radius, "dense", options)
        if sampling == "dense":
            return surface
        surface.measured[:, ::2] = False
        surface.loss[~surface.measured] *= 1.01
        return type(surface)(**{n: getattr(surface, n) for n in surface.__slots__} | {"error_estimate": 0.02})

    monkeypatch.setattr(script, "surface_of", oracle)
    listed = tmp_path / "list.toml"
    listed.write_text(f'[[surface]]\nname = "second"\nckpt = "{checkpoint}"\nradii = [0.5]\n', encoding="utf-8")
    arguments = ("--ckpt", f"first={checkpoint}", "--dataset", "fashion_mnist_mini", "--limit", "8", "--pairs", "2")
    more = ("--points", "5", "--device", "cpu", "--list", str(listed), "--work", str(tmp_path / "work"))
    listed.write_text(listed.read_text(encoding="utf-8") + 'dataset = "fashion_mnist_mini"\n', encoding="utf-8")
    found = run(script, *arguments, *more, tmp_path=tmp_path)
    assert len(found["surfaces"]) == 2 * 2 + 2
    for error in found["surfaces"].values():
        assert error["rms"] == pytest.approx(0.01)
        assert error["share"] == pytest.approx(0.4)
        assert (error["covers"], error["good"]) == (True, False)  # too many cells
    assert [t["verdict"] for t in found["targets"]] == ["fail", "fail", "pass"]


def test_the_documented_commands_make_as_many_surfaces_as_the_targets_ask_for(bench, monkeypatch):
    """Read from the README; a trained network stands for each checkpoint."""
    script = bench("adaptive_error")
    monkeypatch.setattr(script.ls, "train", lambda config: None)
    monkeypatch.setattr(script.ls.TrainConfig, "checkpoint_path", lambda self, which: Path(f"{self.model}.pth"))
    text = (FOLDER / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = [
        line.split()[2:] for line in text.splitlines() if line.startswith("python benchmarks/adaptive_error.py")
    ]
    assert commands
    for command in [*commands, ["--train", "--pairs", "3"]]:
        options = script.parse(command)
        surfaces = sum(len(item.radii) for item in script.items_of(options)) * options.pairs
        assert surfaces >= script.SURFACES


def test_processor_time_needs_one_thread(bench):
    with pytest.raises(SystemExit):
        bench("limit").main(["--threads", "2", "--clock", "processor"])


def test_adaptive_error_needs_something_to_compare(bench):
    with pytest.raises(SystemExit):
        bench("adaptive_error").main([])


def test_training_beside_a_loop(bench, tmp_path):
    """Same weights, same batches: the first losses agree; ratios are those of the rounds."""
    pytest.importorskip("torchvision")
    arguments = ("--quick", "--networks", "vgg_light_bn", "--dataset", "fashion_mnist_mini", "--threads", "1")
    found = run(bench("training"), *arguments, "--limit", "60", "--batch-size", "20", tmp_path=tmp_path)
    contenders = found["networks"]["vgg_light_bn"]["contenders"]
    assert {entry["steps"] for entry in contenders.values()} == {3}  # 54 images
    assert contenders["landscape fp32"]["difference_from_loop"] < 1e-3
    assert contenders["landscape fp32"]["validation_loss"] == pytest.approx(
        contenders["loop"]["validation_loss"], rel=0.1
    )
    assert contenders["loop"]["loop_over_it"]["median"] == 1
    rounds = [contenders[name]["rounds"] for name in ("loop", "landscape bf16")]
    ratios = sorted(a / b for a, b in zip(*rounds, strict=True))
    assert contenders["landscape bf16"]["loop_over_it"]["min"] == pytest.approx(ratios[0], rel=1e-4)
    assert {t["verdict"] for t in found["targets"]} == {"not measured"}


def test_a_whole_band_is_timed(bench, tmp_path):
    arguments = ("--quick", "--full-band", "--networks", "vgg_light", "--epochs", "1", "--fuse", "on")
    more = ("--dataset", "fashion_mnist_mini", "--limit", "40", "--threads", "1")
    band = run(bench("training"), *arguments, *more, tmp_path=tmp_path)["band"]
    assert (band["runs"], band["epochs"], band["steps"]) == (4, 1, 4)
    assert set(band["methods"].values()) == {"stacked"}


def test_bn_modes_are_timed_and_judged(bench, tmp_path):
    found = bench("bn_modes").main(["--quick", "--networks", "vgg_light_bn", "--out", str(tmp_path / "modes.json")])
    ratios = found["workloads"]["vgg_light_bn"]["over_frozen"]
    assert ratios["frozen"]["median"] == 1.0
    (target,) = found["targets"]
    assert (target.wanted, target.at_least, target.found) == (2.2, False, ratios["recalibrated"]["median"])
    assert json.loads((tmp_path / "modes.json").read_text())["targets"][0]["verdict"] in {"pass", "fail"}
