"""On CUDA: the same planes, an exact center, the same values to rounding, and a network that stays on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

GRID = ls.Grid([-0.5, 0.0, 0.3, 0.5], [-0.4, 0.0, 0.4])


@pytest.mark.parametrize("name", ["mlp_bn", "conv_bn"])
def test_directions_drawn_on_cuda_are_those_of_the_cpu(build, name):
    net = build(name, dtype=torch.float32)
    here = ls.random_pairs(net, 2)
    there = ls.random_pairs(net.cuda(), 2)
    assert [p.hash for p in there] == [p.hash for p in here]
    assert all(d.is_cuda for d in there[0].first.values())


def cases():
    for evaluator in ("auto", "sequential", "folded", "batched", "graphed"):
        for bn in ("frozen", "batch", "recalibrated"):
            if evaluator == "folded" and bn != "frozen":  # nothing to fold
                continue
            if evaluator == "batched" and bn == "recalibrated":  # in several batches: cell by cell
                continue
            yield bn, evaluator


@pytest.mark.parametrize("bn", ["frozen", "batch", "recalibrated"])
@pytest.mark.parametrize("name", ["mlp_bn", "conv_bn", "conv"])
def test_the_center_is_exact_and_the_network_is_left(build, data, everything, name, bn):
    net = build(name, dtype=torch.float32)
    before = everything(net)
    objective = ls.Objective(net, *data(name, dtype=torch.float32), bn=bn, batch_size=10, device="cuda")
    surface = ls.measure_surface(objective, ls.random_pairs(net, 2), GRID, evaluator="sequential")
    assert (surface.loss[:, 1, 1] == surface.center.loss).all()
    assert surface.checks["ok"]
    assert everything(net) == before


@pytest.mark.parametrize(("bn", "evaluator"), list(cases()))
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_cells_are_those_of_the_cpu_in_double_precision(build, data, everything, *, bn, evaluator, dtype, rtol):
    """rtol in float32: a few roundings of 6e-8 in each logit, averaged over examples; on the CPU it is 7e-9."""
    pair = ls.random_pair(build("conv_bn"))
    reference = ls.Objective(build("conv_bn"), *data("conv_bn"), bn=bn, batch_size=10, device="cpu")
    wanted = ls.measure_surface(reference, pair, GRID)
    objective = ls.Objective(
        build("conv_bn", dtype=dtype), *data("conv_bn", dtype=dtype), bn=bn, batch_size=10, device="cuda"
    )
    before = everything(objective.model)
    found = ls.measure_surface(objective, pair, GRID, evaluator=evaluator)
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=rtol)
    np.testing.assert_array_equal(found.accuracy, wanted.accuracy)
    assert everything(objective.model) == before
    if evaluator != "auto":
        assert found.execution["evaluator"] == evaluator


@pytest.mark.parametrize("evaluator", ["sequential", "folded", "batched", "graphed"])
def test_bfloat16_cells_are_near_and_the_error_is_stored(build, data, evaluator):
    pair = ls.random_pair(build("conv_bn"))
    wanted = ls.measure_surface(ls.Objective(build("conv_bn"), *data("conv_bn"), device="cpu"), pair, GRID)
    net = build("conv_bn", dtype=torch.float32)
    objective = ls.Objective(net, *data("conv_bn", dtype=torch.float32), precision="bf16", device="cuda")
    found = ls.measure_surface(objective, pair, GRID, evaluator=evaluator)
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=5e-3)
    assert found.checks["precision_error"]["cells"] == 9
    assert 0 < found.checks["precision_error"]["largest"] < 5e-3


def test_a_graph_plays_more_cells_than_its_tape_and_several_planes(build, data, monkeypatch):
    monkeypatch.setattr("landscape.surface.evaluators.graphed._LONGEST", 5)
    net = build("conv_bn")
    objective = ls.Objective(net, *data("conv_bn"), batch_size=10, device="cuda")
    found, wanted = (
        ls.measure_surface(objective, ls.random_pairs(net, 3), GRID, evaluator=name)
        for name in ("graphed", "sequential")
    )
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-10)
    np.testing.assert_allclose(found.delta_sem, wanted.delta_sem, rtol=1e-8, atol=1e-12)


def test_a_cuda_network_keeps_its_device_and_generator(build, data):
    net = build("mlp_dropout_bn", dtype=torch.float32).cuda()
    torch.rand(3, device="cuda")
    state = torch.cuda.get_rng_state()
    pointers = [p.data_ptr() for p in net.parameters()]
    objective = ls.Objective(net, *data(dtype=torch.float32), device="cuda")
    on_cpu = ls.Objective(net, *data(dtype=torch.float32), device="cpu")
    for asked in (objective, on_cpu):
        ls.measure_surface(asked, ls.random_pair(net), GRID)
        assert [p.data_ptr() for p in net.parameters()] == pointers
        assert torch.equal(torch.cuda.get_rng_state(), state)
    assert on_cpu(on_cpu.center).loss == pytest.approx(objective(objective.center).loss, rel=1e-5)
