"""Quality finds planted noise without losing clean text, says why, and the overview and notebook show what is there."""

from __future__ import annotations

import csv
import json
import math
import random
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from endonym import plugins
from endonym.clean.batch import Batch
from endonym.clean.filters import quality
from endonym.clean.letters import ALPHABET, ORDER, PRIOR, Letters, folds_of
from endonym.clean.mixture import Mixture, _crossing
from endonym.clean.parts import adequacy, boilerplate, confidence, language, symbols
from endonym.clean.rivals import Shared
from endonym.data.dataset import DatasetWriter
from endonym.data.overview import describe
from endonym.data.overview_page import render
from endonym.data.quality import band, noted
from endonym.project import Project
from endonym.store import jobs as job_rows
from endonym.types import Doc, Drop, Entry, Keep, Pair, Sense

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "notebooks" / "data-exploration.ipynb"


def pairs_of(texts, first, second):
    return [Pair(f"{i:04x}", a, b, first, second, f"a.tsv:{i + 1}") for i, (a, b) in enumerate(texts)]


def sifted(records, **settings):
    items = list(quality.sift(iter(records), quality.Config(**settings)))
    return [i.record for i in items if isinstance(i, Keep)], [i for i in items if isinstance(i, Drop)]


@pytest.mark.parametrize(
    ("name", "codes"), [("tseltal", ("spa", "tzh")), ("amharic", ("eng", "amh")), ("sanskrit", ("eng", "san"))]
)
def test_clean_text_loses_at_most_one_in_a_hundred(request, name, codes):
    records = pairs_of(request.getfixturevalue(name), *codes)
    kept, dropped = sifted(records)
    assert len(kept) + len(dropped) == len(records)
    assert len(dropped) <= 0.01 * len(records), [(d.reason, d.detail) for d in dropped]
    assert all(record.meta["quality"]["total"] >= 20 and record.meta["quality"]["parts"] for record in kept)


def test_a_part_is_fitted_on_what_those_before_it_trust(monkeypatch):
    fitted: dict[str, list[bool]] = {}

    def part(name: str, doubted: str) -> SimpleNamespace:
        def fit(sample, _):
            fitted[name] = sample.trusted.tolist()
            return lambda batch: np.array([0.0 if record.id == doubted else 1.0 for record in batch.records])

        return SimpleNamespace(Config=lambda: None, fit=fit)

    parts = {"first": part("first", "b"), "second": part("second", "c"), "third": part("third", "")}
    monkeypatch.setattr(plugins, "load", lambda kind, name: parts[name])
    kept, dropped = sifted([Doc(name, "ixim", "tzh", "a:1") for name in "abc"], parts=list(parts))
    assert fitted == {"first": [True, True, True], "second": [True, False, True], "third": [True, False, False]}
    assert ([record.id for record in kept], [drop.reason for drop in dropped]) == (
        ["a"],
        ["quality.first", "quality.second"],
    )


def test_formulas_are_stretches_of_letters_within_a_text_counted_once_each():
    formula = "presidencia de la república"
    measure = boilerplate.fit(Batch.of([Doc("a", f"{formula} {formula} " * 20, "spa", "a:1")]), boilerplate.Config())
    assert measure(Batch.of([Doc("b", formula, "spa", "b:1")])).tolist() == [1]
    pages = [Doc(f"p{i}", f"Pre{i}sidencia de {i} la República, no. {i * i}", "spa", f"p:{i}") for i in range(20)]
    # Ends and beginnings of neighbours are no stretch, though they stand side by side twenty times.
    halves = [Doc(f"h{i}", half, "spa", f"h:{i}") for i in range(20) for half in ("tzeltal", "tojolabal")]
    measure = boilerplate.fit(Batch.of([*pages, *halves]), boilerplate.Config())
    found = measure(Batch.of([Doc("c", formula, "spa", "c:1"), Doc("d", "tzeltal tojolabal", "spa", "d:1")]))
    assert found[0] < 0.2 and found[1] == 1


