"""Pages in a browser: drawn, quiet, offline, and switchable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from landscape.datasets.options import DataOptions
from landscape.figures import band_section, evaluation_section, smoothness_section, surface_section, write_page
from landscape.tasks.demo import demo
from landscape.tasks.sweep import sweep_settings
from landscape.tasks.train import train_network
from landscape.training import SweepConfig, TrainConfig

pytestmark = pytest.mark.browser
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 120_000  # ms; software rendering on a busy machine


def missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and in CI pages must be opened")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    executable = shutil.which("chromium")
    if executable is None:
        missing("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, path, *, fragment="", width=1280, height=900, script="") -> Iterator:
    """Open a page; at the end it must have been quiet and must have asked for files only."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(script)
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri() + fragment)
    page.wait_for_selector("html[data-ready=yes]", state="attached")
    yield page
    context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file://", "data:", "blob:"))] == []


def pixels(locator, path):
    locator.screenshot(path=path)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def choose(page, name, value):
    """Click the visible part of a switch, and wait until the figure is drawn anew."""
    figure = name.split("-")[0][1:]
    plot = f"#figure-{figure} .plot"
    before = int(page.get_attribute(plot, "data-drawn"))
    page.locator(f'input[name="{name}"][value="{value}"]').check(force=True)
    page.wait_for_function(f"document.querySelector('{plot}').dataset.drawn > {before}")


@pytest.fixture
def surface_page(make_surface, tmp_path):
    section = surface_section(make_surface(4, 9, 11))
    return write_page(tmp_path / "surface.html", section, title=section.title)


def test_surfaces_are_drawn_switched_and_remembered(browser, surface_page, tmp_path):
    with opened(browser, surface_page) as page:
        assert page.evaluate("!!document.createElement('canvas').getContext('webgl')")
        assert page.locator("#figure-1 canvas").count() >= 4
        picture = pixels(page.locator("#figure-1 .plot"), tmp_path / "log.png")
        colours = picture[..., 1] - picture[..., 0]  # viridis has no grey; paper and text do
        for rows, columns in ((0, 0), (0, 1), (1, 0), (1, 1)):
            height, width = colours.shape[0] // 2, colours.shape[1] // 2
            quarter = colours[rows * height : (rows + 1) * height, columns * width : (columns + 1) * width - 120]
            assert (np.abs(quarter) > 30).mean() > 0.02, f"nothing drawn in row {rows}, column {columns}"
        choose(page, "f1-scale", "linear")
        linear = pixels(page.locator("#figure-1 .plot"), tmp_path / "linear.png")
        assert (np.abs(linear - picture).max(axis=-1) > 30).mean() > 0.005
        assert page.evaluate("document.querySelector('.plot').data[0].z[10][8]") == 2.75
        choose(page, "f1-view", "contour")
        assert page.evaluate("document.querySelector('.plot').data[0].type") == "contour"
        assert "f1-scale=linear" in page.url
        assert "f1-view=contour" in page.url
        page.reload()
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        assert page.is_checked('input[name="f1-scale"][value="linear"]')
        assert page.evaluate("document.querySelector('.plot').data[0].type") == "contour"
        choose(page, "f1-scale", "log")
        np.testing.assert_allclose(
            page.evaluate("document.querySelector('.plot').data[0].z[10][8]"), np.log10(2.75), 1e-4
        )
        assert "f1-scale" not in page.url


def test_without_webgl_contours_come_first(browser, surface_page):
    refuse = (
        "const given = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "  return /webgl/.test(kind) ? null : given.call(this, kind, ...more);"
        "};"
    )
    with opened(browser, surface_page, script=refuse) as page:
        assert page.evaluate("document.querySelector('.plot').data[0].type") == "contour"
        assert page.is_checked('input[name="f1-view"][value="contour"]')
        choose(page, "f1-scale", "linear")
        assert "f1-view" not in page.url


