"""An evaluation on a page and as a picture: the same finished numbers, gaps for what is not there."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from landscape.figures import (
    class_table,
    confusion_table,
    evaluation,
    evaluation_notes,
    evaluation_section,
    evaluation_summary,
    evaluation_title,
    mistake_captions,
    mistake_table,
    write_evaluation_png,
    write_page,
)
from landscape.figures.data_evaluation import evaluation_figure
from landscape.figures.draw_matplotlib_evaluation import evaluation_image
from landscape.figures.gallery import data_uri
from landscape.records import Measurement
from landscape.records.evaluation import wilson

RATES = np.array([[50, 37.5, 12.5, 0], [0, 100, 0, 0], [np.nan] * 4])
COUNTS = np.array([[8, 6, 2, 0], [0, 4, 0, 0], [np.nan] * 4])


def numbers(rows):
    return np.array([[np.nan if v is None else v for v in row] for row in rows])


@pytest.mark.parametrize(("cells", "expected"), [("rates", RATES), ("counts", COUNTS)])
def test_both_renderers_draw_the_same_numbers(make_evaluation, cells, expected):
    record = make_evaluation()
    panel = evaluation_figure(record, cells=cells)
    np.testing.assert_array_equal(panel.z, expected)
    heat, *labels, bars = evaluation_section(record).views[(cells,)].data
    np.testing.assert_array_equal(numbers(heat["z"]), expected)  # rows are true classes
    image = evaluation_image([panel], title="a")
    matrix, side = image.axes[0], image.axes[-1]
    np.testing.assert_array_equal(matrix.images[0].get_array().filled(np.nan), expected)
    np.testing.assert_array_equal([bar.get_width() for bar in side.patches], [50, 100])
    np.testing.assert_array_equal(numbers([bars["x"]]), [[50, 100, np.nan]])
    drawn = {(x, y): t for trace in labels for x, y, t in zip(trace["x"], trace["y"], trace["text"], strict=True)}
    written = {text.get_position(): text.get_text() for text in matrix.texts if text.get_text()}
    assert drawn == written
    assert set(drawn) == {(0, 0), (1, 0), (2, 0), (1, 1)}
    assert drawn[1, 0] == ("38" if cells == "rates" else "6")


def test_intervals_of_the_bars_are_wilsons(make_evaluation):
    *_, bars = evaluation_section(make_evaluation()).views[("rates",)].data
    low, high = wilson([8, 4], [16, 4])
    np.testing.assert_allclose(np.array(bars["error_x"]["array"][:2]), 100 * high - [50, 100], atol=1e-9)
    np.testing.assert_allclose(np.array(bars["error_x"]["arrayminus"][:2]), [50, 100] - 100 * low, atol=1e-9)
    assert bars["error_x"]["array"][2] is None


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100"), (0.999, ">99"), (0.994, "99"), (0.5, "50"), (0.004, "<1"), (0.0, "")]
)
def test_a_share_in_a_cell_says_all_only_of_all(make_evaluation, share, text):
    hits = round(1000 * share)
    record = make_evaluation(
        true_class=["a", "b"], predicted_class=["a", "b"], confusion=[[hits, 1000 - hits], [0, 1]],
        unpredicted=[0, 0], class_loss=[1, 1], class_loss_sem=[1, 1], rank_count=[1, 0],
        mistake_predicted=[1, 1], mistake_true=[0, 0],
    )  # fmt: skip
    assert evaluation_figure(record).text[0][0] == text


def test_the_matrix_is_square_and_the_bars_share_its_rows(make_evaluation):
    view = evaluation_section(make_evaluation()).views[("rates",)]
    for layout in (view.layout, view.narrow):
        assert layout["xaxis"]["scaleanchor"] == "y"
        assert layout["yaxis"]["range"] == layout["yaxis2"]["range"] == [2.5, -0.5]  # the first class on top
        assert layout["yaxis"]["ticktext"] == ["cat", "dog", "bird"]
        assert layout["xaxis"]["ticktext"] == ["cat", "dog", "bird", "output 3"]
    assert view.layout["yaxis"]["domain"] == view.layout["yaxis2"]["domain"]
    assert view.narrow["yaxis2"]["domain"][1] < view.narrow["yaxis"]["domain"][0]  # one above the other
    image = evaluation_image([evaluation_figure(make_evaluation())], title="a")
    image.canvas.draw()
    boxes = [ax.get_window_extent() for ax in image.axes]
    np.testing.assert_allclose([boxes[1].y0, boxes[1].y1], [boxes[0].y0, boxes[0].y1], atol=1.5)  # pixels
    assert boxes[0].width / 4 == pytest.approx(boxes[0].height / 3, rel=1e-3)


def test_finding_table_and_captions_in_words(make_evaluation):
    record = make_evaluation()
    assert evaluation_title(record) == "Classification by vgg_bn · 20 CIFAR-10 test images"
    assert evaluation_summary(record) == (
        "12 of 20 images are classified right: accuracy 60 % (95 % interval 38.7 to 78.1 %). Loss 0.9 ± 0.2 "
        "(cross_entropy). Best class dog with 100 %, worst cat with 50 %, most often taken for dog (37.5 %)."
    )
    assert class_table(record).rows[0] == ("cat", "dog (37.5 %)", "16", "50 %", "28.0 to 72.0 %", "1 ± 0.25")
    assert class_table(record).rows[2] == ("bird", "–", "0", "–", "–", "–")
    assert class_table(record).rows[3][0] == "all classes"
    assert confusion_table(record).rows == (("cat", "dog", "6", "37.5 %"), ("cat", "bird", "2", "12.5 %"))
    assert mistake_captions(record) == ("true cat, said dog, 99.2 %", "true cat, said bird, 75 %")
    assert mistake_table(record).rows[0] == ("cat", "dog", "99.2 %", "17")
    for table in (class_table(record), confusion_table(record), mistake_table(record)):
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_what_is_missing_is_said(make_evaluation):
    record = make_evaluation(unpredicted=[3, 0, 0], overall=Measurement(np.nan, np.nan, 0.2, 23))
    notes = " ".join(evaluation_notes(record))
    assert "3 images gave an output of NaN" in notes
    assert "no image of bird" in notes
    assert "No top-5 accuracy: with 4 outputs" in notes
    assert "guessing among 3 classes" in notes
    assert "Top-5" not in evaluation_summary(record)
    assumed = make_evaluation(provenance={"assumed": ["a thing"]}, overall=Measurement(1.0, 0.1, 0.2, 20))
    assert evaluation_notes(assumed)[0] == "Assumed: a thing"
    assert "what was assumed may be wrong" in evaluation_notes(assumed)[1]


def test_outputs_of_mse_are_not_called_probabilities(make_evaluation):
    record = make_evaluation(recipe={"confidence": "output", "loss": "mse"}, mistake_confidence=[1.25, 0.5])
    assert mistake_captions(record)[0] == "true cat, said dog, output 1.25"
    assert "output itself" in mistake_table(record).note


def test_a_network_without_mistakes(make_evaluation, tmp_path):
    none = {name: [] for name in ("mistake_index", "mistake_true", "mistake_predicted", "mistake_confidence")}
    record = make_evaluation(
        confusion=[[16, 0, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0]], mistake_image=np.zeros((0, 3, 4, 3)), **none
    )
    section = evaluation_section(record)
    assert section.gallery is None
    assert confusion_table(record) is mistake_table(record) is None
    assert 'class="gallery"' not in write_page(tmp_path / "a.html", section, title="a").read_text()


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_embedded_pixel_by_pixel(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    kind, _, content = data_uri(pixels).partition(",")
    assert kind == "data:image/png;base64"
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    np.testing.assert_array_equal(read.reshape(pixels.shape), pixels)


def test_the_page_holds_mistakes_with_captions_and_escapes_names(make_evaluation, tmp_path):
    names = np.array(["<b>cat</b>", "d$o$g", "bird"])
    record = make_evaluation(true_class=names)
    text = write_page(tmp_path / "a.html", evaluation_section(record), title="a").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', text)) == 2
    assert "true &lt;b&gt;cat&lt;/b&gt;, said d$o$g, 99.2\u00a0%" in text
    assert "<b>cat" not in text
    assert write_evaluation_png(tmp_path / "a.png", record).read_bytes()[:4] == b"\x89PNG"


def test_many_classes_are_thinned_and_have_a_colour_bar(make_evaluation, tmp_path):
    n = 60
    names = np.array([f"class number {k} with a long name" for k in range(n)])
    counts = np.random.default_rng(0).integers(0, 5, (n, n)) + 90 * np.eye(n, dtype=int)
    flat = np.ones(n)
    record = make_evaluation(
        true_class=names, predicted_class=names, confusion=counts, unpredicted=0 * flat, class_loss=flat,
        class_loss_sem=flat, rank_count=flat,
    )  # fmt: skip
    view = evaluation_section(record).views[("rates",)]
    heat, bars = view.data  # no labels in cells
    assert heat["coloraxis"] == "coloraxis"
    assert view.layout["coloraxis"]["showscale"] is view.narrow["coloraxis"]["showscale"] is True
    assert len(bars["x"]) == n
    assert len(view.narrow["xaxis"]["tickvals"]) <= 22
    assert len(view.layout["yaxis"]["tickvals"]) <= 40
    assert view.layout["yaxis"]["ticktext"][0] == "class number 0 wi…"
    assert len(confusion_table(record).rows) == 10
    assert write_evaluation_png(tmp_path / "a.pdf", record).read_bytes()[:4] == b"%PDF"


@pytest.mark.parametrize("cells", ["rates", "counts"])
def test_one_call_gives_a_plotly_figure(make_evaluation, cells):
    drawn = evaluation(make_evaluation(), cells=cells)
    assert drawn.layout.title.text == evaluation_title(make_evaluation())
    assert drawn.data[0].type == "heatmap"