def test_letters_are_worth_the_bits_that_counting_by_hand_gives(tseltal):
    texts = [a for a, _ in tseltal[:60]]
    folds, grams = folds_of(texts), Counter()
    for text, fold in zip(texts, folds):
        laid = "\n" * (ORDER - 1) + text.casefold() + "\n"
        grams.update((fold, laid[i - k : i + 1]) for i in range(ORDER - 1, len(laid)) for k in range(ORDER))
    totals = [sum(n for (f, gram), n in grams.items() if f == fold and len(gram) == 1) for fold in (0, 1)]

    def bits(text, fold):
        laid, spent = "\n" * (ORDER - 1) + text.casefold() + "\n", 0.0
        for i in range(ORDER - 1, len(laid)):
            chance = 1 / ALPHABET
            for k in range(ORDER):
                seen = grams[fold, laid[i - k : i]] if k else totals[fold]
                chance = (grams[fold, laid[i - k : i + 1]] + PRIOR * chance) / (seen + PRIOR)
            spent -= math.log2(min(chance, 1))
        return spent

    found, letters = Letters().learn(texts).bits(texts)
    assert letters.tolist() == [len(text) + 1 for text in texts]
    by_hand = [bits(text, 1 - fold) for text, fold in zip(texts, folds)]
    assert np.isclose(found, by_hand).mean() > 0.8  # the others have a gram that shares its place in the table
    assert found == pytest.approx(by_hand, rel=0.15)


def test_noise_is_found_and_named(tseltal):
    rng = random.Random(4)
    clean = pairs_of(tseltal, "spa", "tzh")
    garbled = [
        Pair(
            f"ocr{i}",
            p.source,
            "".join(rng.choice("|/{}~#%0817") if rng.random() < 0.6 else c for c in p.target),
            "spa",
            "tzh",
            "b:1",
        )
        for i, p in enumerate(clean[:60])
        if len(p.target) > 25
    ]
    holders = [Pair(f"hold{i}", text, "[response]", "spa", "tzh", "b:1") for i, (text, _) in enumerate(tseltal[:5])]
    made = [
        Pair(
            f"page{i}",
            f"Página {i} de la lista general de palabras del día",
            f"Página {i} de la lista general",
            "spa",
            "tzh",
            "b:1",
        )
        for i in range(60)
    ]
    records = [*clean, *garbled, *holders, *made]
    rng.shuffle(records)
    reasons = {drop.record.id: drop.reason for drop in sifted(records)[1]}
    lost = [reasons[p.id] for p in clean if p.id in reasons]
    assert len(lost) <= 0.01 * len(clean), Counter(lost)
    assert sum(p.id in reasons for p in garbled) >= 0.9 * len(garbled)
    assert {reasons.get(p.id) for p in holders} == {"quality.boilerplate"}
    assert sum(p.id in reasons for p in made) >= 0.95 * len(made)


def test_a_confidence_is_taken_from_whoever_gave_it():
    records = [
        Doc(str(i), "k'op", "tzh", "a:1", meta)
        for i, meta in enumerate(({}, {"confidence": 0.4}, {"ocr_confidence": 83}))
    ]
    values = confidence.fit(Batch.of([]), confidence.Config())(Batch.of(records))
    assert np.isnan(values[0]) and values[1:].tolist() == [0.4, 0.83]
    kept, dropped = sifted([Doc("x", "k'op", "tzh", "a:1", {"confidence": 0.1}), *records])
    assert [drop.reason for drop in dropped] == ["quality.confidence"] and len(kept) == 3


def test_a_record_is_as_good_as_its_worst_part():
    quality_of = noted({"language": 0.9, "adequacy": 0.3})
    assert quality_of == {"total": 30.0, "parts": {"language": 0.9, "adequacy": 0.3}}
    assert band(Doc("x", "a", "tzh", "a:1", {"quality": quality_of})) == "low"
    assert band(Doc("x", "a", "tzh", "a:1")) == ""


@pytest.mark.parametrize(
    "text", ["Lorem ipsum dolor", "TODO: traducir", "[response]", "Hola {{name}}", "<div class='a'>k'op</div>"]
)
def test_placeholders(text):
    measure = boilerplate.fit(Batch.of([]), boilerplate.Config())
    assert measure(
        Batch.of([Doc("x", text, "tzh", "a:1"), Doc("y", "todo mundo, 100 % (k'op)", "spa", "a:1")])
    ).tolist() == [0, 1]


