"""The page a community reads: self-contained, honest in its words, every text marked, every number with its signature."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer

from endonym import plugins
from endonym.compare import charts, facts, page, samples, words
from endonym.compare import run as compare
from endonym.compare.significance import compare_all
from endonym.data.dataset import DatasetWriter
from endonym.evaluate.items import Run
from endonym.tokenizer.actions import report as tokens
from endonym.tokenizer.plot import plot
from endonym.types import Drop, Pair

TEXTS = page.strings("en", Path("nowhere"))


def write_scores(folder: Path, pairs: list[tuple[str, str]], damage: dict[str, float], models: dict[str, str]) -> None:
    """An evaluation whose systems got a known share of words wrong."""
    rows, statistics, outputs = [], [], []
    rng = random.Random(5)
    for direction, here, there in (("spa>tzh", 0, 1), ("tzh>spa", 1, 0)):
        references = [pair[there] for pair in pairs]
        for system, share in damage.items():
            texts = [" ".join("x" if rng.random() < share else w for w in text.split()) for text in references]
            n = len(pairs)
            run = Run(
                system, "translate", direction, tuple(map(str, range(n))), tuple(p[here] for p in pairs),
                tuple((r,) for r in references), tuple(texts), (None,) * n, tuple(len(r.encode()) for r in references),
            )  # fmt: skip
            for name in ("chrf", "bleu"):
                module = plugins.load("metric", name)
                [score] = module.score(run, module.Config())
                key = {
                    "system": system,
                    "task": "translate",
                    "direction": direction,
                    "metric": name,
                    "name": score.name,
                }
                number = {
                    "value": score.value,
                    "low": score.low,
                    "high": score.high,
                    "signature": score.signature,
                    "n": n,
                }
                rows.append(key | number | {"higher_is_better": True})
                statistics.append(key | {"ids": list(run.ids), "values": list(score.per_item)})
            outputs += [
                {"system": system, "task": "translate", "direction": direction, "id": str(i), "source": pair[here],
                 "reference": pair[there], "text": text}
                for i, (pair, text) in enumerate(zip(pairs, texts, strict=True))
            ]  # fmt: skip
    folder.mkdir(parents=True)
    scores = {
        "rows": rows,
        "data_hash": "d" * 64,
        "models": models,
        "items": 2 * len(pairs),
        "settings": {"samples": 8, "draft_votes": 2},
    }
    (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    for name, lines in (("statistics", statistics), ("outputs", outputs)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def make_report(
    tmp_path: Path, pairs: list[tuple[str, str]], damage: dict[str, float], diagnosed: str = "3" * 64, **inputs: Path
) -> tuple[str, dict]:
    """The report on a model whose hash is all threes; `diagnosed` is that of the model which a diagnosis is about, `inputs` are further ones."""
    runs = tmp_path / "runs"
    scores = runs / "0007-evaluate" / "output"
    write_scores(scores, pairs, damage, {name: name[0] * 64 for name in damage})
    raw, clean = runs / "0001-ingest" / "output", runs / "0002-clean" / "output"
    evil = '<script src="https://example.com/x.js"></script>'
    records = [Pair(f"p{i}", a, b, "spa", "tzh", f"raw/a.tsv:{i}") for i, (a, b) in enumerate(pairs)]
    with DatasetWriter(raw) as out:
        out.write(records)
    with DatasetWriter(clean) as out:
        for record in records[:-1]:
            out.read(record)
            out.keep(record)
        out.read(records[-1])
        out.drop(Drop(Pair("q", evil, pairs[-1][1], "spa", "tzh", "raw/a.tsv:9"), "length.too_long", "9 of 3"))
    model = runs / "0005-train" / "output"
    model.mkdir(parents=True)
    about = {"recipe": "lora", "steps": 100, "best_step": 90, "trained_parameters": 5, "parameters": 10}
    about["checks"] = [{"name": "masked tokens", "passed": True, "detail": "gradient 0"}]
    (model / "model.json").write_text(json.dumps(about), encoding="utf-8")
    curve = [{"name": n, "step": i, "value": 5 - i / 50} for n in ("loss", "valid_loss") for i in range(1, 101)]
    (model / "curve.jsonl").write_text("\n".join(map(json.dumps, curve)), encoding="utf-8")
    ancestors = {"raw": raw, "clean": clean, "model": model, "scores": scores}
    for number, folder in enumerate(ancestors.values(), 1):
        about = {"job": number, "hash": str(number) * 64, "kind": "x"}
        (folder.parent / "artifact.json").write_text(json.dumps(about), encoding="utf-8")
    project = SimpleNamespace(
        path=tmp_path, runs=runs, name="my words", language="tzh", base="smollm2-135m", ancestry=lambda folder: ancestors,
        about={"name": "", "language": "tzh", "pivot": "spa", "base": "smollm2-135m", "description": "", "licence": ""},
        sources=[{"files": ["raw/a.tsv"], "licence": "CC BY 4.0", "attribution": "A & B"}],
    )  # fmt: skip
    diagnosis = runs / "0006-diagnose" / "output"
    diagnosis.mkdir(parents=True)
    measures = [
        {"name": "bits/byte, train", "value": 1.5, "low": 1.4, "high": 1.6, "num_items": 9, "signature": "bits|v:1"}
    ]
    measures += [
        {"name": "distinct-2", "value": 0.25, "low": None, "high": None, "num_items": 9, "signature": "distinct|v:1"}
    ]
    found = {
        "gap": {"text": "", "measures": measures, "signs": []},
        "canaries": {"text": "", "measures": [], "signs": []},
    }
    about = {"verdict": "memorising", "reasons": ["50 bytes <came>"], "model": {"hash": diagnosed}, "findings": found}
    (diagnosis / "diagnosis.json").write_text(json.dumps(about), encoding="utf-8")
    output = runs / "0008-compare" / "output"
    output.mkdir(parents=True)
    job = SimpleNamespace(
        project=project,
        output=output,
        inputs={"scores": [scores], "diagnosis": diagnosis, **inputs},
        log=lambda text: None,
        summary=lambda **values: None,
    )
    compare.run(compare.Config(resamples=300, runs=[]), job)
    return (output / "report.html").read_text(encoding="utf-8"), json.loads((output / "comparisons.json").read_text())


@pytest.fixture(scope="module")
def report(tmp_path_factory, tseltal) -> tuple[str, dict]:
    damage = {"tuned": 0.3, "base": 0.95, "copy": 0.97, "dictionary": 0.5, "memory": 0.3}
    return make_report(tmp_path_factory.mktemp("report"), tseltal[:120], damage)


class Reader(HTMLParser):
    """Collects what a page would fetch or link to, its languages, ids and open elements."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"


