"""Minimum and maximum over members, at every step."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landscape.records import LossBand


def band(values):
    values = np.asarray(values, dtype=float)
    return LossBand(np.arange(values.shape[1]), values, tuple(map(str, range(len(values)))), "learning_rate")


def test_low_and_high_are_exact_and_have_gaps_where_a_member_has_no_finite_loss():
    found = band([[1.0, 5.0, np.nan, np.inf, 2.0], [3.0, 4.0, 1.0, 1.0, -np.inf]])
    np.testing.assert_array_equal(found.low, [1.0, 4.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found.high, [3.0, 5.0, np.nan, np.nan, np.nan])


@settings(deadline=None)
@given(
    values=hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(0, 6)), elements=st.floats(-9, 9)),
    s=st.randoms(),
)
def test_order_and_repetition_of_members_change_nothing(values, s):
    order = list(range(len(values)))
    s.shuffle(order)
    a, b = band(values), band(values[[*order, 0]])
    np.testing.assert_array_equal(a.low, b.low)
    np.testing.assert_array_equal(a.high, b.high)
    assert ((a.low <= values) & (values <= a.high)).all()
