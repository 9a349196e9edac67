"""Pages: escaped, self-contained, small, and written whole."""

from __future__ import annotations

import json
import math
import os
import re

import numpy as np
import pytest
from plotly.offline import get_plotlyjs_version

from landscape.errors import StorageError, UsageError
from landscape.figures import band, band_section, surface_section, write_page
from landscape.figures.page import PLOTLY, Store, rounded, script_json


def content(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.S)[1])


def test_page_holds_every_view_under_the_names_of_its_switches(make_surface, tmp_path):
    section = surface_section(make_surface())
    page = content(write_page(tmp_path / "a.html", section, title=section.title))
    (figure,) = page["figures"]
    assert [(c["name"], c["values"]) for c in figure["controls"]] == [
        ("scale", ["log", "linear"]),
        ("view", ["surface", "contour"]),
        ("pair", ["all", "1", "2"]),
    ]
    assert len(figure["views"]) == 12
    assert {"log|surface|all", "linear|contour|2"} <= set(figure["views"])


def resolve(node, table):
    if isinstance(node, list):
        return [resolve(item, table) for item in node]
    if isinstance(node, dict):
        return resolve(table[node["$"]], table) if "$" in node else {k: resolve(v, table) for k, v in node.items()}
    return node


def test_shared_parts_are_kept_once_and_come_back_whole():
    store = Store()
    long = [0.123456789 * k for k in range(50)]
    first, second = store.put({"a": long, "b": {"c": [[1.5, None], long]}}), store.put({"a": list(long)})
    assert resolve(first, store.texts) == {"a": rounded(long), "b": {"c": [[1.5, None], rounded(long)]}}
    assert second["a"] == first["a"] if "a" in first else store.texts[first["$"]]["a"] == second["a"]
    assert sum(node == rounded(long) for node in store.texts) == 1


def test_numbers_are_rounded_to_five_digits_but_steps_are_not():
    assert rounded([0.123456, 1234567.0, -2.0, math.nan, math.inf, 1e-9, True, None, "x"]) == [
        0.12346, 1234567, -2, None, None, 1e-9, True, None, "x",
    ]  # fmt: skip
    assert json.dumps(rounded(3.0)) == "3"


@pytest.mark.parametrize("evil", ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{style}}"])
def test_text_from_a_record_cannot_become_markup(make_surface, tmp_path, evil):
    base = make_surface()
    record = make_surface(
        recipe={**base.recipe, "model": evil, "dataset": evil, "seed": evil, evil: evil},
        provenance={"command": evil, "assumed": [evil], "checkpoint": evil},
        checks={evil: evil},
    )
    clean = write_page(tmp_path / "clean.html", surface_section([base, base], labels=["a", "b"]), title="t")
    page = write_page(
        tmp_path / "a.html", surface_section([record, record], labels=[evil, "b"]), title=evil, intro=evil
    )
    text = page.read_text(encoding="utf-8")
    for tag in ("script", "img", "style"):
        assert text.count(f"<{tag}") == clean.read_text(encoding="utf-8").count(f"<{tag}")
    assert content(page)["figures"][0]["name"].count(evil) == 2


def test_json_in_a_script_element_cannot_close_it():
    value = {"a": "</script><!--\u2028"}
    assert "<" not in script_json(value)
    assert json.loads(script_json(value)) == value


def test_nothing_is_loaded_from_elsewhere(make_surface, make_bands, tmp_path):
    page = write_page(tmp_path / "a.html", [surface_section(make_surface()), band_section(make_bands())], title="t")
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    assert re.findall(r'<script src="([^"]*)"', text) == [PLOTLY]
    assert "http" not in text


def test_pages_share_one_script_which_is_written_once_per_version(make_surface, tmp_path):
    section = surface_section(make_surface(1))
    write_page(tmp_path / "a.html", section, title="a")
    script = tmp_path / PLOTLY
    os.utime(script, (1, 1))
    write_page(tmp_path / "b.html", section, title="b")
    assert script.stat().st_mtime == 1
    script.write_text(script.read_text(encoding="utf-8").replace(get_plotlyjs_version(), "0.0.1", 1), encoding="utf-8")
    write_page(tmp_path / "c.html", section, title="c")
    assert get_plotlyjs_version() in script.read_text(encoding="utf-8")[:400]
    assert not list(tmp_path.glob("*.partial"))


def test_a_standalone_page_needs_no_file_beside_it(make_surface, tmp_path):
    page = write_page(tmp_path / "a.html", surface_section(make_surface(1)), title="a", standalone=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    assert page.stat().st_size > 1_000_000
    assert 'src="' not in page.read_text(encoding="utf-8").split("<body>")[0]


def test_four_pairs_of_41_by_41_stay_light(make_surface, tmp_path):
    rng = np.random.default_rng(0)
    smooth = make_surface(4, 41, 41)
    loss = smooth.loss * (1 + 0.02 * rng.random((4, 41, 41)))  # a rough surface: digits and iso-lines do not repeat
    record = make_surface(4, 41, 41, loss=loss, loss_sem=loss / 7, accuracy=rng.random((4, 41, 41)))
    page = write_page(tmp_path / "a.html", surface_section(record), title="a")
    assert page.stat().st_size < 1_500_000


def test_sections_and_plain_plotly_figures_stand_in_one_page(make_surface, make_bands, tmp_path):
    parts = [band_section(make_bands()), surface_section(make_surface()), band(make_bands(), show="raw")]
    page = write_page(tmp_path / "deep" / "a.html", parts, title="Demo", intro="Both.")
    text = page.read_text(encoding="utf-8")
    assert [text.count(f'<section id="figure-{i}">') for i in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert text.count("<h2>") == 2
    assert list(content(page)["figures"][2]["views"]) == [""]
    for phrase in ("BN mode frozen", "precision fp32", "seed 7", "landscape train-variants", "How this was made"):
        assert phrase in text


def test_heading_of_a_single_section_is_the_title_of_its_page(make_surface, tmp_path):
    section = surface_section(make_surface())
    assert "<h2>" not in write_page(tmp_path / "a.html", section, title=section.title).read_text(encoding="utf-8")


def test_tables_align_figures_right(make_surface, tmp_path):
    text = write_page(tmp_path / "a.html", surface_section(make_surface()), title="t").read_text(encoding="utf-8")
    assert "<td>pair 2</td><td class=n>1 ± 0.25</td>" in text


@pytest.mark.parametrize(("figures", "words"), [([], "got none"), (["text"], "got str")])
def test_what_cannot_stand_in_a_page_is_refused(tmp_path, figures, words):
    with pytest.raises(UsageError, match=words):
        write_page(tmp_path / "a.html", figures, title="t")
    assert not (tmp_path / "a.html").exists()


def test_a_page_that_cannot_be_written_is_an_error_with_its_path(make_surface, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write .*file.*choose a place"):
        write_page(tmp_path / "file" / "a.html", surface_section(make_surface(1)), title="t")


def test_a_failed_write_leaves_the_old_page(make_surface, tmp_path, monkeypatch):
    page = write_page(tmp_path / "a.html", surface_section(make_surface(1)), title="old")
    before = page.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_page(page, surface_section(make_surface(2)), title="new")
    assert page.read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))
