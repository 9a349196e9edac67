"""Names: those that ship, those that others add, and objects by their path."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from landscape import registry
from landscape.errors import LandscapeError, MissingExtraError, UnknownNameError, UsageError, require
from landscape.registry import Registry, import_object, unknown

GROUP = "landscape.fruits"


@pytest.fixture
def installed(monkeypatch):
    """Pretend that distributions bring these entry points; says how often they were asked for."""
    asked = []

    def install(*points):
        def found(*, group):
            asked.append(group)
            return [EntryPoint(name, value, group) for name, value in points]

        monkeypatch.setattr(registry, "entry_points", found)
        return asked

    return install


@pytest.fixture
def fruits(installed):
    installed()
    table = Registry("fruit", group=GROUP)
    for name in ("apple", "pear", "quince"):
        table.add(name, name.upper())
    return table


def test_names_keep_their_order_and_lead_to_their_items(fruits):
    assert fruits.names() == ["apple", "pear", "quince"]
    assert dict(fruits) == {"apple": "APPLE", "pear": "PEAR", "quince": "QUINCE"}
    assert fruits.get("pear") == "PEAR"
    assert "pear" in fruits
    assert "plum" not in fruits


def test_a_name_is_given_once(fruits):
    with pytest.raises(UsageError, match="a fruit named 'pear' is registered already"):
        fruits.add("pear", "other")
    assert fruits.get("pear") == "PEAR"


def test_the_decorator_returns_what_it_registers(fruits):
    @fruits.register("fig")
    def fig():
        return 1

    assert fig() == 1
    assert fruits.get("fig") is fig


def test_an_unknown_name_is_answered_with_the_closest_and_all(fruits):
    with pytest.raises(UnknownNameError) as caught:
        fruits.get("aple")
    assert str(caught.value) == "there is no fruit named 'aple'. Did you mean 'apple'? Known: apple, pear, quince."
    assert isinstance(caught.value, LandscapeError)
    assert isinstance(caught.value, ValueError)


def test_nothing_is_suggested_where_nothing_is_close():
    assert unknown("fruit", "xyz", ["apple"]) == "there is no fruit named 'xyz'. Known: apple."


def test_entry_points_of_the_group_are_added_once_and_do_not_replace(fruits, installed):
    asked = installed(("banana", "math:pi"), ("apple", "math:e"))
    assert fruits.names() == ["apple", "pear", "quince", "banana"]
    assert fruits.get("banana") == pytest.approx(3.14159, abs=1e-5)
    assert fruits.get("apple") == "APPLE"
    assert "banana" in fruits
    assert asked == [GROUP]


def test_a_broken_entry_point_is_named_each_time_and_does_not_stop_what_ships(fruits, installed):
    installed(("banana", "no_such_module_here:x"))
    assert fruits.get("apple") == "APPLE"
    assert "apple" in fruits
    for _ in range(2):
        with pytest.raises(UsageError, match=r"fruit 'banana'.*cannot be loaded from no_such_module_here:x"):
            fruits.names()


def test_a_model_of_an_entry_point_can_be_built(monkeypatch, installed):
    from landscape import models
    from landscape.models import base

    installed(("outside", "torch.nn:Identity"))
    monkeypatch.setattr(base._FAMILIES, "_items", dict(base._FAMILIES._items))
    monkeypatch.setattr(base._FAMILIES, "_extended", False)
    assert models.names()[-1] == "outside"
    assert type(models.build("outside")).__name__ == "Identity"


@pytest.mark.parametrize("path", ["", ":", "module:", ":name", "module"])
def test_a_path_of_another_form_is_refused(path):
    with pytest.raises(UsageError, match=r"write package\.module:factory"):
        import_object(path)


def test_an_object_is_found_and_what_is_missing_is_named():
    assert import_object("math:pi") == pytest.approx(3.14159, abs=1e-5)
    with pytest.raises(UsageError, match="cannot import 'no_such_module_here'"):
        import_object("no_such_module_here:x")
    with pytest.raises(UsageError, match="'math' has no 'pie'"):
        import_object("math:pie")


@pytest.mark.parametrize("flags", [["-P"], ["-I"], []], ids=["-P", "-I", "plain"])
def test_the_working_directory_is_searched(tmp_path, flags):
    """Installed scripts and ``python -P`` do not have it on the path."""
    package = tmp_path / "mine" / "inner"
    package.mkdir(parents=True)
    (package / "nets.py").write_text("def factory():\n    return 'made'\n")
    code = "from landscape.registry import import_object; print(import_object('mine.inner.nets:factory')())"
    done = subprocess.run([sys.executable, *flags, "-c", code], cwd=tmp_path, capture_output=True, text=True)  # noqa: PLW1510
    assert done.stdout == "made\n", done.stderr


def test_require_returns_the_module_or_says_how_to_install_it():
    assert require("math", extra="ray").pi > 3
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_module_here", extra="ray", purpose="the engine")
    assert str(caught.value) == "the engine needs no_such_module_here: pip install 'landscape-lab[ray]'"
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, LandscapeError)


@pytest.mark.parametrize(("text", "kind"), [("x = (", "SyntaxError"), ("raise RuntimeError('no')", "RuntimeError: no")])
def test_a_module_that_fails_is_told_in_words(tmp_path, monkeypatch, text, kind):
    name = f"fails_{kind[:3].lower()}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=f"importing '{name}' for '{name}:build' failed: {kind}"):
        import_object(f"{name}:build")