def test_cameras_are_linked_and_remembered(browser, surface_page):
    with opened(browser, surface_page) as page:
        page.evaluate(
            "Plotly.relayout(document.querySelector('.plot'), {'scene2.camera': {eye: {x: 0.5, y: 2, z: 0.25}}})"
        )
        page.wait_for_function("document.querySelector('.plot')._fullLayout.scene4.camera.eye.y === 2")
        scenes = "['scene', 'scene2', 'scene3', 'scene4']"
        eyes = f"{scenes}.map((s) => document.querySelector('.plot')._fullLayout[s].camera.eye)"
        assert page.evaluate(eyes) == [{"x": 0.5, "y": 2, "z": 0.25}] * 4
        page.wait_for_function("location.hash.includes('f1-camera=0.50%2C2.00%2C0.25')")
        page.reload()
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        assert page.evaluate(eyes) == [{"x": 0.5, "y": 2, "z": 0.25}] * 4


def test_dragging_one_scene_turns_the_others(browser, surface_page):
    with opened(browser, surface_page) as page:
        box = page.locator("#figure-1 .plot").bounding_box()
        eye = "document.querySelector('.plot')._fullLayout.scene4.camera.eye.x"
        before = page.evaluate(eye)
        page.mouse.move(box["x"] + 250, box["y"] + 170)
        page.mouse.down()
        for step in range(1, 7):  # a drag is followed frame by frame
            page.mouse.move(box["x"] + 250 + 15 * step, box["y"] + 170 + 4 * step)
            page.wait_for_timeout(150)
        page.mouse.up()
        page.wait_for_function(f"Math.abs({eye} - {before}) > 0.05")


def test_bands_are_drawn_and_switched(browser, make_bands, tmp_path):
    bands = make_bands(("vgg", "vgg_bn", "vgg_light", "vgg_light_bn"), seeds=2)
    path = write_page(tmp_path / "bands.html", band_section(bands), title="Bands")
    with opened(browser, path) as page:
        picture = pixels(page.locator("#figure-1 .plot"), tmp_path / "bands.png")
        for red, green, blue in ((224, 112, 26), (43, 131, 198)):  # an edge in each of the two colours
            assert (np.abs(picture - [red, green, blue]).max(axis=-1) < 25).sum() > 100
        assert page.evaluate("document.querySelector('.plot').layout.xaxis.title.text") == "training step"
        choose(page, "f1-show", "val_accuracy")
        assert page.evaluate("document.querySelector('.plot').layout.xaxis.title.text") == "epoch"
        choose(page, "f1-show", "raw")
        traces = page.evaluate("document.querySelector('.plot').data.length")
        choose(page, "f1-runs", "show")
        assert page.evaluate("document.querySelector('.plot').data.length") == traces + 12
        choose(page, "f1-scale", "log")
        assert page.evaluate("document.querySelector('.plot')._fullLayout.yaxis.type") == "log"
        choose(page, "f1-seed", "1")
        page.reload()
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        assert page.is_checked('input[name="f1-seed"][value="1"]')


def test_an_evaluation_is_drawn_switched_and_remembered_with_its_mistakes(browser, make_evaluation, tmp_path):
    path = write_page(tmp_path / "e.html", evaluation_section(make_evaluation()), title="Classification")
    with opened(browser, path) as page:
        picture = pixels(page.locator("#figure-1 .plot"), tmp_path / "rates.png")
        assert (np.abs(picture - [43, 131, 198]).max(axis=-1) < 25).sum() > 500  # the diagonal in the full colour
        assert page.evaluate("document.querySelector('.plot').data[0].z[0]") == [50, 37.5, 12.5, 0]
        choose(page, "f1-cells", "counts")
        assert page.evaluate("document.querySelector('.plot').data[0].z[0]") == [8, 6, 2, 0]
        assert page.evaluate("document.querySelector('.plot').data[0].z[2][0]") is None
        assert "f1-cells=counts" in page.url
        page.reload()
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        assert page.is_checked('input[name="f1-cells"][value="counts"]')
        sizes = "[...document.querySelectorAll('.gallery img')].map((i) => [i.naturalWidth, i.naturalHeight])"
        assert page.evaluate(sizes) == [[4, 3], [4, 3]]
        rows = "['yaxis', 'yaxis2'].map((a) => layout[a]).map((a) => [a._offset, a._length])"
        rows = f"((layout) => {rows})(document.querySelector('.plot')._fullLayout)"
        matrix, bars = page.evaluate(rows)
        assert matrix == bars  # a bar stands in the row of its class
        cell = "((l) => [l.xaxis._length / 4, l.yaxis._length / 3])(document.querySelector('.plot')._fullLayout)"
        width, height = page.evaluate(cell)
        assert abs(width / height - 1) < 0.02