def test_what_is_usual_is_learned_and_not_english(amharic):
    """Ethiopic sentences with word separators, which English limits on symbols throw out, are usual among themselves."""
    texts = [own.replace(" ", "፡") + "፡፡" for _, own in amharic]
    sample = Batch.of([Doc(str(i), text, "amh", "a:1") for i, text in enumerate(texts + texts)])
    assert (symbols.fit(sample, symbols.Config())(sample) >= 0.2).mean() >= 0.99


def test_the_share_of_bad_is_estimated():
    rng = np.random.default_rng(0)
    given = np.concatenate([rng.normal(4, 1, (3600, 1)), rng.normal(-2, 1, (400, 1))])
    found = Mixture.fitted(given, rng.normal(-2, 1, (1000, 1)), 0.8)
    grades = found.grade(given)
    assert 0.07 < found.share_bad < 0.13
    assert (grades[:3600] < 0.2).mean() <= 0.01 and (grades[3600:] < 0.2).mean() >= 0.9


def project_with(folder, tseltal):
    project = Project.create(folder / "p", language="tzh", pivot="spa")
    clean = pairs_of(tseltal, "spa", "tzh")
    entries = [Entry("e1", "k'op", "tzh", (Sense("palabra", "spa"),), "d.csv:2")]
    kept, dropped = sifted([*clean, Pair("bad", "[response]", "TODO", "spa", "tzh", "b.tsv:1")])
    for verb, kind in (("ingest", "raw"), ("clean", "clean")):
        row = job_rows.find_or_create(project.db, verb, "", verb, {}, {})
        out = project.runs / row.folder / "output" if row.folder else project.runs / f"{row.id:04d}-{verb}" / "output"
        with DatasetWriter(out) as writer:
            for record in [*kept, *entries]:
                writer.read(record)
                writer.keep(record)
            for drop in dropped if kind == "clean" else ():
                writer.read(drop.record)
                writer.drop(drop)
        yield project, row, out, kind


def test_the_page_shows_what_there_is(tmp_path, tseltal, monkeypatch):
    folders = {}
    for project, _, out, kind in project_with(tmp_path, tseltal):  # noqa: B007
        folders[kind] = out
    monkeypatch.setattr(Project, "newest", lambda self, kind: folders.get(kind))
    view = describe(project)
    assert view.looked_at == "clean" and view.kinds["pair"] == 400 - sum(row["count"] for row in view.drops) + 1
    assert sum(view.bands.values()) == view.kinds["pair"]
    assert view.drops[-1]["reason"].startswith("quality.")
    assert {row["block"] for row in view.blocks} >= {"Basic Latin"}
    assert view.coverage[0]["language"] == "tzh" and view.coverage[0]["exact"] > 0
    page = render(view, project.about)
    assert "http" not in page.replace("http://www.w3.org", "") and "<script" not in page
    assert 'dir="auto" lang="tzh"' in page and "[response]" in page
    json.dumps(vars(view))


def test_the_notebook_runs(tmp_path, tseltal, monkeypatch):
    for project, _, out, kind in project_with(tmp_path, tseltal):  # noqa: B007
        monkeypatch.setitem(globals().setdefault("_folders", {}), kind, out)
    monkeypatch.setattr(Project, "newest", lambda self, kind: globals()["_folders"].get(kind))
    monkeypatch.chdir(project.path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    space: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), space)
    assert space["view"].records > 300 and (project.path / "data.html").is_file()


def test_the_benchmark_counts_right():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import noise

    totals = Counter({"clean": 100, **dict.fromkeys(noise.KINDS, 20)})
    found = noise.scores(totals, Counter({"clean": 1, **dict.fromkeys(noise.KINDS, 19)}))
    assert found["recall"] == 0.95 and found["lost"] == 0.01 and found["precision"] == 95 / 96
    assert set(quality.PARTS) == set(plugins.available("part"))


def translations(number):
    """Real pairs of the example's dictionary, (Spanish, Tseltal), in an order of their own."""
    with (ROOT / "examples" / "tseltal" / "raw" / "examples.csv").open(encoding="utf-8", newline="") as lines:
        found = {(row["Translated_Text"], row["Primary_Text"]): None for row in csv.DictReader(lines)}
    texts = [(a, b) for a, b in found if min(len(a), len(b)) > 15]
    random.Random(1).shuffle(texts)
    return texts[:number]


