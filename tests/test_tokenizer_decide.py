"""The advice of `tokenizer decide`: another tokenizer only for a certain gain, and the command that makes the one that was tried."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from endonym.tokenizer import trials


def results(*rows):
    """Made-up results: bits per byte of the language and of the pivot, item by item, around the values given."""
    noise = [0.02 * ((i * 7) % 11 - 5) for i in range(60)]
    return [
        {
            "name": name, "vocabulary": size, "cost": 1.0, "tokens_per_word": 2.0, "context_share": 0.1, "bits_per_byte_at_start": 3.0,
            "target": [[50 * (target + spread * e), 50.0] for e in noise], "pivot": [[50 * (pivot + e), 50.0] for e in noise],
        }
        for name, size, target, spread, pivot in rows
    ]  # fmt: skip


LUCKY = [
    ("keep", 500, 2.0, 1, 1.0),
    ("extend 100", 600, 1.885, -6, 1.0),
    *((f"extend {n}00", 500 + n, 2.0, 2, 1.0) for n in (2, 3, 4, 5)),
]


@pytest.mark.parametrize(
    ("rows", "choice", "words"),
    [
        ([("keep", 500, 2.0, 1, 1.0), ("extend 100", 600, 1.8, 1, 1.0)], "extend 100", "pays"),
        ([("keep", 500, 2.0, 1, 1.0), ("extend 100", 600, 2.1, 1, 1.0)], "keep", "no other pays"),
        ([("keep", 500, 2.0, 1, 1.0), ("extend 100", 600, 1.999, -9, 1.0)], "keep", "no other pays"),
        ([("keep", 500, 2.0, 1, 1.0), ("new", 400, 1.5, 1, 2.0)], "keep", "the pivot loses 1.000"),
        # Alone it would pass; as one of five, four of them no better, it may be luck.
        ([*LUCKY[:2]], "extend 100", "pays"),
        ([*LUCKY], "keep", "no other pays"),
        (
            [("keep", 500, 2.0, 1, 1.0), ("extend 100", 600, 1.8, 5, 1.0), ("extend 200", 700, 1.799, -5, 1.0)],
            "extend 100",
            "pays",
        ),
        ([("keep", 500, 2.0, 1, 1.0), ("new", 400, 1.5, 1, 1.0)], "new", "endonym tokenizer train 400,"),
        ([("keep", 500, 2.0, 1, 1.0), ("bytes", 259, 1.5, 1, 1.0)], "bytes", "endonym tokenizer train --model bytes,"),
    ],
)
def test_advice_needs_a_certain_gain_that_the_pivot_does_not_pay_for(rows, choice, words):
    cfg = SimpleNamespace(
        steps=1, batch_tokens=1, learning_rate=1e-3, rows="mean", seed=1, pivot_loss=0.05, new_size=400
    )
    decision = trials.advise(results(*rows), cfg)
    assert decision["choice"] == choice and words in decision["advice"]
    assert words in trials.table(results(*rows), decision)
