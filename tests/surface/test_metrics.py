"""Numbers of a surface: closed forms on uneven grids, symmetries, and Student's t against another implementation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from landscape.records import Grid, Measurement, Surface
from landscape.surface.metrics import budget_of, metrics, roughness_index, summary
from landscape.surface.plane_numbers import line_variation

UNEVEN = Grid([-1.0, -0.7, -0.15, 0.0, 0.1, 0.45, 1.0], [-0.5, -0.3, 0.0, 0.2, 0.6])
SQUARE = Grid.square(1.0, 21)


def surface_of(*planes, grid=UNEVEN, center=None, **changes):
    """Sample functions of alpha and beta, one per pair; errors grow with alpha so that a wrong cell is noticed."""
    a, b = np.meshgrid(grid.alpha, grid.beta, indexing="ij")
    loss = np.stack([np.broadcast_to(plane(a, b), a.shape) for plane in planes]).astype(float)
    center = float(planes[0](0.0, 0.0)) if center is None else center
    values = {
        "loss": loss,
        "loss_sem": np.full(loss.shape, 0.25),
        "delta_sem": np.broadcast_to(0.125 * np.hypot(a, b), loss.shape),
        "accuracy": np.full(loss.shape, 0.5),
        "done": np.ones(loss.shape, bool),
        "measured": np.ones(loss.shape, bool),
        "center": Measurement(center, 0.25, 0.5, 64),
    }
    return Surface(grid, **(values | changes))


def bowl(a, b):
    return 1 + 2 * a**2 + 3 * a * b + 4 * b**2 + 5 * a - 6 * b


def changed(surface, cells, value):
    loss = surface.loss.copy()
    for cell in cells:
        loss[cell] = value
    return dataclasses.replace(surface, loss=loss)


def test_a_quadratic_is_exact_whatever_the_steps():
    """Second derivatives 4 and 8; the Hessian [[4, 3], [3, 8]] is positive everywhere."""
    found = metrics(surface_of(bowl))
    np.testing.assert_allclose(found["curvature_alpha"].values, 4, rtol=1e-12)
    np.testing.assert_allclose(found["curvature_beta"].values, 8, rtol=1e-12)
    assert found["convex_share"].values == 1
    assert "steps from 0.1 to 0.15" in found["curvature_alpha"].definition
    assert (found["curvature_alpha"].unit, found["share_below"].unit) == ("nats/α²", "")


@pytest.mark.parametrize(
    ("function", "share"),
    [
        (lambda a, b: 2 * a - 3 * b + 7, 1),  # flat: no eigenvalue is negative, whatever the rounding
        (lambda a, b: a**2 - b**2 + 0 * a, 0),
        (lambda a, b: -(a**2) - b**2, 0),
        (lambda a, b: a * b, 0),  # both second differences vanish, the mixed one does not
        (lambda a, b: a**2 + b**2 + 2.1 * a * b, 0),
        (lambda a, b: a**2 + b**2 + 1.9 * a * b, 1),
        (lambda a, b: a**2 + 0 * b, 1),
    ],
)
def test_the_convex_share_follows_the_smaller_eigenvalue(function, share):
    assert metrics(surface_of(function))["convex_share"].values == share


@pytest.mark.parametrize("beta", [[0.0], np.linspace(-1, 1, 5)])
def test_a_double_well_is_convex_outside_its_middle(beta):
    """x^4 - x^2 on [-1, 1]: convex where 12 x^2 > 2, a share of 1 - 1 / sqrt(6), up to two cells of N."""
    n = 401
    grid = Grid(np.linspace(-1, 1, n), beta)
    share = metrics(surface_of(lambda a, b: a**4 - a**2 + b**2, grid=grid))["convex_share"].values
    np.testing.assert_allclose(share, 1 - 1 / math.sqrt(6), atol=2 / n)


def test_an_uneven_grid_gives_a_share_of_the_area_not_of_the_cells():
    """The part below is one half of the plane, in which nine tenths of the cells lie; exact, as an edge is halfway."""
    grid = Grid([*np.linspace(-1, -0.1, 10), 0.1, 1.0], [-1.0, 1.0])
    found = metrics(surface_of(lambda a, b: a + 0 * b, grid=grid, center=0.0), budget=0.0)
    np.testing.assert_allclose(found["share_below"].values, 0.5, rtol=1e-12)
    np.testing.assert_allclose(found["median"].values, 0.0, atol=1e-12)


def test_a_budget_has_a_default_and_is_said():
    """Loss r^2 + 1 and center loss 1: below 6 everywhere; below 1.5 where r < sqrt(0.5), which is not elongated."""
    surface = surface_of(lambda a, b: 1 + a**2 + b**2, grid=Grid.square(2.0, 201))
    assert budget_of(surface) == 6
    default, low = metrics(surface), metrics(surface, budget=1.5)
    assert "below 6 (five times" in default["share_below"].definition
    assert low["share_below"].label == "share below 1.5"
    np.testing.assert_allclose(low["share_below"].values, math.pi / 2 / 16, rtol=0.02)
    np.testing.assert_allclose(low["elongation"].values, 1, rtol=1e-9)
    ellipse = surface_of(lambda a, b: (a / 3) ** 2 + b**2, grid=Grid.square(1.0, 401))
    np.testing.assert_allclose(metrics(ellipse, budget=0.09)["elongation"].values, 3, rtol=0.01)


def test_total_variation_counts_swings():
    x = np.linspace(-1, 1, 2001)
    np.testing.assert_allclose(line_variation(x**4 - x**2), (1.0, 4.0), atol=1e-5)
    np.testing.assert_allclose(line_variation(3 * x), (6.0, 1.0), rtol=1e-12)
    np.testing.assert_allclose(line_variation(x**2), (2.0, 2.0), rtol=1e-12)
    np.testing.assert_allclose(line_variation(np.array([1.0, np.nan, 3.0, np.inf, 2.0])), (3.0, 1.5), rtol=1e-12)
    assert math.isnan(line_variation(np.full(3, 2.0))[1])
    assert metrics(surface_of(lambda a, b: a + 2 * b, grid=SQUARE))["variation"].values == pytest.approx(1, rel=1e-12)
    assert metrics(surface_of(lambda a, b: a**2 + b, grid=SQUARE))["variation"].values == pytest.approx(1.5, rel=1e-12)


def test_the_roughness_index_is_the_spread_over_lines():
    """Variations 2 and 1 in one pair, 1 and 1 in the other: mean 1.25, standard deviation 0.5."""
    surface = surface_of(lambda a, b: a**2 + b, lambda a, b: a + b, grid=SQUARE)
    assert roughness_index(surface) == pytest.approx(0.5 / 1.25, rel=1e-12)
    assert math.isnan(roughness_index(surface_of(bowl, grid=Grid([1.0, 2.0], [3.0, 4.0]))))


def test_extremes_have_their_places_and_errors():
    surface = surface_of(lambda a, b: (a - 0.45) ** 2 + (b + 0.3) ** 2)
    found = metrics(surface)
    np.testing.assert_array_equal(found["lowest"].places, [[0.45, -0.3]])
    np.testing.assert_array_equal(found["largest"].places, [[-1.0, 0.6]])
    np.testing.assert_allclose(found["depth"].values, 0.45**2 + 0.3**2, rtol=1e-12)
    np.testing.assert_allclose(found["depth"].error, 0.125 * math.hypot(0.45, 0.3), rtol=1e-12)
    assert (found["lowest"].error, found["largest"].error) == (0.25, 0.25)
    assert np.isnan(found["median"].places).all()


def test_the_checkpoint_is_not_below_itself():
    """The cell on the center differs from the center by rounding; so may another, by no more than evaluators do."""
    surface = surface_of(lambda a, b: 1 + a**2 + b**2, checks={"evaluator_error": 1e-6})
    found = metrics(changed(surface, [(0, 3, 2)], 1 - 1e-8))["depth"]
    assert (found.values, found.error) == (0, 0)
    assert metrics(changed(surface, [(0, 4, 2)], 1 - 9e-7))["depth"].values == 0
    np.testing.assert_allclose(metrics(changed(surface, [(0, 4, 2)], 1 - 3e-6))["depth"].values, 3e-6, rtol=1e-6)


def test_the_rise_is_a_mean_along_the_border():
    """Over the square |x| = 1 the mean of x^2 is (1 + 1/3) / 2; a line has two ends."""
    rise = metrics(surface_of(lambda a, b: a**2 + 0 * b, grid=Grid.square(1.0, 401)))["rise"]
    np.testing.assert_allclose(rise.values, 2 / 3, rtol=1e-4)
    line = metrics(surface_of(lambda a, b: 7 + 2 * a + a**2 + b, grid=Grid([-1.0, 0.0, 3.0], [0.0])))["rise"]
    np.testing.assert_allclose(line.values, ((1 - 2) + (9 + 6)) / 2, rtol=1e-12)
    np.testing.assert_allclose(line.error, 0.125 * (1 + 3) / 2, rtol=1e-12)


def test_lines_and_points_have_the_numbers_that_they_can_have():
    line = metrics(surface_of(lambda a, b: a**2 + b, grid=Grid([0.0], np.linspace(-1, 1, 5)), center=0.0))
    assert line["convex_share"].values == line["variation"].values == 1
    assert np.isnan(line["curvature_alpha"].values)
    assert np.isnan(line["elongation"].values)
    point = metrics(surface_of(bowl, grid=Grid([0.0], [0.0])))
    assert (point["median"].values, point["share_below"].values, point["depth"].values) == (1, 1, 0)
    missing = ("rise", "elongation", "curvature_alpha", "curvature_beta", "convex_share", "variation")
    assert all(np.isnan(point[name].values) for name in missing)
    two = metrics(surface_of(bowl, grid=Grid([0.0, 1.0], [0.0, 1.0])))
    assert np.isnan(two["convex_share"].values)


def test_without_a_cell_on_the_center_there_is_no_curvature_and_it_is_said():
    found = metrics(surface_of(bowl, grid=Grid.square(1.0, 4)))
    for name in ("curvature_alpha", "curvature_beta", "variation"):
        assert np.isnan(found[name].values)
        assert math.isnan(found[name].mean)
    assert "needs measured cells at the center" in found["curvature_alpha"].definition


def test_cells_that_are_not_finite_are_left_out_and_counted():
    surface = changed(surface_of(bowl, bowl), [(1, 0, 0), (1, 0, 4)], np.nan)
    surface = changed(surface, [(1, 6, 4)], np.inf)
    holes = metrics(surface)
    assert all(metric.left_out[0] == 0 for metric in holes.values())
    counts = {name: int(metric.left_out[1]) for name, metric in holes.items()}
    assert counts == {
        "rise": 3,
        "median": 2,  # infinity has its place
        "share_below": 2,
        "elongation": 2,
        "curvature_alpha": 0,
        "curvature_beta": 0,
        "convex_share": 3,  # each is the neighbour of one interior cell
        "variation": 0,
        "lowest": 3,
        "largest": 3,
        "depth": 3,
    }
    assert holes["lowest"].values[1] == np.nanmin(surface.loss[1])
    assert holes["convex_share"].values[1] == 1


def test_what_diverged_is_not_below_the_budget():
    surface = surface_of(lambda a, b: 0 * a, grid=Grid([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]))
    assert metrics(changed(surface, [(0, 1, 1)], np.inf))["share_below"].values == 0.75
    assert metrics(changed(surface, [(0, 1, 1)], np.nan))["share_below"].values == 1
    assert metrics(changed(surface, [(0, i, j) for i in range(3) for j in range(2)], np.inf))["median"].values == np.inf


def test_what_is_not_done_has_no_value():
    surface = surface_of(bowl)
    done = surface.done.copy()
    done[0, 3, 2] = False  # the center
    found = metrics(dataclasses.replace(surface, done=done))
    assert np.isnan(found["curvature_alpha"].values)
    assert found["median"].left_out == 1
    nothing = metrics(dataclasses.replace(surface, done=np.zeros_like(done)))
    assert all(np.isnan(metric.values) for metric in nothing.values())


def test_second_differences_use_measured_cells_only():
    """Of a^4 the second difference over steps of h is 2 h^2, so the step that was taken shows."""
    surface = surface_of(lambda a, b: a**4 + b**2, grid=SQUARE)
    measured = surface.measured.copy()
    measured[0, [9, 11], 10] = False  # the neighbours of the center along alpha
    found = metrics(changed(dataclasses.replace(surface, measured=measured), [(0, 9, 10), (0, 11, 10)], -5.0))
    np.testing.assert_allclose(found["curvature_alpha"].values, 2 * 0.2**2, rtol=1e-12)
    assert found["curvature_alpha"].left_out == 2
    assert "step 0.2" in found["curvature_alpha"].definition
    assert found["lowest"].values == 0
    assert found["convex_share"].left_out == 15  # two neighbourhoods of nine cells that share three
    few = dataclasses.replace(surface, measured=np.indices(surface.loss.shape[1:]).sum(axis=0)[None] % 2 == 0)
    share = metrics(few)["convex_share"]  # too few whole neighbourhoods: interpolated cells take part
    assert (share.values, share.left_out, share.estimated) == (1, 0, True)
    assert not found["convex_share"].estimated
    gone = dataclasses.replace(few, done=few.measured)
    assert np.isnan(metrics(gone)["convex_share"].values)


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(3, 2, 7)
    mean, spread, low, high = summary(values)
    np.testing.assert_allclose((mean, spread), (values.mean(), values.std(ddof=1)), rtol=1e-12)
    interval = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose((low, high), interval, rtol=1e-11)


def test_one_pair_has_no_interval_and_missing_values_are_left_out():
    nan = math.nan
    np.testing.assert_array_equal(summary(np.array([2.5])), (2.5, nan, nan, nan))
    np.testing.assert_array_equal(summary(np.array([nan, np.inf])), (nan,) * 4)
    assert summary(np.array([1.0, nan, 3.0])) == summary(np.array([1.0, 3.0]))
    assert metrics(surface_of(bowl, bowl))["median"].pairs == 2


def random_surface(pairs=5, grid=UNEVEN):
    rng = np.random.default_rng(3)
    surface = surface_of(*[bowl] * pairs, grid=grid, center=1.5)
    loss = surface.loss + rng.normal(0, 2, surface.loss.shape)
    loss[1, 2, 3] = np.nan
    return dataclasses.replace(surface, loss=loss)


def reindexed(surface, order):
    names = ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured")
    return dataclasses.replace(surface, **{name: getattr(surface, name)[order] for name in names})


def test_the_order_of_the_pairs_changes_nothing():
    surface = random_surface()
    order = [3, 0, 4, 2, 1]
    before, after = metrics(surface), metrics(reindexed(surface, order))
    for name, metric in before.items():
        np.testing.assert_array_equal(after[name].values, metric.values[order])
        ends = [(m.mean, m.spread, m.low, m.high) for m in (metric, after[name])]
        np.testing.assert_array_equal(ends[0], ends[1])  # to the last bit


def test_exchanging_the_directions_exchanges_the_curvatures_only():
    surface = random_surface()
    names = ("loss", "loss_sem", "delta_sem", "accuracy", "done", "measured")
    swapped = {name: getattr(surface, name).swapaxes(1, 2) for name in names}
    before = metrics(surface)
    after = metrics(dataclasses.replace(surface, grid=Grid(UNEVEN.beta, UNEVEN.alpha), **swapped))
    twins = {"curvature_alpha": "curvature_beta", "curvature_beta": "curvature_alpha"}
    for name, metric in before.items():
        np.testing.assert_allclose(after[twins.get(name, name)].values, metric.values, rtol=1e-9)


POWERS = {"rise": 1, "median": 1, "curvature_alpha": 1, "curvature_beta": 1, "lowest": 1, "largest": 1, "depth": 1}
SHIFTED = ("median", "lowest", "largest")


@pytest.mark.parametrize(("factor", "shift"), [(4.0, 0.0), (1.0, 3.0), (0.5, -8.0)])
def test_an_affine_change_of_the_loss_acts_as_it_must(factor, shift):
    surface = random_surface()
    center = dataclasses.replace(surface.center, loss=factor * surface.center.loss + shift)
    other = dataclasses.replace(surface, loss=factor * surface.loss + shift, center=center)
    before, after = metrics(surface, budget=2.0), metrics(other, budget=2.0 * factor + shift)
    for name, metric in before.items():
        expected = metric.values * (factor if name in POWERS else 1) + (shift if name in SHIFTED else 0)
        np.testing.assert_allclose(after[name].values, expected, rtol=1e-9, atol=1e-9)


def test_longer_directions_change_curvatures_only():
    surface = random_surface()
    other = dataclasses.replace(surface, grid=Grid(2 * UNEVEN.alpha, 2 * UNEVEN.beta))
    before, after = metrics(surface), metrics(other)
    for name, metric in before.items():
        factor = 0.25 if name.startswith("curvature") else 1
        np.testing.assert_allclose(after[name].values, factor * metric.values, rtol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 0.0, -1.0])
def test_surfaces_of_one_value_are_survived(value):
    for grid in (UNEVEN, Grid([0.0], [0.0]), Grid([0.0], [-1.0, 0.0, 1.0])):
        surface = surface_of(lambda a, b: 0 * a, lambda a, b: 0 * a, grid=grid)
        surface = dataclasses.replace(surface, loss=np.full(surface.loss.shape, value))
        center = dataclasses.replace(surface.center, loss=value)
        metrics(surface)
        metrics(dataclasses.replace(surface, center=center))
        roughness_index(surface)
