"""Networks of others: registered, or by their path."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from landscape import models
from landscape.errors import DataError, UsageError
from landscape.models import base


@pytest.fixture
def register(monkeypatch):
    """Add networks to the table; afterwards it is as it was."""
    models.names()
    monkeypatch.setattr(base._FAMILIES, "_items", dict(base._FAMILIES._items))
    return models.register


def linear(out=2):
    return nn.Linear(3, out)


def test_a_plain_factory_and_a_family_can_be_registered(register):
    register("plain", linear)
    register("family", models.Family(linear, options=("out",), defaults={"out": 2}))
    assert models.build("plain", out=5).out_features == 5
    assert models.build("family", out=4).out_features == 4
    assert models.names()[-2:] == ["plain", "family"]
    with pytest.raises(UsageError, match=r"no option named 'outt'\. Did you mean 'out'"):
        models.build("family", outt=1)
    with pytest.raises(UsageError, match="a model named 'plain' is registered already"):
        register("plain", linear)


def test_the_table_was_put_back():
    assert "plain" not in models.names()


def test_options_that_a_factory_does_not_take_are_explained(register):
    register("plain", linear)
    with pytest.raises(UsageError, match=r"cannot build plain with width=3: TypeError: .*'width'\. Check the values"):
        models.build("plain", width=3)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mlp", {"dropout": "much"}, "with dropout='much': TypeError: '<=' not supported"),
        ("lenet", {"num_classes": "ten", "seed": 1}, "with num_classes='ten', seed=1: TypeError: '<' not supported"),
        ("vgg_light", {"num_classes": 2.5}, "with num_classes=2.5: TypeError: "),
        ("torchvision:squeezenet1_1", {"seed": "x"}, "with seed='x': "),
        ("torch.nn:Linear", {"in_features": -1, "out_features": 2}, "with in_features=-1, out_features=2: Runtime"),
    ],
)
def test_a_value_that_makes_no_network_is_told_in_one_paragraph(name, options, says):
    with pytest.raises(UsageError) as caught:
        models.build(name, **options)
    message = str(caught.value)
    assert message.startswith(f"cannot build {name} {says}")
    assert message.endswith(" Check the values of these options, or the function that builds the network.")
    assert "\n" not in message


def test_a_factory_may_fail_in_any_way(register):
    def failing(width=0):
        raise [ValueError("no width\n  of 0"), KeyError("conv1"), RuntimeError(), DataError("own words")][width]

    register("failing", failing)
    for width, says in ((0, "ValueError: no width of 0"), (1, "KeyError: 'conv1'"), (2, "RuntimeError")):
        with pytest.raises(UsageError, match=rf"^cannot build failing with width={width}: {says}\. Check") as caught:
            models.build("failing", width=width)
        assert type(caught.value.__cause__).__name__ in says
    with pytest.raises(UsageError, match="cannot build failing with no options: ValueError"):
        models.build("failing")
    with pytest.raises(DataError, match=r"^own words$"):
        models.build("failing", width=3)


def test_what_is_no_network_is_refused(register):
    register("number", lambda: 3)
    with pytest.raises(UsageError, match=r"'number' returned a int, not a torch\.nn\.Module"):
        models.build("number")
    with pytest.raises(UsageError, match="'math:pi' is a float, not a function that builds a network"):
        models.build("math:pi")
    with pytest.raises(UsageError, match="cannot import 'no_such_module_here'"):
        models.build("no_such_module_here:net")


def test_an_object_by_its_path_is_built():
    model = models.build("torch.nn:Linear", in_features=3, out_features=4)
    assert model.weight.shape == (4, 3)


@pytest.mark.parametrize("flags", [[], ["-P"]], ids=["plain", "-P"])
def test_a_factory_in_the_working_directory_is_found(tmp_path, flags):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "nets.py").write_text(
        "from torch import nn\n\ndef net(out=2):\n    return nn.Linear(3, out)\n"
    )
    code = "from landscape import models; print(models.build('mine.nets:net', out=6).out_features)"
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "6\n", done.stderr


def test_the_page_of_networks_has_every_name():
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    listed = {name: size.strip() for names, size in cells for name in re.findall("`([^`]+)`", names)}
    assert [name for name in models.names() if name not in listed] == []
    for name in ("dln", "dln_bn", "vgg_light_bn", "lenet4"):
        assert f"{sum(p.numel() for p in models.build(name).parameters()):,}" == listed[name]
