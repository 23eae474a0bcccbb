"""What ratings say: published values of agreement and of the sign test, repeated items, preferences without the sealed test."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from endonym.data.agreement import alpha, interval, nominal
from endonym.data.statistics import sign_test
from endonym.web.ratings import Item, Ratings, choose, preferences, summary


def test_the_sign_test_is_the_binomial_of_one_half():
    # Conover 1999, example 3.4: 8 plus, 1 minus is 0.0391 two-sided.
    assert sign_test(8, 1) == pytest.approx(20 / 512)
    assert sign_test(5, 5) == 1.0
    assert sign_test(0, 0) == 1.0


def test_alpha_gives_the_published_value():
    # Krippendorff 2011, section C: four observers, twelve units, nominal 0.743, interval 0.849.
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[float(value) for value in column if value is not None] for column in zip(*rows, strict=True)]
    assert alpha(units, nominal) == pytest.approx(0.743, abs=5e-4)
    assert alpha(units, interval) == pytest.approx(0.849, abs=5e-4)
    assert alpha([[1.0], [2.0]]) is None


@pytest.fixture
def ratings(tmp_path: Path) -> Ratings:
    return Ratings(tmp_path / "ratings.jsonl")


ITEMS = [
    Item(f"{origin}:{i}", origin, {"source": f"s{i}"}, f"ask {i}", {"base": f"b{i}", "7": f"t{i}"})
    for origin in ("questions", "test")
    for i in range(20)
]


def rate_all(ratings: Ratings, better: str, rater: str = "Ana") -> list[tuple[str, ...]]:
    sides = []
    for _ in range(200):
        ratings = Ratings.read(ratings.path)
        chosen = choose(ITEMS, ratings, "ab", rater, ("base", "7"))
        if chosen is None:
            break
        shown = ratings.show("ab", rater, *chosen)
        sides.append(shown.systems)
        ratings.rate(shown.id, {"choice": "left" if shown.systems[0] == better else "right"})
    return sides


def test_what_was_shown_may_hold_any_character(ratings: Ratings):
    item = Item("x:1", "x", {"source": "s"}, "ask\u2028more", {"base": "b\u0085", "7": "t\u2029\x0b"})
    shown = ratings.show("ab", "Ana", item, ("base", "7"))
    assert Ratings.read(ratings.path).shown[shown.id].texts == ("b\u0085", "t\u2029\x0b")


def test_sides_are_drawn_items_are_repeated_and_the_rest_follows(ratings: Ratings):
    sides = Counter(rate_all(ratings, "7"))
    assert min(sides.values()) > 8
    found = Ratings.read(ratings.path)
    times = Counter(one.item for one in found.shown.values())
    assert set(times) == {item.id for item in ITEMS}
    assert 3 <= sum(times[item] == 2 for item in times) <= 8
    told = summary(found)
    (pair,) = told["ab"]["pairs"]
    assert (pair["first"], pair["n"], pair["wins"]) == ("7", 40, 40)
    assert (pair["share"], pair["p_value"]) == (1.0, pytest.approx(2**-39))
    own = told["ab"]["agreement"]["self"]
    assert own["n"] == own["same"] == sum(times[item] == 2 for item in times)


def test_only_what_is_not_sealed_becomes_a_preference(ratings: Ratings):
    rate_all(ratings, "7")
    made = list(preferences(Ratings.read(ratings.path)))
    assert len(made) == 20
    assert all(one["chosen"].startswith("t") and one["rejected"].startswith("b") for one in made)
    assert all(one["meta"]["item"].startswith("questions:") for one in made)
    assert summary(Ratings.read(ratings.path))["preferences"] == {"ready": 20, "sealed": pytest.approx(20, abs=6)}


def test_two_raters_who_disagree_are_told_so(ratings: Ratings):
    rate_all(ratings, "7", "Ana")
    rate_all(ratings, "base", "Ben")
    told = summary(Ratings.read(ratings.path))["ab"]["agreement"]["between"]
    assert (told["n"], told["same"]) == (40, 0)
    assert told["alpha"] < 0