def test_page_says_how_often_the_models_answered(report):
    assert "answered each 9 times" in report[0]
    assert "counted as 2 further answers" in report[0]


def test_page_asks_the_network_for_nothing(report):
    text, _ = report
    page_ = Reader(text)
    assert page_.open == []
    assert not {tag for tag, _ in page_.tags} & {"script", "link", "iframe", "img", "object", "embed", "base"}
    for tag, attributes in page_.tags:
        for name in ("src", "href", "action", "srcset", "data"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith("#"), (tag, name, value)
    style = "".join(re.findall(r"<style>(.*?)</style>", text, flags=re.S))
    assert "url(" not in style and "@import" not in style


def test_a_diagnosis_of_this_model_stands_on_the_page_and_that_of_another_does_not(report, tmp_path, tseltal):
    text, _ = report
    assert "It has learned texts by heart." in text and "50 bytes &lt;came&gt;" in text
    assert "bits|v:1" in text and "distinct|v:1" in text
    assert '1.500</td><td class="n">1.400 – 1.600' in text and '0.250</td><td class="n">—' in text
    other, _ = make_report(tmp_path, tseltal[:12], {"tuned": 0.3, "base": 0.9}, diagnosed="4" * 64)
    assert "learned texts by heart" not in other


def test_user_text_is_escaped_and_marked(report):
    text, _ = report
    assert "<script" not in text and "&lt;script src=" in text
    page_ = Reader(text)
    spans = [attributes for tag, attributes in page_.tags if tag == "span" and attributes.get("class") == "text"]
    assert len(spans) > 20
    assert all(attributes["dir"] == "auto" and attributes.get("lang") in ("spa", "tzh") for attributes in spans)


def test_charts_describe_themselves(report):
    page_ = Reader(report[0])
    charts_ = [attributes for tag, attributes in page_.tags if tag == "svg" and attributes.get("role") == "img"]
    ids = [attributes["id"] for _, attributes in page_.tags if "id" in attributes]
    assert len(charts_) >= 3 and len(ids) == len(set(ids))
    for attributes in charts_:
        assert all(name in ids for name in attributes["aria-labelledby"].split())


def test_page_says_what_the_numbers_say(report):
    text, data = report
    verdicts = {(c["direction"], c["second"], c["metric"]): c["verdict"] for c in data["comparisons"]}
    for direction in ("spa>tzh", "tzh>spa"):
        assert verdicts[direction, "base", "chrf"] == "better"
        assert verdicts[direction, "dictionary", "chrf"] == "better"
        assert verdicts[direction, "memory", "chrf"] == "no significant difference"
    assert "Into Tseltal it does not beat looking up the nearest known sentence" in text
    assert TEXTS["short"]["verdict_mixed"] in text
    assert all(c["signature"] and c["low"] <= c["difference"] <= c["high"] for c in data["comparisons"])


def test_every_row_of_numbers_names_its_signature(report):
    text, _ = report
    rows = re.findall(r'<tr(?: class="chief")?><th scope="row">.*?</tr>', text, flags=re.S)
    assert len(rows) == 20
    ids = set(re.findall(r'<li id="(s\d+)">', text))
    for row in rows:
        assert re.search(r"\d – \d", row) and re.search(r'href="#(s\d+)"', row)[1] in ids
    assert "nw:2" in text and "tok:13a" in text and "paired-bootstrap" in text


def test_what_was_left_out_is_told(report):
    text, _ = report
    assert TEXTS["reasons"]["length.too_long"] in text and "9 of 3" in text
    assert "smollm2-135m (Apache-2.0)" in text
    assert "CC BY 4.0" in text and "A &amp; B" in text and "Latin" in text


@pytest.mark.parametrize(
    ("damage", "headline"),
    [
        ({"tuned": 0.2, "base": 0.9, "memory": 0.6}, "verdict_good"),
        ({"tuned": 0.6, "base": 0.9, "memory": 0.2}, "verdict_mixed"),
        ({"tuned": 0.9, "base": 0.9, "memory": 0.2}, "verdict_none"),
        ({"tuned": 0.9, "base": 0.4, "memory": 0.2}, "verdict_harm"),
        ({"base": 0.9, "memory": 0.2}, "verdict_unknown"),
    ],
)
def test_headline_follows_the_tests(tmp_path, tseltal, damage, headline):
    text, _ = make_report(tmp_path, tseltal[:60], damage)
    assert TEXTS["short"][headline] in text
    if headline == "verdict_mixed":
        assert "that does better than the model" in text


def told(task: str, metric: str, values: dict[str, tuple[float, bool | None]], higher: bool) -> tuple[str, list[str]]:
    """Headline and sentences where each system has a value, and whether the model is better than it (None: cannot be told)."""
    key = {"task": task, "direction": "amh", "metric": metric, "name": metric}
    rows = [
        key | {"system": system, "value": value, "low": value - 1, "high": value + 1, "n": 200, "higher_is_better": higher}
        for system, (value, _) in values.items()
    ]  # fmt: skip
    verdicts = {True: "better", False: "worse", None: words.SAME}
    comparisons = [
        SimpleNamespace(**key, first="tuned", second=system, verdict=verdicts[better])
        for system, (_, better) in values.items() if system != "tuned"
    ]  # fmt: skip
    said = words.sentences(rows, comparisons, "tuned", TEXTS, lambda code: "Amharic")
    return words.headline(rows, comparisons, "tuned", TEXTS), [sentence.text for sentence in said]


def test_a_language_alone_is_judged_by_how_well_it_is_foreseen():
    short = TEXTS["short"]
    values = {"tuned": (2.0, None), "base": (4.0, True), "ppm": (2.5, True)}
    headline, said = told("complete", "bits_per_byte", values, higher=False)
    assert headline == short["verdict_good_all"]
    assert said[0].endswith("it foresees text better than the model before training and a plain text compressor.")
    assert told("complete", "bits_per_byte", values | {"ppm": (1.0, False)}, False)[0] == short["verdict_mixed"]
    assert told("chat", "bits_per_byte", values | {"base": (1.0, False)}, False)[0] == short["verdict_harm"]
    assert "answers kept for the test better" in told("chat", "bits_per_byte", values, False)[1][0]


def test_a_dictionary_alone_is_judged_by_words_that_were_never_met():
    assert (
        told("lookup", "exact", {"tuned": (5.0, None), "base": (0.0, True)}, True)[0]
        == TEXTS["short"]["verdict_good_all"]
    )
    assert (
        told("lookup", "exact", {"tuned": (0.0, None), "base": (0.0, None)}, True)[0] == TEXTS["short"]["verdict_none"]
    )
    headline, said = told("define", "bits_per_byte", {"tuned": (2.0, None), "base": (4.0, True)}, higher=False)
    assert headline == TEXTS["short"]["verdict_good_all"] and "it foresees text better" in said[0]


def test_a_head_is_judged_against_the_simple_ways_alone():
    short = TEXTS["short"]
    headline, said = told("tag", "span_f1", {"tuned": (60.0, None), "majority": (30.0, True)}, higher=True)
    assert headline == short["verdict_alone_good"]
    assert said[:2] == [
        "Marking words in Amharic: its score is 60.0 of 100 (span_f1, 59.0 to 61.0).",
        "There it does better than always saying what was commonest.",
    ]
    earlier = {"majority": (30.0, True), "earlier model, run 3": (61.0, None)}
    assert told("tag", "span_f1", {"tuned": (60.0, None), **earlier}, True)[0] == short["verdict_alone_good"]
    headline, said = told("embed", "recall_at_1", {"tuned": (30.0, None), "overlap": (50.0, False)}, higher=True)
    assert headline == short["verdict_alone_mixed"] and "worse than counting what texts share" in said[1]


def test_a_lower_bits_per_byte_is_better(tmp_path):
    ids = [str(i) for i in range(50)]
    key = {"task": "translate", "direction": "spa>tzh", "metric": "bits_per_byte", "name": "bits/byte", "ids": ids}
    tuned = key | {"system": "tuned", "values": [x for i in range(50) for x in (20 + i % 5, 10)]}
    ppm = key | {"system": "ppm", "values": [x for i in range(50) for x in (25 + i % 7, 10)]}
    name = ("translate", "spa>tzh", "bits_per_byte", "bits/byte")
    [comparison] = compare_all([tuned, ppm], {name: False}, "tuned", 0.05, 300, 1, tmp_path)
    assert comparison.difference < 0 and comparison.verdict == "better"


def test_only_shared_items_are_compared(tmp_path):
    key = {"task": "translate", "direction": "a>b", "metric": "exact", "name": "exact %"}
    one = key | {"system": "tuned", "ids": ["a", "b", "c"], "values": [1, 1, 0, 1, 1, 1]}
    two = key | {"system": "base", "ids": ["c", "a"], "values": [0, 1, 1, 1]}
    [comparison] = compare_all([one, two], {}, "tuned", 0.05, 100, 1, tmp_path)
    assert comparison.n == 2 and comparison.difference == 50.0


def test_samples_are_chosen_by_rule():
    scores = {str(i): float(i) for i in range(30)}
    answers = {str(i): {"source": "s", "reference": "three words here", "text": str(i)} for i in range(30)}
    chosen = samples.choose(scores, answers, {}, 3, seed=1)
    assert [s.answer for s in chosen["good"]] == ["29", "28", "27"]
    assert [s.answer for s in chosen["bad"]] == ["0", "1", "2"]
    assert chosen == samples.choose(scores, answers, {}, 3, seed=1)
    shown = [s.answer for group in chosen.values() for s in group]
    assert len(shown) == len(set(shown)) == 9


def test_ticks_are_round_and_inside():
    assert charts.ticks(0, 47) == [0, 10, 20, 30, 40]
    assert all(0.011 <= t <= 0.093 for t in charts.ticks(0.011, 0.093))


@pytest.mark.parametrize(
    ("num_pivot", "parallel", "said"),
    [
        (9, True, "For the same content, Tseltal needs"), (5, False, "For a character, Tseltal needs"),
        (0, False, "There is no training text in Spanish to compare with"),
    ],
)  # fmt: skip
def test_what_a_text_costs_is_told_of_translations_of_loose_texts_and_of_one_language_alone(
    tmp_path, tiny_model, tseltal, num_pivot, parallel, said
):
    pivot, ours = ([pair[side] for pair in tseltal[:9]] for side in (0, 1))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    found = tokens.compare(tokenizer, ours, pivot[:num_pivot], "tzh", "spa", parallel, tokens.Config())
    measured = tmp_path / "measured"
    measured.mkdir()
    about = json.dumps({**found, "parallel": parallel, "context_share": None})
    (measured / "report.json").write_text(about, encoding="utf-8")
    (measured / "report.svg").write_text(plot(found), encoding="utf-8")
    text, _ = make_report(tmp_path, tseltal[:9], {"tuned": 0.3, "base": 0.9}, tokenizer=measured)
    assert said in text and "tokens a word" in text


def test_every_string_of_the_table_fills(report):
    """A name in braces that the page forgot to fill would be seen by the reader."""
    body = re.sub(r"<style>.*?</style>", "", report[0], flags=re.S)
    assert not re.search(r"\{[a-z_]+\}", body)


def test_translated_words_replace_the_english_ones(tmp_path):
    (tmp_path / "report.es.toml").write_text('[page]\nshort = "En breve"\n', encoding="utf-8")
    texts = page.strings("es", tmp_path)
    assert texts["page"]["short"] == "En breve" and texts["page"]["samples"] == TEXTS["page"]["samples"]


def test_blocks_balance():
    first = {
        "characters": {
            "Basic Latin": {"in": 0, "kept": 100, "dropped": 0},
            "Ethiopic": {"in": 0, "kept": 9, "dropped": 1},
        }
    }
    second = {"characters": {"Basic Latin": {"in": 100, "kept": 80, "dropped": 15}}}
    rows = {row["block"]: row for row in facts._blocks([first, second])}
    assert rows["Basic Latin"] == {"block": "Basic Latin", "in": 100, "dropped": 15, "kept": 80, "changed": -5}
    assert rows["Ethiopic"]["in"] == 10 and rows["Ethiopic"]["kept"] == 0


def test_listing_reads_as_a_sentence():
    assert words.listed(["copy"], TEXTS) == "copying the question"
    assert words.listed(["copy", "base"], TEXTS, "and") == "copying the question and the model before training"
