"""The smoothness figure shows the record's measures exactly, and published curves where they belong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.figures.data import WITH_BN, WITHOUT_BN
from landscape.figures.data_smoothness import trace_panels
from landscape.figures.draw_matplotlib_smoothness import traces_image
from landscape.figures.draw_plotly_smoothness import draw_traces
from landscape.figures.networks import networks, protocol_differences
from landscape.smoothness.measures import gradient_predictiveness, gradient_range, loss_variation
from landscape.smoothness.published import published


def panel(panels, quantity):
    return next(p for p in panels if p.quantity == quantity)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_is_drawn_as_the_record_measures_it(pair, seed):
    traces = pair(seeds=(0, 1))
    panels = trace_panels(traces, seed=seed)
    chosen = [t for t in traces if t.recipe["seed"] == seed]
    for k, own in enumerate(chosen):
        loss, change = (panel(panels, q).networks[k] for q in ("loss", "predictiveness"))
        np.testing.assert_array_equal(loss.low.x, own.step)
        np.testing.assert_array_equal(loss.low.y, own.loss.min(axis=1))
        np.testing.assert_array_equal(loss.high.y - loss.low.y, loss_variation(own))
        np.testing.assert_array_equal(change.high.y, gradient_predictiveness(own))
        np.testing.assert_array_equal(change.high.y - change.low.y, gradient_range(own))
        np.testing.assert_array_equal(panel(panels, "beta_smoothness").networks[k].low.y, own.beta_smoothness)
        np.testing.assert_array_equal(panel(panels, "covariate_shift").networks[k].low.y, own.covariate_shift[:, 0])
        np.testing.assert_array_equal(panel(panels, "accuracy").networks[k].low.y, own.accuracy)
        assert loss.faint is None


def test_several_seeds_are_drawn_as_mean_and_extremes_over_their_common_steps(trace):
    short = trace(seed=2, steps=40)
    panels = trace_panels([trace(seed=0), trace(seed=1), short])
    loss = panel(panels, "loss").networks[0]
    np.testing.assert_array_equal(loss.low.x, short.step)
    np.testing.assert_allclose(loss.low.y, 1 + 1 / 8, rtol=1e-15)  # seeds differ by an eighth
    np.testing.assert_allclose(loss.high.y, 5 + 1 / 8, rtol=1e-15)
    np.testing.assert_array_equal(loss.faint[0].y, np.full(40, 1.0))
    np.testing.assert_array_equal(loss.faint[1].y, np.full(40, 5.25))
    shift = panel(panels, "covariate_shift").networks[0]
    np.testing.assert_array_equal(shift.low.y, np.full(40, 2.0))  # seeds: 1, 2, 3
    assert loss.seeds == (0, 1, 2)


def test_layers_are_chosen_by_position_where_modules_have_other_names(pair, trace):
    without = trace()
    with_bn = dataclasses.replace(trace("vgg_bn"), layer=np.array(["features.8", "features.22"], dtype=np.str_))
    shown = panel(trace_panels([without, with_bn], layer="layer 10"), "covariate_shift")
    assert shown.title.endswith("layer 10")
    assert [curves.low.y[0] for curves in shown.networks] == [2.0, 2.0]
    none = [dataclasses.replace(t, recipe=dict(t.recipe)) for t in pair(layers=())]
    assert not [p for p in trace_panels(none) if p.quantity.startswith("covariate")]


def test_saturated_probes_are_marked_and_the_level_is_drawn(trace):
    beta = panel(trace_panels([trace()]), "beta_smoothness")
    assert beta.levels == (20.0,)  # 1 / (0.1 / 2)
    marks = beta.networks[0].saturated
    np.testing.assert_array_equal(marks.x, trace().step[100:])
    np.testing.assert_allclose(marks.y, 20)


def test_a_probe_that_is_not_finite_is_a_gap_and_nothing_else_moves(trace):
    loss = trace().loss.copy()
    loss[7, 3] = np.inf
    loss[9, 0] = np.nan
    low, high = panel(trace_panels([trace(values={"loss": loss})]), "loss").networks[0].edges
    for edge, value in ((low, 1.0), (high, 5.0)):
        assert np.flatnonzero(np.isnan(edge.y)).tolist() == [7, 9]
        np.testing.assert_array_equal(np.delete(edge.y, [7, 9]), value)


def test_axes_are_those_of_the_paper_unless_asked_otherwise(pair, trace):
    scales = {p.quantity: p.scale for p in trace_panels(pair())}
    assert scales.pop("loss") == "log"
    assert set(scales.values()) == {"linear"}
    logs = {p.quantity: p.scale for p in trace_panels(pair(), axes="log")}
    assert {q for q, scale in logs.items() if scale == "linear"} == {"covariate_cosine", "accuracy"}
    assert {p.scale for p in trace_panels(pair(), axes="linear")} == {"linear"}
    deep = {p.quantity: p.scale for p in trace_panels([trace("dln"), trace("dln_bn")])}
    assert deep["predictiveness"] == deep["beta_smoothness"] == "log"


def test_a_few_large_values_do_not_flatten_a_linear_axis(trace):
    distance = trace().gradient_distance.copy()
    distance[3] = 1e6
    shown = panel(trace_panels([trace(values={"gradient_distance": distance})]), "predictiveness")
    assert 3000 < shown.end < 10_000
    assert "largest 1e6" in shown.note
    assert shown.networks[0].high.y[3] == 1e6, "the value stays in the data"
    assert panel(trace_panels([trace()]), "predictiveness").end is None


DEVIATIONS = {
    "recipe": {"optimizer": "momentum"},
    "rate": 0.05,
    "data": {"dataset": "fashion_mnist_mini"},
}


def test_published_curves_belong_to_the_papers_protocol_alone(pair):
    assert [net.counterpart for net in networks(pair())] == ["without_bn", "with_bn"]
    shown = trace_panels(pair(), overlay=True)
    for quantity in ("loss", "predictiveness", "beta_smoothness", "accuracy"):
        lines = panel(shown, quantity).published
        for line, with_bn in zip(lines, (False, True), strict=True):
            curve = published().curve(quantity, with_bn=with_bn).until(14_900)
            np.testing.assert_array_equal(line.low.x, curve.step)
            np.testing.assert_array_equal(line.low.y, curve.low)
            np.testing.assert_array_equal(line.edges[-1].y, curve.high)
    assert not any(p.published for p in shown if p.quantity.startswith("covariate"))
    assert not any(p.published for p in trace_panels(pair()))


@pytest.mark.parametrize(("name", "value"), DEVIATIONS.items())
def test_no_published_curve_beside_another_protocol(trace, name, value):
    other = [trace(model, **{name: value}) for model in ("vgg", "vgg_bn")]
    assert len(protocol_differences(other[0])) in {1, 2}  # another rate has other step sizes
    assert not any(p.published for p in trace_panels(other, overlay=True))


def test_what_keeps_a_run_from_the_papers_protocol(trace):
    assert protocol_differences(trace()) == ()
    assert protocol_differences(trace(data={"limit": 2000})) == ("2,000 images instead of all",)
    assert protocol_differences(trace(recipe={"batch_size": 64})) == ("batch size 64 instead of 128",)
    assert protocol_differences(trace("vgg_light_bn")) == ("network vgg_light_bn",)
    assert protocol_differences(trace(recipe={"augment": "flip"})) == ("augmentation flip",)


PROBE = {"bn": "batch", "dropout": "off"}


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("recipe", "loss", "mse", "loss mse instead of cross_entropy"),
        ("recipe", "loss", "label_smoothing:0.1", "loss label_smoothing:0.1 instead of cross_entropy"),
        ("recipe", "weight_decay", 0.1, "weight decay 0.1 instead of 0"),
        ("recipe", "scheduler", "onecycle", "scheduler onecycle"),
        ("recipe", "grad_clip", "norm:1", "gradient clipping norm:1"),
        ("recipe", "model_options", {"init": "he"}, "initialisation he instead of xavier"),
        ("recipe", "model_options", {}, "initialisation not recorded instead of xavier"),
        (
            "recipe",
            "model_options",
            {"init": "xavier", "bn_placement": "conv+fc"},
            "BatchNorm placement conv+fc instead of conv",
        ),
        ("recipe", "probe", PROBE | {"bn": "frozen"}, "probe's bn frozen instead of batch"),
        ("recipe", "probe", PROBE | {"dropout": "on"}, "probe's dropout on instead of off"),
        ("data", "split", "test", "split test instead of train"),
        ("data", "image_size", 16, "image size 16 instead of 32"),
        ("data", "channels", 1, "channels 1 instead of 3"),
    ],
)
def test_each_difference_keeps_the_published_curves_away_and_is_named(trace, part, name, value, said):
    other = [trace(model, **{part: {name: value}}) for model in ("vgg", "vgg_bn")]
    assert protocol_differences(other[0]) == (said,)
    assert not any(p.published for p in trace_panels(other, overlay=True))


def test_precision_and_a_share_held_out_keep_no_curve_away(trace):
    assert protocol_differences(trace(recipe={"precision": "bf16", "validation": 0.1})) == ()


def test_runs_that_differ_in_schedule_alone_are_two_networks(trace):
    assert len(networks([trace(), trace(recipe={"scheduler": "onecycle"})])) == 2


def test_networks_have_names_and_colours_of_their_own(trace):
    models = ("vgg_l1", "vgg_bn", "vgg", "vgg_noisy_bn", "vgg_light_bn")
    there = networks([trace(model) for model in models])
    assert [net.name for net in there] == ["vgg", "vgg_l1", "vgg_bn", "vgg_noisy_bn", "vgg_light_bn"]
    colours = {net.name: net.color for net in there}
    assert (colours["vgg"], colours["vgg_bn"]) == (WITHOUT_BN, WITH_BN)
    assert len(set(colours.values())) == len(models)
    rates = networks([trace(), trace(rate=0.01)])
    assert [net.name for net in rates] == [
        "vgg, learning rate 0.1, η from 0.05 to 0.4",
        "vgg, learning rate 0.01, η from 0.005 to 0.04",
    ]


def test_nothing_and_one_run_twice_are_refused(trace):
    with pytest.raises(UsageError, match="no trace"):
        trace_panels([])
    with pytest.raises(UsageError, match="vgg at seed 3 is there twice"):
        trace_panels([trace(seed=3), trace(seed=3)])


def test_both_renderers_draw_the_same_numbers(pair):
    panels = trace_panels(pair(seeds=(0, 1)), overlay=True)
    drawing = draw_traces(panels)
    axes = traces_image(panels, title="t").axes
    assert len(panels) == len(axes) == 6
    for i, prepared in enumerate(panels):
        number = "" if i == 0 else str(i + 1)
        there = [t for t in drawing.data if t["yaxis"] == f"y{number}" and t["mode"] != "markers"]
        solid = [t for t in there if t["line"]["width"] == 1.6]
        lines = [line for line in axes[i].lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]
        expected = [edge for curves in prepared.networks for edge in curves.edges]
        for edge, line, plotly in zip(expected, lines, solid, strict=True):
            np.testing.assert_array_equal(edge.y, line.get_ydata())
            np.testing.assert_array_equal(edge.y, np.array(plotly["y"], dtype=float))
        dashed = [t for t in there if t["line"].get("dash") == "dash"]
        assert len(dashed) == sum(len(overlay.edges) for overlay in prepared.published)
        assert drawing.layout[f"yaxis{number}"]["type"] == axes[i].get_yscale() == prepared.scale


def test_a_logarithmic_axis_leaves_out_what_it_has_no_place_for(trace):
    loss = trace().loss.copy()
    loss[4, 0] = 0.0
    panels = trace_panels([trace(values={"loss": loss})])
    line = next(t for t in draw_traces(panels).data if t.get("name") == "vgg")
    assert line["y"][4] is None
    assert panel(panels, "loss").networks[0].low.y[4] == 0.0


def test_ticks_stay_readable_over_many_decades(trace):
    few, many = (trace(values={"loss": np.tile(10.0 ** np.array([0, 0.1, 0.2, top]), (150, 1))}) for top in (1, 12))
    axes = [draw_traces(trace_panels([t])).layout["yaxis"] for t in (few, many)]
    assert [axis["dtick"] for axis in axes] == ["D2", 2]
