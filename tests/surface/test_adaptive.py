"""Adaptive sampling of one plane: which cells are measured, and whether the rest is as near as stated."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.storage import load
from landscape.surface.adaptive import AdaptivePlane

RESULTS = Path(__file__).parents[2] / "results" / "first_light"
AXIS = np.linspace(-1, 1, 41)


def surface(function, alpha=AXIS, beta=AXIS):
    """A closed form on a grid, of shape (1, n_alpha, n_beta)."""
    return function(*np.meshgrid(alpha, beta, indexing="ij"))[None]


def measure(loss, alpha=AXIS, beta=AXIS, *, rtol=0.03, plane=None, known=None, stop=None, order=None):
    """Measure what a plane asks for, a cell at a time; ``stop`` ends the run after so many cells."""
    plane = plane or AdaptivePlane(alpha, beta, rtol=rtol)
    known = np.zeros(loss.shape[1:], dtype=bool) if known is None else known.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while cells := plane.ask(np.where(known, loss, 1e9), known):  # what is not known is not looked at
            for cell in cells if order is None else order.permutation(cells):
                if known.sum() == stop:
                    return known, None
                assert not known[tuple(cell)]
                known[tuple(cell)] = True
        accuracy = np.where(known, np.clip(1 - 0.1 * np.nan_to_num(loss), 0, 1), np.nan)
        return known, plane.estimate(np.where(known, loss, np.nan), accuracy, known)


def relative(found, loss):
    """``|estimate - loss| / |loss|`` of every cell that has a finite value, for one mode; 0 where both are 0."""
    has = np.isfinite(found.loss[0])
    difference = np.abs(found.loss[0][has] - loss[0][has])
    return difference / np.where(difference > 0, np.abs(loss[0][has]), 1.0)


SMOOTH = {
    "bowl over five decades": lambda a, b: 1e-3 + 100 * a**2 + 30 * b**2,
    "bowl that is zero at the center": lambda a, b: a**2 + b**2,
    "exponential": lambda a, b: np.exp(4 * a + 2 * b),
    "anisotropic": lambda a, b: 0.05 + 40 * a**2 + 0.2 * b**2 + 0.1 * a * b,
    "valley": lambda a, b: 0.05 + 5 * (b - a**2) ** 2 + 0.2 * (1 - a) ** 2,
    "narrow basin": lambda a, b: 0.1 + 2 * np.sqrt(a**2 + b**2 + 0.01) ** 1.5 + a**4,
    "all negative": lambda a, b: -10 + a**2 + b**2,
    "both signs": lambda a, b: np.sin(2 * a) * np.cos(b) - 0.3,
    "huge": lambda a, b: np.exp(200 + 20 * (a**2 + b**2)),
    "tiny": lambda a, b: np.exp(-200 - 5 * (a**2 + b**2)),
}


@pytest.mark.parametrize("function", SMOOTH.values(), ids=SMOOTH)
def test_a_smooth_surface_is_known_from_an_eighth_of_its_cells(function):
    loss = surface(function)
    known, found = measure(loss)
    errors = relative(found, loss)
    assert known.mean() <= 0.12
    assert np.percentile(errors, 95) <= found.error[0] <= 0.03
    assert found.note == ""
    np.testing.assert_array_equal(found.filled[0], ~known)
    np.testing.assert_array_equal(found.loss[0][known], loss[0][known])  # nothing measured is altered
    assert known[20, 20]
    assert np.isfinite(found.accuracy).all()
    assert (found.accuracy >= 0).all()
    assert (found.accuracy <= 1).all()


def smooth_random(seed):
    """A random basin: a power of a warped quadratic form, in waves of a few per cent to tens of per cent."""
    rng = np.random.default_rng(seed)
    low, power, tilt = 10 ** rng.uniform(-1.5, 0), rng.uniform(0.5, 1.3), rng.normal(size=2)
    form = np.abs(rng.normal(size=2)) * 10 + 0.3

    def function(a, b):
        x, y = a + 0.2 * tilt[0] * b**2, b + 0.2 * tilt[1] * a * b
        waves = sum(
            rng.normal() * np.cos(rng.uniform(1, 4) * a + rng.uniform(1, 4) * b + rng.uniform(0, 6)) for _ in range(4)
        )
        return (low + (form[0] * x**2 + form[1] * y**2) ** power) * np.exp(rng.uniform(0.02, 0.15) * waves)

    return function


def test_the_stated_error_covers_the_true_one():
    """On 30 random basins: at least 27 times, and within the targets as often."""
    covered = met = 0
    ratios = []
    for seed in range(30):
        loss = surface(smooth_random(seed))
        known, found = measure(loss)
        errors = relative(found, loss)
        true = np.percentile(errors, 95)
        rms = np.sqrt(np.mean((found.loss - loss) ** 2) / np.mean(loss**2))
        covered += found.error[0] >= true
        met += known.mean() <= 0.12 and rms <= 0.01 and true <= 0.03 and errors.max() <= 0.06
        ratios.append(found.error[0] / true)
    assert covered >= 27
    assert met >= 27
    assert np.median(ratios) < 4  # covering would be easy without this


@pytest.mark.parametrize("name", ["vgg", "vgg_bn"])
def test_surfaces_of_trained_networks(name):
    """Measured ones, 25 x 25: coarser for the same plane, so more of the cells are needed."""
    stored = load(RESULTS / f"{name}.h5")
    for measured in stored.loss[:2, None]:
        known, found = measure(measured, stored.grid.alpha, stored.grid.beta)
        assert known.mean() <= 0.32
        assert np.percentile(relative(found, measured), 95) <= found.error[0] <= 0.03


def test_a_wanted_error_is_kept():
    loss = surface(SMOOTH["narrow basin"])
    counts = []
    for rtol in (0.1, 0.03, 0.01):
        known, found = measure(loss, rtol=rtol)
        counts.append(int(known.sum()))
        assert np.percentile(relative(found, loss), 95) <= found.error[0] <= rtol
    assert counts == sorted(counts)
    assert counts[0] < counts[2]


def test_a_nonsense_error_is_refused():
    for rtol in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(UsageError, match="positive"):
            AdaptivePlane(AXIS, AXIS, rtol=rtol)


def test_an_interrupted_run_comes_to_the_same_cells_and_estimates():
    """Stopped anywhere, also within a round, and continued by a new object."""
    loss = surface(SMOOTH["narrow basin"])
    whole, found = measure(loss)
    for stop in (1, 39, 40, 45, 52, int(whole.sum()) - 1, int(whole.sum())):
        part, _ = measure(loss, stop=stop, order=np.random.default_rng(stop))
        known, again = measure(loss, known=part)
        np.testing.assert_array_equal(known, whole)
        np.testing.assert_array_equal(again.loss, found.loss)
        np.testing.assert_array_equal(again.accuracy, found.accuracy)
        np.testing.assert_array_equal(again.error, found.error)


def test_results_may_arrive_in_any_order():
    loss = surface(SMOOTH["valley"])
    whole, found = measure(loss)
    for seed in range(2):
        known, again = measure(loss, order=np.random.default_rng(seed))
        np.testing.assert_array_equal(known, whole)
        np.testing.assert_array_equal(again.loss, found.loss)


def test_asking_twice_changes_nothing():
    plane, known = AdaptivePlane(AXIS, AXIS), np.zeros((41, 41), dtype=bool)
    loss = surface(SMOOTH["exponential"])
    first = plane.ask(loss, known)
    assert plane.ask(loss, known) == first
    known[first[0]] = True
    assert plane.ask(loss, known) == first[1:]
    assert first == sorted(first, key=lambda cell: (cell[1], cell[0]))
    assert all(type(index) is int for cell in first for index in cell)
    with pytest.raises(ValueError, match="39 cells are still to be measured"):
        plane.estimate(loss, loss, known)


def test_what_is_not_known_is_not_looked_at():
    """A round follows from earlier rounds alone: further losses, known or not, change no choice."""
    loss = surface(SMOOTH["narrow basin"])
    known = np.zeros((41, 41), dtype=bool)
    plane = AdaptivePlane(AXIS, AXIS)
    for cell in plane.ask(loss, known):
        known[cell] = True
    wanted = plane.ask(loss, known)
    elsewhere = np.ones_like(known)
    elsewhere[known] = False
    assert AdaptivePlane(AXIS, AXIS).ask(np.where(elsewhere, np.nan, loss), known) == wanted
    also = known.copy()
    also[wanted[0]] = also[wanted[3]] = True
    assert set(AdaptivePlane(AXIS, AXIS).ask(loss, also)) == set(wanted) - {wanted[0], wanted[3]}


def test_scales_of_axes_and_loss_change_no_choice():
    """In units of 1 or of 1000, the same cells; powers of two, so that rounding is the same."""
    loss = surface(SMOOTH["narrow basin"])
    whole, found = measure(loss)
    known, stretched = measure(loss, 4 * AXIS, 0.5 * AXIS)
    np.testing.assert_array_equal(known, whole)
    np.testing.assert_array_equal(stretched.loss, found.loss)
    known, louder = measure(1024 * loss)
    np.testing.assert_array_equal(known, whole)
    np.testing.assert_allclose(louder.loss, 1024 * found.loss, rtol=1e-9)


@pytest.mark.parametrize("value", [2.3, 0.0, -2.3])
def test_a_constant_surface_needs_two_rounds(value):
    known, found = measure(np.full((1, 41, 41), value))
    assert known.sum() == 52
    np.testing.assert_allclose(found.loss, value, rtol=1e-9, atol=1e-12)
    assert found.error[0] < 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 41), (41, 1), (3, 3), (2, 300), (4, 100), (12, 13)])
def test_small_planes_and_lines_are_measured_whole(shape):
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape]
    known, found = measure(surface(SMOOTH["anisotropic"], *axes), *axes)
    assert known.all()
    assert "too small" in found.note
    assert not found.filled.any()
    assert found.error.tolist() == [0.0]


UNEVEN = np.concatenate([-np.geomspace(1, 1e-3, 20), [0.0], np.geomspace(1e-3, 1, 15)])


@pytest.mark.parametrize(
    ("alpha", "beta"),
    [
        (np.linspace(-1, 1, 40), np.linspace(-2, 2, 24)),
        (UNEVEN, np.linspace(-0.5, 1, 30)),
        (np.linspace(1, 3, 30), np.linspace(-9, -2, 33)),
        (np.linspace(-1, 1, 5), np.linspace(-1, 1, 60)),
        (np.linspace(-1, 1, 151), np.linspace(-1, 1, 20)),
    ],
    ids=["even counts", "uneven", "without the center", "narrow", "fine"],
)
def test_other_grids(alpha, beta):
    loss = surface(SMOOTH["anisotropic"], alpha, beta)
    known, found = measure(loss, alpha, beta)
    assert known.sum() <= 160
    assert np.percentile(relative(found, loss), 95) <= found.error[0] <= 0.03
    assert known[0, 0]
    assert known[-1, -1]
    assert known[np.abs(alpha).argmin(), np.abs(beta).argmin()]


def test_the_first_round_depends_on_the_grid_alone():
    plane, none = AdaptivePlane(AXIS, AXIS), np.zeros((41, 41), dtype=bool)
    assert len(plane.ask(np.full((1, 41, 41), np.nan), none)) == 40


def test_a_half_plane_that_diverged_is_bounded_not_chased():
    loss = surface(lambda a, b: np.where(a > 0.27, np.where(b > 0, np.inf, np.nan), np.exp(2 * a + b)))
    finite = np.isfinite(loss[0])
    known, found = measure(loss)
    assert known.sum() <= 120
    assert (known & ~finite).sum() <= 40  # of 615
    assert np.isnan(found.loss[0][~finite & ~known]).all()
    np.testing.assert_array_equal(found.loss[0][known], loss[0][known])  # NaN and infinity are measurements
    assert not (found.filled[0] & ~finite).any()
    assert (found.filled[0] | known)[finite].mean() > 0.95  # gaps are a narrow strip
    assert np.percentile(relative(found, loss), 95) <= found.error[0]
    bad = np.argwhere(known & ~finite)
    cells = np.argwhere(found.filled[0])
    assert np.abs(cells[:, None] - bad[None]).max(axis=-1).min() > 1  # no estimate touches one


@pytest.mark.parametrize("radius", [0.0, 0.1, 0.3])
def test_an_island_of_finite_losses(radius):
    loss = surface(lambda a, b: np.where(np.hypot(a, b) <= radius, 1 + a**2, np.nan))
    known, found = measure(loss)
    assert known.sum() <= 110
    assert not (found.filled[0] & np.isnan(loss[0])).any()
    assert found.filled.any() or "too few losses are finite" in found.note


def test_nothing_finite():
    known, found = measure(np.full((1, 41, 41), np.nan))
    assert known.sum() == 40
    assert not found.filled.any()
    assert "no cell is estimated" in found.note


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_a_rough_surface_is_measured_whole_and_says_so(noise):
    rng = np.random.default_rng(0)
    loss = surface(lambda a, b: (1 + a**2 + b**2) * np.exp(noise * rng.standard_normal(a.shape)))
    known, found = measure(loss)
    assert known.all()
    assert "too rough" in found.note
    assert "of 1681" in found.note
    np.testing.assert_array_equal(found.loss, loss)
    assert not found.filled.any()
    assert found.error.tolist() == [0.0]


def test_a_rough_surface_is_measured_whole_only_where_it_is_finite():
    rng = np.random.default_rng(0)
    loss = surface(lambda a, b: np.where(a > 0.27, np.nan, np.exp(0.5 * rng.standard_normal(a.shape))))
    known, found = measure(loss)
    assert "too rough" in found.note
    assert known[np.isfinite(loss[0])].all()
    assert known[np.isnan(loss[0])].mean() < 0.15
    np.testing.assert_array_equal(found.loss, loss)


def test_modes_share_their_cells():
    """What one mode needs is measured for all; each has its own error."""
    easy, hard = surface(SMOOTH["exponential"]), surface(SMOOTH["narrow basin"])
    both = np.concatenate([easy, hard])
    known, found = measure(both)
    alone, _ = measure(hard)
    assert known.sum() <= 1.3 * alone.sum()
    assert found.error[0] < found.error[1] <= 0.03
    for mode in (0, 1):
        errors = np.abs(found.loss[mode] - both[mode]) / both[mode]
        assert np.percentile(errors, 95) <= found.error[mode]


def test_a_mode_that_diverged_everywhere_leaves_the_other_alone():
    both = np.concatenate([surface(SMOOTH["narrow basin"]), np.full((1, 41, 41), np.nan)])
    known, found = measure(both)
    alone, expected = measure(both[:1])
    np.testing.assert_array_equal(known, alone)
    np.testing.assert_array_equal(found.loss[0], expected.loss[0])
    assert not found.filled[1].any()


def test_accuracy_may_be_missing():
    loss = surface(SMOOTH["exponential"])
    plane, known = AdaptivePlane(AXIS, AXIS), np.zeros((41, 41), dtype=bool)
    while cells := plane.ask(loss, known):
        known[tuple(np.array(cells).T)] = True
    found = plane.estimate(loss, np.full_like(loss, np.nan), known)
    assert np.isnan(found.accuracy).all()
    assert np.isfinite(found.loss).all()