def graded(texts):
    batch = Batch.of(pairs_of(texts, "spa", "tzh"))
    return adequacy.fit(batch, adequacy.Config())(batch)


def test_pairs_that_do_not_translate_one_another_are_found():
    texts = translations(2400)
    shuffled = random.Random(2).sample(range(len(texts)), 240)
    for i, target in zip(shuffled, [texts[i][1] for i in shuffled[1:] + shuffled[:1]]):
        texts[i] = (texts[i][0], target)
    gone = graded(texts) < 0.2
    assert gone[shuffled].mean() > 0.4
    assert np.delete(gone, shuffled).mean() <= 0.005


def test_where_all_translate_one_another_next_to_nothing_goes():
    assert (graded(translations(2400)) < 0.2).mean() <= 0.005


def test_a_pair_is_measured_alike_in_whatever_company():
    batch = Batch.of(pairs_of(translations(1200), "spa", "tzh"))
    measure = adequacy.fit(batch, adequacy.Config())
    together, some = measure(batch), [3, 700, 1100]
    assert np.allclose(measure(Batch.of([batch.records[i] for i in some])), together[some], rtol=1e-4)


def test_pairs_that_share_a_side_are_in_one_fold():
    texts = [(f"a{i}", f"b{i}") for i in range(400)]
    places = [(i, (7 * i + 3) % 400) for i in range(0, 400, 10)]
    joined = [(f"a{i}", f"b{j}") for i, j in places]
    folds = adequacy.divided(texts + joined)
    assert set(folds) == {0, 1}
    for (i, j), fold in zip(places, folds[400:]):
        assert folds[i] == folds[j] == fold
    # One phrase everywhere would put all in one fold, which leaves nothing to learn from.
    everywhere = adequacy.divided([(a, "yes") for a, _ in texts])
    assert 100 <= sum(everywhere) <= 300


def test_a_shared_space_brings_translations_together():
    texts = translations(900)
    one, other = zip(*texts)
    space = Shared(one[:700], other[:700], range(0, 700, 10))
    right = space.signs(one[700:], other[700:])
    wrong = space.signs(one[700:], other[701:] + other[:1])
    assert ((right[:, 0] + right[:, 4]) > (wrong[:, 0] + wrong[:, 4])).mean() > 0.75


def test_two_doubts_count_twice():
    assert noted({"language": 0.3, "adequacy": 0.3})["total"] == 18.0
    assert noted({"language": 0.3, "symbols": 0.3})["total"] == 30.0


def test_text_in_a_script_the_project_does_not_use_is_no_text_of_the_language(sanskrit):
    named = [f"{text} WHO" if i % 30 == 0 else text for i, (_, text) in enumerate(sanskrit * 3)]
    records = [Doc(str(i), text, "san", "a:1") for i, text in enumerate(named)]
    latin = "nahui xumalli pitzochiyahuizotl ipan ohtli nican nimitzmactilia"
    mixed = f"{sanskrit[0][1]} WHO COVID"
    batch = Batch.of([*records, Doc("x", latin, "san", "a:1"), Doc("y", mixed, "san", "a:1")])
    values = language.fit(batch, language.Config())(batch)
    assert values[-2] == 0 and values[-1] > 0 and (values[:-2] > 0).all()


def test_the_line_between_good_and_bad_hardly_moves_with_how_much_is_thought_bad():
    rng = np.random.default_rng(3)
    good, bad = rng.normal(4, 2, 2550), rng.normal(-4, 2, 450)
    given, below = np.sort(np.concatenate([good, bad])), np.sort(rng.normal(-4, 2, 3000))
    for share in (0.12, 0.15, 0.18):
        edge = _crossing(given, below, share * len(given) / len(below))
        assert (good <= edge).mean() < 0.02 and (bad <= edge).mean() > 0.85
    nothing = _crossing(np.sort(good), below, 1e-4 * len(good) / len(below))
    assert (good <= nothing).mean() < 0.002
