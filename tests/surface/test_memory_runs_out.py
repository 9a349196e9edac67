"""Memory that runs out is answered with half the batch where no value depends on it, and with words where one does."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError
from landscape.surface import measure, measure_surfaces
from landscape.surface.evaluators import batched
from landscape.surface.memory import out_of_memory
from landscape.surface.radius import auto_range

GRID = ls.Grid([-1.0, 0.0, 0.7], [-0.5, 0.0, 1.0])


class Tight(nn.Module):
    """A network on a device with little memory: batches above a size do not fit, from some pass on."""

    def __init__(self, net, fits, *, error=None):
        super().__init__()
        self.net, self.fits, self.error = net, fits, error or torch.OutOfMemoryError("CUDA out of memory")
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.fits:
            raise self.error
        return self.net(x)


@pytest.fixture
def tight(build, data):
    def make(name="mlp_bn", *, fits=23, error=None, **options):
        net = Tight(build(name), fits, error=error)
        return ls.Objective(net, *data(name), device="cpu", **options)

    return make


CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to ...")


@pytest.mark.parametrize(
    "error",
    [
        CPU,
        MemoryError(),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_every_library_says_it_in_its_own_words(tight, error):
    """Errors of memory have several types and no common word."""
    asked = tight(fits=10, error=error)
    pair = ls.random_pair(asked.model)
    assert ls.measure_surface(asked, pair, GRID, evaluator="sequential").execution["batch_size"] == 6
    assert not out_of_memory(ValueError(str(error) or "out of memory"))


def test_a_range_is_sought_in_halves(tight, everything):
    """Readable numbers, so they are the same in any batch."""
    asked = tight(fits=10)
    before, pair = everything(asked.model), ls.random_pair(asked.model)
    found = auto_range(asked, pair)
    assert everything(asked.model) == before
    assert found == auto_range(tight(), pair)
    with pytest.raises(ObjectiveError, match=r"batches of 23 examples.*part of the value"):
        auto_range(tight(bn="batch", fits=10), pair)


@pytest.mark.parametrize("bn", ["frozen", "batch", "recalibrated"])
def test_continued_where_there_is_less_memory(tight, tmp_path, bn):
    """What was chosen elsewhere does not fit here, not even for the center that is compared first."""
    asked = tight(bn=bn)
    pair, path = ls.random_pair(asked.model), tmp_path / "a.h5"
    wanted = ls.measure_surface(asked, pair, GRID, evaluator="sequential")

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ls.measure_surface(asked, pair, GRID, path=path, evaluator="sequential", progress=stop)
    assert "halved_for_memory" not in ls.load(path).execution
    asked.model.fits = 10
    if bn == "batch":
        with pytest.raises(ObjectiveError, match=r"batches of 23 examples.*part of the value"):
            ls.measure_surface(asked, pair, GRID, path=path)
        return
    found = ls.measure_surface(asked, pair, GRID, path=path)
    np.testing.assert_allclose(found.loss, wanted.loss, rtol=1e-12)
    for execution in (found.execution, ls.load(path).execution):
        assert execution["batch_size"] == 6
        assert execution["halved_for_memory"] is True


@pytest.mark.parametrize("error", [None, CPU], ids=["cuda", "cpu"])
@pytest.mark.parametrize("evaluator", ["auto", "sequential", "folded"])
@pytest.mark.parametrize(("fits", "chosen"), [(22, 12), (10, 6), (1, 1)])
def test_too_large_from_the_start(tight, tmp_path, *, evaluator, fits, chosen, error):
    """23 examples: half of 23 is 12, of that 6."""
    asked = tight(fits=fits, error=error)
    pair = ls.random_pair(asked.model)
    surface = ls.measure_surface(asked, pair, GRID, path=tmp_path / "a.h5", evaluator=evaluator)
    wanted = ls.measure_surface(tight(), pair, GRID)
    np.testing.assert_allclose(surface.loss, wanted.loss, rtol=1e-12)
    np.testing.assert_allclose(surface.loss_sem, wanted.loss_sem, rtol=1e-11)
    assert surface.center.loss == pytest.approx(wanted.center.loss, rel=1e-13)
    assert surface.recipe == wanted.recipe  # a batch is no part of a frozen value
    assert ls.load(tmp_path / "a.h5").execution["batch_size"] == surface.execution["batch_size"] == chosen
    assert surface.execution["halved_for_memory"] is True
    assert "halved_for_memory" not in wanted.execution
    assert asked.batch_size == 512  # the caller's objective is as it was


@pytest.mark.parametrize("bn", ["frozen", "recalibrated"])
@pytest.mark.parametrize("when", [1, 4])
def test_too_large_in_the_middle(tight, everything, tmp_path, shrinks, *, bn, when):
    """What was measured before is kept; what follows is in halves, and the file says so."""
    asked = tight(bn=bn)
    before, pair = everything(asked.model), ls.random_pair(asked.model)
    told = []
    surface = ls.measure_surface(
        asked, pair, GRID, path=tmp_path / "a.h5", evaluator="sequential", progress=shrinks(asked.model, when, 6, told)
    )
    wanted = ls.measure_surface(tight(bn=bn), pair, GRID, evaluator="sequential")
    np.testing.assert_allclose(surface.loss, wanted.loss, rtol=1e-12)
    cells = [(i, j) for j in range(3) for i in range(3)]
    for i, j in cells[:when]:
        assert surface.loss[0, i, j] == wanted.loss[0, i, j]
    assert surface.execution["batch_size"] == 6
    assert surface.execution["halved_for_memory"] is True
    assert surface.execution["tried"] == ls.load(tmp_path / "a.h5").execution["tried"] != {}
    assert any("memory ran out" in detail for detail in told)
    assert everything(asked.model) == before


@pytest.fixture
def shrinks(monkeypatch):
    """Blocks of one cell; a report after which batches above a size do not fit any more."""
    monkeypatch.setattr(measure, "Blocks", functools.partial(measure.Blocks, seconds=1e-9))

    def make(net, when, fits, told):
        def report(progress):
            told.append(progress.detail)
            if progress.done == when:
                net.fits = fits

        return report

    return make


def test_continued_in_the_halves_that_were_taken(tight, shrinks, tmp_path):
    asked = tight()
    pair, told = ls.random_pair(asked.model), []
    shrink = shrinks(asked.model, 2, 12, told)

    def stop(progress):
        shrink(progress)
        if progress.done == 5:
            raise KeyboardInterrupt

    call = functools.partial(ls.measure_surface, asked, pair, GRID, path=tmp_path / "a.h5")
    with pytest.raises(KeyboardInterrupt):
        call(progress=stop)
    asked.model.sizes.clear()
    surface = call()
    assert max(asked.model.sizes) == 12
    assert surface.execution["batch_size"] == 12
    assert surface.execution["halved_for_memory"] is True
    np.testing.assert_allclose(surface.loss, ls.measure_surface(tight(), pair, GRID).loss, rtol=1e-12)


@pytest.mark.parametrize("when", [None, 4])
def test_a_batch_that_is_part_of_the_value_is_not_made_smaller(tight, shrinks, everything, tmp_path, when):
    asked = tight(bn="batch", batch_size=12, fits=11 if when is None else 23)
    before, told = everything(asked.model), []
    with pytest.raises(ObjectiveError, match=r"batches of 12 examples.*part of the value.*--batch-size"):
        ls.measure_surface(
            asked,
            ls.random_pair(asked.model),
            GRID,
            path=tmp_path / "a.h5",
            progress=shrinks(asked.model, when, 6, told),
        )
    assert everything(asked.model) == before
    assert (tmp_path / "a.h5").exists() == (when is not None)
    if when is not None:  # what was measured stays
        assert ls.load(tmp_path / "a.h5").done.sum() == when
        assert ls.load(tmp_path / "a.h5").execution["batch_size"] == 12


def test_without_batchnorm_the_batch_is_free_in_every_mode(tight):
    for bn in ("batch", "recalibrated"):
        surface = ls.measure_surface(tight("mlp", bn=bn, fits=6), ls.random_pair(tight("mlp").model), GRID)
        assert surface.execution["batch_size"] == 6
        assert surface.done.all()


def test_one_example_that_does_not_fit_is_refused(tight):
    asked = tight(fits=0)
    with pytest.raises(ObjectiveError, match="one example at a time"):
        ls.measure_surface(asked, ls.random_pair(asked.model), GRID)


def test_another_error_is_no_reason_for_halves(tight):
    asked = tight(fits=10, error=RuntimeError("a bug in forward"))
    with pytest.raises(RuntimeError, match="a bug in forward"):
        ls.measure_surface(asked, ls.random_pair(asked.model), GRID)
    assert set(asked.model.sizes) == {23}


def test_all_modes_together_go_on_in_halves_where_none_depends_on_them(build, data, shrinks, tmp_path):
    net = Tight(build("mlp_bn"), 23)
    objectives = [ls.Objective(net, *data(), bn=bn, device="cpu") for bn in ("frozen", "recalibrated")]
    paths, told = [tmp_path / "f.h5", tmp_path / "r.h5"], []
    found = measure_surfaces(objectives, ls.random_pair(net), GRID, paths=paths, progress=shrinks(net, 3, 12, told))
    net.fits = 23
    for surface, objective in zip(found, objectives, strict=True):
        assert surface.execution["batch_size"] == 12
        wanted = ls.measure_surface(objective, ls.random_pair(net), GRID)
        np.testing.assert_allclose(surface.loss, wanted.loss, rtol=1e-12)


def fits_in_bfloat16_only(net):
    return 10 if not torch.is_autocast_enabled("cpu") else 23


def test_the_comparison_with_float32_may_need_halves_of_its_own(build, data):
    """bfloat16 fits where float32 does not: the nine cells of the comparison are taken in smaller batches."""
    net = Tight(build("mlp_bn", dtype=torch.float32), 23)
    net.register_forward_pre_hook(lambda *_: setattr(net, "fits", fits_in_bfloat16_only(net)))
    objective = ls.Objective(net, *data(dtype=torch.float32), precision="bf16", device="cpu")
    surface = ls.measure_surface(objective, ls.random_pair(net), GRID)
    assert surface.checks["precision_error"]["cells"] == 9


@pytest.mark.parametrize("evaluator", ["auto", "sequential"])
def test_memory_that_an_evaluator_needs_beside_the_network_runs_out_in_the_choice(tight, evaluator):
    """The center fits; with the evaluator's three copies of the parameters it does not."""
    asked = tight()
    passes = []

    def grow(*_):
        passes.append(1)
        asked.model.fits = 23 if len(passes) <= 4 else 12

    asked.model.register_forward_pre_hook(grow)
    surface = ls.measure_surface(asked, ls.random_pair(asked.model), GRID, evaluator=evaluator)
    assert surface.execution["batch_size"] <= 12
    assert surface.done.all()


def test_fewer_cells_at_once_need_no_smaller_batch(objective, monkeypatch):
    """In mode batch the batch is part of the value; how many cells share a pass is not."""
    examples, fits = batched._examples, [64]

    def tight_examples(session, params, objective):
        if len(next(iter(params.values()))) > fits[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return examples(session, params, objective)

    monkeypatch.setattr(batched, "_examples", tight_examples)
    asked = objective("mlp_bn", bn="batch")
    pair, grid = ls.random_pair(asked.model), ls.Grid.square(1.0, 5)
    wanted = ls.measure_surface(asked, pair, grid, evaluator="batched")
    surface = ls.measure_surface(asked, pair, grid, evaluator="batched", progress=lambda _: fits.__setitem__(0, 4))
    assert surface.execution["cells"] <= 4
    assert surface.execution["batch_size"] == wanted.execution["batch_size"]
    np.testing.assert_allclose(surface.loss, wanted.loss, rtol=1e-12)
