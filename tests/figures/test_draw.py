"""Both renderers draw the numbers of the data modules, and survive what measuring can bring."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from landscape.errors import StorageError
from landscape.figures import band, band_section, surface, surface_section, write_band_png, write_surface_png
from landscape.records import Grid, LossBand, Measurement

PNG = b"\x89PNG\r\n\x1a\n"


def matrix(trace):
    return np.array([[np.nan if v is None else v for v in row] for row in trace["z"]])


def of_type(view, kind):
    return [trace for trace in view.data if trace["type"] == kind]


@pytest.mark.parametrize(("view", "kind"), [("surface", "surface"), ("contour", "contour")])
def test_plotly_draws_the_measured_numbers(make_surface, view, kind):
    """Plotly takes rows as y: z[i_beta][i_alpha]."""
    record = make_surface()
    views = surface_section(record).views
    for scale, expected in (("linear", record.loss), ("log", np.log10(record.loss))):
        traces = of_type(views[scale, view, "all"], kind)
        assert len(traces) == 2
        for pair, trace in enumerate(traces):
            np.testing.assert_array_equal(matrix(trace), expected[pair].T)
            assert (trace["x"], trace["y"]) == (record.grid.alpha.tolist(), record.grid.beta.tolist())
            assert trace["text"][6][0].startswith(("2.75 ± 0.25", "3.75 ± 0.25"))
    assert len(of_type(views["log", view, "2"], kind)) == 1


def test_all_panels_share_one_scale_of_colours_and_heights(make_surface):
    record = make_surface(4)
    view = surface_section(record).views["linear", "surface", "all"]
    assert (view.layout["coloraxis"]["cmin"], view.layout["coloraxis"]["cmax"]) == (1.0, 5.75)
    heights = [view.layout[name]["zaxis"]["range"] for name in ("scene", "scene2", "scene3", "scene4")]
    assert heights == [heights[0]] * 4
    assert [trace["coloraxis"] for trace in of_type(view, "surface")] == ["coloraxis"] * 4
    corners = {tuple(view.layout[f"scene{i}"]["domain"]["x"]) for i in ("", 2)}
    assert len(corners) == 2  # two by two
    narrow = {tuple(view.narrow[f"scene{i}"]["domain"]["x"]) for i in ("", 2, 3, 4)}
    assert narrow == {(0.0, 1.0)}  # one column


def test_aspect_follows_the_grid(make_surface):
    """Alpha spans 2 and beta spans 1: the drawing does too."""
    views = surface_section(make_surface(1)).views
    ratio = views["log", "surface"].layout["scene"]["aspectratio"]
    assert ratio["x"] == 2 * ratio["y"]
    assert views["log", "contour"].layout["yaxis"]["scaleanchor"] == "x"


def test_center_and_lowest_cell_are_marked_at_their_losses(make_surface):
    record = make_surface(1, n_alpha=4, center=Measurement(0.5, 0.25, 0.75, 8))
    traces = {t["name"]: t for t in surface_section(record).views["linear", "surface"].data if "name" in t}
    assert (traces["center"]["x"][0], traces["center"]["y"][0], traces["center"]["z"][0]) == (0.0, 0.0, 0.5)
    lowest = traces["lowest cell"]
    assert (lowest["x"][0], lowest["y"][0], lowest["z"][0]) == (
        record.grid.alpha[1],
        0.0,
        1 + record.grid.alpha[1] ** 2,
    )


def test_gaps_are_null_and_measured_cells_are_marked_where_others_are_not(make_surface):
    record = make_surface(1)
    loss, measured = record.loss.copy(), record.measured.copy()
    loss[0, 4, 0], measured[0, 3, 5] = np.inf, False
    section = surface_section(dataclasses.replace(record, loss=loss, measured=measured))
    for view in ("surface", "contour"):
        drawing = section.views["log", view]
        (trace,) = of_type(drawing, view)
        assert trace["z"][0][4] is None
        assert sum(v is None for row in trace["z"] for v in row) == 1
        (marked,) = [t for t in drawing.data if t.get("name") == "measured cell"]
        dots = set(zip(marked["x"], marked["y"], strict=True))
        assert len(dots) == 33
        assert not dots & {(1.0, -0.5), (record.grid.alpha[3], record.grid.beta[5])}
        assert "1 gap" in drawing.layout["annotations"][0]["text"]
    dense = surface_section(record).views["log", "contour"]
    assert not [t for t in dense.data if t.get("name") == "measured cell"]


def odd(make_surface, kind):
    shape = (1, 5, 7)
    if kind == "line":
        return make_surface(1, n_beta=1)
    if kind == "beta line":
        return make_surface(1, n_alpha=1, grid=Grid([0.0], np.linspace(-1, 1, 7)))
    if kind == "point":
        return make_surface(1, grid=Grid([0.0], [0.0]))
    if kind == "two":
        return make_surface(1, n_alpha=2, n_beta=2)
    values = {"flat": 1.5, "nan": np.nan, "inf": np.inf, "zero": 0.0, "negative": -1.0, "huge": 1e300}
    center = Measurement(values[kind], 0.1, 0.5, 8)
    return make_surface(1, loss=np.full(shape, values[kind]), center=center)


KINDS = ["line", "beta line", "point", "two", "flat", "nan", "inf", "zero", "negative", "huge"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_odd_surfaces_are_drawn_by_both_renderers(make_surface, tmp_path, kind, scale):
    record = odd(make_surface, kind)
    for view in ("surface", "contour"):
        figure = surface(record, scale=scale, view=view)
        assert "pair 1" in figure.layout.annotations[0].text
    path = write_surface_png(tmp_path / "a.png", record, scale=scale)
    assert path.read_bytes().startswith(PNG)


def test_a_line_is_a_curve_with_error_bars(make_surface):
    section = surface_section(make_surface(1, n_beta=1))
    assert [control.name for control in section.controls] == ["scale"]  # no third dimension to switch on
    curve = section.views["log",].data[0]
    np.testing.assert_array_equal(curve["y"], 1 + np.linspace(-1, 1, 5) ** 2)
    assert curve["error_y"]["array"] == [0.25] * 5
    assert section.views["log",].layout["yaxis"]["type"] == "log"


@pytest.mark.parametrize("pairs", [1, 2, 3, 4, 5, 8, 9])
def test_any_number_of_pairs_has_its_place(make_surface, pairs):
    section = surface_section(make_surface(pairs))
    controls = {control.name: control.options for control in section.controls}
    assert ("pair" in controls) == (pairs > 1)
    view = section.views[("log", "surface", "all") if pairs > 1 else ("log", "surface")]
    places = [(d["x"][0], d["y"][1]) for d in (view.layout[f"scene{i}"]["domain"] for i in ["", *range(2, pairs + 1)])]
    assert len(set(places)) == pairs


def test_more_scenes_than_a_browser_holds_are_shown_pair_by_pair(make_surface):
    one = make_surface(7)
    two = dataclasses.replace(one, recipe={**one.recipe, "bn": "batch"})
    section = surface_section([one, two])
    (control,) = [control for control in section.controls if control.name == "pair"]
    assert [value for value, _ in control.options] == list("1234567")
    assert len(of_type(section.views["log", "surface", "1"], "surface")) == 2


def test_band_drawing_holds_the_edges_in_two_colours(make_bands):
    section = band_section(make_bands())
    drawing = section.views["raw", "linear", "hide"]
    edges = [t for t in drawing.data if "fill" not in t]
    assert [t["y"][0] for t in edges] == [1.0, 3.0, 2.0, 6.0]
    colors = [t["line"]["color"] for t in edges]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert drawing.layout["xaxis"]["title"]["text"] == "training step"
    assert drawing.layout["yaxis"]["title"]["text"] == "cross-entropy [nats]"
    fills = [t for t in drawing.data if t.get("fill") == "toself"]
    assert [min(v for v in t["y"] if v is not None) for t in fills] == [1.0, 2.0]
    assert all(0.2 <= float(t["fillcolor"].rsplit(",", 1)[1][:-1]) <= 0.3 for t in fills)
    shown = section.views["raw", "log", "show"]
    assert len(shown.data) == len(drawing.data) + 6
    assert shown.layout["yaxis"]["type"] == "log"
    assert section.views["val_accuracy", "log", "hide"].layout["yaxis"]["type"] == "linear"


def test_flagged_runs_are_dashed_and_named(make_bands):
    bands = make_bands()
    collapsed = bands.collapsed.copy()
    collapsed[0, 0, 2] = True
    section = band_section(dataclasses.replace(bands, collapsed=collapsed))
    dashed = [t for t in section.views["raw", "linear", "hide", "all"].data if t.get("line", {}).get("dash") == "dash"]
    assert [t["name"] for t in dashed] == ["vgg at 0.003, collapsed"]


@pytest.mark.parametrize("show", ["mean", "raw", "val_loss", "val_accuracy"])
def test_bands_are_written_as_images(make_bands, tmp_path, show):
    names = ("vgg", "vgg_bn", "vgg_dropout", "vgg_light", "vgg_light_bn")
    path = write_band_png(tmp_path / "new" / "bands.png", make_bands(names), show=show)
    assert path.read_bytes().startswith(PNG)
    assert len(band(make_bands(names), show=show).layout.annotations) == 3


def test_one_band_can_be_drawn_alone(tmp_path):
    alone = LossBand(np.arange(30), np.random.default_rng(0).random((3, 30)), ("a", "b", "c"), "step_size")
    assert band(alone, show="raw").data[2].y[0] == alone.high[0]
    assert write_band_png(tmp_path / "a.svg", alone).read_text().startswith("<?xml")


def test_an_image_that_cannot_be_written_is_an_error_with_its_path(make_surface, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write .*a\.png"):
        write_surface_png(tmp_path / "file" / "a.png", make_surface(1))


def test_figures_need_no_torch_and_no_global_matplotlib_state():
    code = (
        "import sys, landscape.figures; print([m for m in ('torch', 'scipy', 'matplotlib.pyplot') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
