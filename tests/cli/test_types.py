"""Values that options take."""

import click
import pytest

from landscape.cli.types import CommaList, KeyValue, Positive


@pytest.mark.parametrize(("text", "values"), [("1e-3", (1e-3,)), ("1e-4, 5e-4,.5", (1e-4, 5e-4, 0.5)), ("2", (2.0,))])
def test_numbers_with_commas(text, values):
    assert CommaList(Positive()).convert(text, None, None) == values


@pytest.mark.parametrize("text", ["", ",", "1,,2", "1,", ",1", " ", "1;2", "one", "0", "-1e-3", "nan", "inf", "1e400"])
def test_what_is_no_list_of_learning_rates(text):
    with pytest.raises(click.BadParameter) as caught:
        CommaList(Positive()).convert(text, None, None)
    assert repr(text) in caught.value.message or text in caught.value.message


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("num_classes=100", ("num_classes", 100)),
        ("conv_bias=False", ("conv_bias", False)),
        ("scale=1e-2", ("scale", 0.01)),
        ("bn_placement=conv+fc", ("bn_placement", "conv+fc")),
        ("note=a=b", ("note", "a=b")),
        ("empty=", ("empty", "")),
    ],
)
def test_options_of_a_network_are_read_as_what_they_look_like(text, pair):
    assert KeyValue().convert(text, None, None) == pair
    assert type(KeyValue().convert(text, None, None)[1]) is type(pair[1])


@pytest.mark.parametrize("text", ["num_classes", "=3", ""])
def test_what_is_no_option_of_a_network(text):
    with pytest.raises(click.BadParameter, match="KEY=VALUE"):
        KeyValue().convert(text, None, None)
