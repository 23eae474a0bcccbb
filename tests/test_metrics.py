"""Promise 3: a number is the field's number, with its signature and an honest interval, in every script."""

from __future__ import annotations

import math
import random
import time

import numpy as np
import pytest

from endonym import plugins
from endonym.data import statistics
from endonym.evaluate.items import Run

SCRIPTS = ("tseltal", "amharic", "sanskrit")


def make_run(
    references: list[str], hypotheses: list[str], nats: list[float] | None = None, task: str = "translate"
) -> Run:
    n = len(references)
    return Run(
        "tuned", task, "spa>tzh", tuple(map(str, range(n))), ("",) * n, tuple((r,) for r in references), tuple(hypotheses),
        tuple(nats) if nats else (None,) * n, tuple(len(r.encode()) for r in references),
    )  # fmt: skip


def damaged(text: str, rng: random.Random) -> str:
    """Drop, swap and repeat words the way a weak translator does."""
    words = [word for word in text.split() if rng.random() > 0.25] or ["?"]
    if len(words) > 2 and rng.random() < 0.5:
        i = rng.randrange(len(words) - 1)
        words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


def run_of(name: str, request: pytest.FixtureRequest, seed: int = 1) -> Run:
    rng = random.Random(seed)
    references = [second for _, second in request.getfixturevalue(name)]
    return make_run(references, [damaged(text, rng) for text in references])


def metric(name: str, **settings):
    module = plugins.load("metric", name)
    return module, module.Config(**settings)


@pytest.mark.parametrize("script", SCRIPTS)
def test_chrf_is_sacrebleu_chrf(script: str, request: pytest.FixtureRequest):
    from sacrebleu.metrics.chrf import CHRF

    run = run_of(script, request)
    module, cfg = metric("chrf")
    [score] = module.score(run, cfg)
    theirs = CHRF(word_order=2)
    expected = theirs.corpus_score(run.texts, [[r[0] for r in run.references]])
    assert score.value == pytest.approx(expected.score, abs=1e-9)
    assert (
        str(theirs.get_signature()) in score.signature and "nw:2" in score.signature and "version:" in score.signature
    )
    assert score.name == "chrF2++"


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_bleu_is_sacrebleu_bleu(script: str, tokenize: str, request: pytest.FixtureRequest):
    from sacrebleu.metrics.bleu import BLEU

    run = run_of(script, request)
    module, cfg = metric("bleu", tokenize=tokenize)
    [score] = module.score(run, cfg)
    theirs = BLEU(tokenize=tokenize)
    expected = theirs.corpus_score(run.texts, [[r[0] for r in run.references]])
    assert score.value == pytest.approx(expected.score, abs=1e-9)
    assert f"tok:{tokenize}" in score.signature


def test_bleu_smoothing_and_empty_answers_follow_sacrebleu():
    from sacrebleu.metrics.bleu import BLEU

    module, cfg = metric("bleu")
    for hypotheses in (["", ""], ["a b c d", "x y"], ["k'op te winik", "lek ay"], ["a a a a a", "lek"]):
        references = ["k'op te winik lek ay", "lek ay te na"]
        expected = BLEU().corpus_score(hypotheses, [references]).score
        assert module.score(make_run(references, hypotheses), cfg)[0].value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["chrf", "bleu"])
def test_interval_agrees_with_sacrebleu_and_takes_under_a_second(name: str, request: pytest.FixtureRequest):
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    run = run_of("tseltal", request)
    module, cfg = metric(name)
    started = time.perf_counter()
    [score] = module.score(run, cfg)
    assert time.perf_counter() - started < 2
    theirs = CHRF(word_order=2) if name == "chrf" else BLEU()
    expected = theirs.corpus_score(run.texts, [[r[0] for r in run.references]], n_bootstrap=1000)
    assert score.low < score.value < score.high
    assert (score.high - score.low) / 2 == pytest.approx(expected._ci, rel=0.15)


