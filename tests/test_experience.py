"""Experience points follow their table, go up with every item, and are scaled by measured quality."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endonym.data.experience import earned, of_records, points_for
from endonym.types import Doc


@pytest.mark.parametrize(
    ("items", "points"),
    [(0, 0), (5, 12.5), (10, 25), (55, 137.5), (100, 250), (300, 525), (500, 800), (4800, 1500), (20000, 2800)],
)
def test_points_are_those_of_the_table(items, points):
    assert points_for(items) == pytest.approx(points)


def test_beyond_the_table_its_last_slope_goes_on():
    assert points_for(35200) == pytest.approx(2800 + 1300)


@given(st.integers(0, 10**6))
def test_an_item_more_is_never_less(items):
    assert points_for(items) < points_for(items + 1)
    now, then = earned(items, 100.0), earned(items + 1, 100.0)
    assert now.level <= then.level and (now.next_level_at is None or now.points < now.next_level_at)


def test_quality_scales_and_its_lack_is_said():
    assert earned(100, 50.0).points == 125
    assert earned(0, 100.0).level == 1
    unknown = earned(100, None)
    assert unknown.points is None and unknown.level is None and "not measured" in unknown.name
    docs = [Doc(str(n), "x", "tzh", "f:1", {"quality": {"total": q}} if q else {}) for n, q in enumerate((40, 60, 0))]
    found = of_records(docs)
    assert (found.items, found.quality) == (3, 50.0)