def test_an_evaluation_fits_a_narrow_window(browser, make_evaluation, tmp_path):
    path = write_page(tmp_path / "e.html", evaluation_section(make_evaluation()), title="Classification")
    with opened(browser, path, width=400, height=800) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        cell = "((l) => [l.xaxis._length / 4, l.yaxis._length / 3])(document.querySelector('.plot')._fullLayout)"
        width, height = page.evaluate(cell)
        assert abs(width / height - 1) < 0.05
        assert width > 40
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_probes_are_drawn_and_switched(browser, pair, tmp_path):
    path = write_page(tmp_path / "smoothness.html", smoothness_section(pair(seeds=(0, 1))), title="Probes")
    with opened(browser, path) as page:
        picture = pixels(page.locator("#figure-1 .plot"), tmp_path / "probes.png")
        for red, green, blue in ((224, 112, 26), (43, 131, 198)):  # an edge in each of the two colours
            assert (np.abs(picture - [red, green, blue]).max(axis=-1) < 25).sum() > 100
        axis = "document.querySelector('.plot')._fullLayout"
        assert page.evaluate(f"[{axis}.yaxis.type, {axis}.yaxis2.type]") == ["log", "linear"]
        dashed = "document.querySelector('.plot').data.filter((t) => t.line && t.line.dash === 'dash').length"
        assert page.evaluate(dashed) == 12
        choose(page, "f1-published", "hide")
        assert page.evaluate(dashed) == 0
        choose(page, "f1-axes", "log")
        assert page.evaluate(f"[{axis}.yaxis.type, {axis}.yaxis2.type]") == ["log", "log"]
        choose(page, "f1-seed", "1")
        choose(page, "f1-layer", "layer 10")
        shift = "document.querySelector('.plot').data.find((t) => t.yaxis === 'y4' && t.mode === 'lines').y[0]"
        assert page.evaluate(shift) == 4  # layer 10 at seed 1
        page.reload()
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        assert page.is_checked('input[name="f1-layer"][value="layer 10"]')


def test_switches_work_from_the_keyboard(browser, surface_page):
    with opened(browser, surface_page) as page:
        page.focus('input[name="f1-view"][value="surface"]')
        page.keyboard.press("ArrowRight")
        page.wait_for_function("document.querySelector('.plot').data[0].type === 'contour'")
        page.focus("summary:has-text('How this was made')")
        page.keyboard.press("Enter")
        assert page.locator(".facts pre").is_visible()


def test_a_narrow_window_needs_no_sideways_scrolling(browser, make_surface, make_bands, pair, tmp_path):
    parts = [surface_section(make_surface(2)), band_section(make_bands()), smoothness_section(pair(seeds=(0, 1)))]
    path = write_page(tmp_path / "a.html", parts, title="A title of usual length, with several words")
    with opened(browser, path, fragment="#f1-view=contour", width=400, height=800) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        domains = page.evaluate("['xaxis', 'xaxis2'].map((a) => document.querySelector('.plot').layout[a].domain[0])")
        assert domains == [0, 0]  # one above the other
        assert page.evaluate(
            "[...document.querySelectorAll('.plot')].every((p) => p._fullLayout.width === p.clientWidth)"
        )
        assert not any(bar.is_visible() for bar in page.locator(".modebar-container").all())  # it covers titles there
        rows = page.evaluate(
            "[...document.querySelectorAll('fieldset > div')].map((div) => [div.getBoundingClientRect().right - 1, "
            "...[...div.querySelectorAll('label')].map((label) => label.getBoundingClientRect().right)])"
        )
        assert all(abs(max(ends) - right) <= 1 and abs(ends[-1] - right) <= 1 for right, *ends in rows), "no ragged row"
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_page_without_its_script_says_so(browser, surface_page):
    (surface_page.parent / "plotly.min.js").unlink()
    context = browser.new_context()
    page = context.new_page()
    page.goto(surface_page.as_uri())
    page.wait_for_selector("#missing", state="visible")
    assert "plotly.min.js is not beside this page" in page.inner_text("#missing")
    assert page.locator("table").first.is_visible()
    context.close()