def test_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        bits = rng.gamma(2.0, 30.0, size=120)
        stats = np.column_stack([bits, np.full(120, 20.0)])
        _, low, high = statistics.interval(stats, statistics.ratio, 400, seed=trial)
        covered += low <= 3.0 <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_paired_finds_a_real_difference_and_not_a_false_one():
    rng = np.random.default_rng(3)
    difficulty = rng.normal(50, 20, size=400)
    ones = np.ones(400)
    first = np.column_stack([difficulty + rng.normal(0, 3, 400), ones])
    better = np.column_stack([difficulty + 1.5 + rng.normal(0, 3, 400), ones])
    real = statistics.paired(better, first, statistics.ratio)
    assert real.p_value < 0.01 and real.low > 0
    false_alarms = 0
    for seed in range(100):
        same = np.column_stack([difficulty + rng.normal(0, 3, 400), ones])
        false_alarms += statistics.paired(same, first, statistics.ratio, 500, seed).p_value < 0.05
    assert false_alarms <= 12
    assert statistics.paired(first, first, statistics.ratio).p_value == 1.0


def test_paired_agrees_with_sacrebleu(request: pytest.FixtureRequest):
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.significance import PairedTest

    one, two = run_of("amharic", request, 1), run_of("amharic", request, 2)
    module, cfg = metric("chrf")
    tables = [statistics.as_table(module.score(r, cfg)[0].per_item, len(r.ids)) for r in (one, two)]
    ours = statistics.paired(*tables, module.aggregate)
    test = PairedTest(
        [("one", one.texts), ("two", two.texts)], {"chrf": CHRF(word_order=2)}, [[r[0] for r in one.references]],
        test_type="bs", n_samples=1000,
    )  # fmt: skip
    results = test()[1]["chrF2++"]
    assert ours.value == pytest.approx(results[0].score - results[1].score, abs=1e-9)
    assert ours.p_value == pytest.approx(results[1].p_value, abs=0.06)


def test_bits_per_byte_counts_bytes_of_the_script_not_characters(amharic):
    references = [second for _, second in amharic][:10]
    nats = [len(text) * math.log(2) for text in references]
    module, cfg = metric("bits_per_byte")
    [score] = module.score(make_run(references, [""] * 10, nats), cfg)
    assert score.value == pytest.approx(sum(map(len, references)) / sum(len(r.encode()) for r in references))
    assert score.low <= score.value <= score.high and not score.higher_is_better
    assert module.score(make_run(references, references), cfg) == []


def test_exact_accepts_any_gloss_but_not_another_word():
    module, cfg = metric("exact")
    references = ["casa; hogar", "k'op", "ሰላም", "a"]
    [score] = module.score(make_run(references, ["Hogar.", "kop", "ሰላም።", "a b"], task="lookup"), cfg)
    assert score.value == 50.0


@pytest.mark.parametrize(
    ("right", "low", "high"), [(0, 0.0, 16.11), (20, 83.89, 100.0), (10, 29.93, 70.07)], ids=["none", "all", "half"]
)
def test_a_share_at_its_end_is_not_certain(right, low, high):
    """The score interval of Wilson (JASA 1927); Newcombe (Statistics in Medicine 1998) prints 0 to 0.1611 for 0 of 20."""
    module, cfg = metric("exact")
    answers = ["casa"] * right + ["mesa"] * (20 - right)
    [score] = module.score(make_run(["casa"] * 20, answers, task="lookup"), cfg)
    assert (score.value, score.low, score.high) == pytest.approx((5 * right, low, high), abs=0.01)
    assert score.low <= score.value <= score.high and "wilson" in score.signature


@pytest.mark.parametrize(("items", "least"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_a_few_items_that_all_point_one_way_are_no_proof(items, least):
    right, wrong = statistics.as_table([1.0] * items, items), statistics.as_table([0.0] * items, items)
    assert statistics.paired(right, wrong, statistics.ratio).p_value == least


def test_a_metric_in_one_file_with_one_value_per_item_gets_a_mean_and_an_interval():
    table = statistics.as_table([1.0, 0.0, 1.0, 1.0], 4)
    assert statistics.interval(table, statistics.ratio)[0] == 0.75