def test_a_standalone_page_draws_odd_surfaces_alone(browser, make_surface, tmp_path):
    hole = make_surface(1)
    loss = hole.loss.copy()
    loss[0, 1, 1], loss[0, 3, 3] = np.nan, np.inf
    nothing = np.full((1, 5, 7), np.nan)
    records = [make_surface(1, loss=loss), make_surface(1, loss=nothing), make_surface(1, n_beta=1)]
    parts = [surface_section(record) for record in records]
    path = write_page(tmp_path / "a.html", parts, title="odd", standalone=True)
    with opened(browser, path) as page:
        drawn = page.evaluate("[...document.querySelectorAll('.plot')].map((plot) => plot.dataset.drawn)")
        assert drawn == ["1", "1", "1"]


def test_pages_of_a_real_demo_are_drawn(browser, tmp_path):
    """What the commands write: trained, measured and drawn here, nothing synthetic."""
    written = demo(tmp_path, epochs=1, points=5, pairs=1, limit=200)
    for path, figures in ((written.page, 2), (written.bands.page, 1), (tmp_path / "vgg_light_bn-frozen.html", 1)):
        with opened(browser, path) as page:
            plots = page.locator(".plot")
            assert plots.count() == figures
            for number in range(figures):
                picture = pixels(plots.nth(number), tmp_path / "plot.png")
                coloured = np.abs(picture - picture.mean(axis=-1, keepdims=True)).max(axis=-1) > 15
                assert coloured.mean() > 0.005, f"figure {number + 1} of {path.name} has no colour"


def test_pages_of_a_real_training_and_a_real_sweep_are_drawn_and_fit_a_narrow_window(browser, tmp_path):
    images = DataOptions("fashion_mnist_mini", limit=60)
    base = TrainConfig(model="net", epochs=2, batch_size=30, data=images, device="cpu", out=tmp_path)
    trained, drawn = train_network(base).page, "document.querySelectorAll('.plot {}').length"
    grid = {"lr": [1e-3, 1e-2], "batch_size": [20, 30]}
    swept = sweep_settings(SweepConfig(base, grid, seeds=(0, 1))).page
    with opened(browser, trained) as page:
        assert page.evaluate("document.querySelector('.plot')._fullLayout._subplots.cartesian") == ["xy", "x2y2"]
        assert page.evaluate(drawn.format(".scatterlayer .trace")) == 7  # loss, its means, validation; twice the best
        assert page.evaluate(drawn.format(".xaxislayer-above text, .plot .yaxislayer-above text")) > 8
        choose(page, "f1-scale", "log")
        axes = "['yaxis', 'yaxis2'].map((a) => document.querySelector('.plot')._fullLayout[a].type)"
        assert page.evaluate(axes) == ["log", "linear"]
    with opened(browser, swept) as page:
        assert page.evaluate(drawn.format(".barlayer .point path")) == 4
        assert page.evaluate(drawn.format(".scatterlayer .point")) == 8  # two seeds
        choose(page, "f1-figure", "axes")
        assert page.evaluate(drawn.format(".parcoords .y-axis")) == 3  # learning rate, batch size, accuracy
    for path, fragment in ((trained, ""), (swept, ""), (swept, "#f1-figure=axes")):
        with opened(browser, path, fragment=fragment, width=400, height=800) as page:
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
