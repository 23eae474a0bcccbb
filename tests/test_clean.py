"""Cleaning repairs without losing meaning, drops only with a reason, keeps links, and accounts for every character."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ingest import TSELTAL, run_ingest

from endonym import plugins
from endonym.clean import run as clean
from endonym.clean.cores import worked
from endonym.clean.filters import duplicate, length, near_duplicate, quality, ratio, script, unicode
from endonym.clean.repeats import key_of
from endonym.data.dataset import Dataset, DatasetWriter
from endonym.data.near_dup import jaccard, normalise, shingles
from endonym.data.scripts import count_blocks
from endonym.ingest.add import add
from endonym.jobs.job import Job
from endonym.project import Project
from endonym.split.components import join
from endonym.split.groupers import near_duplicate as split_near_duplicate
from endonym.store import jobs as job_rows
from endonym.types import Chat, Doc, Drop, Entry, Keep, Message, Pair, Sense, record_id

NFC = unicode.Config(language="tzh")


def doc(text: str, language: str = "spa", **meta) -> Doc:
    return Doc(record_id(text, str(meta)), text, language, "a.txt:1", meta)


def pair(source: str, target: str, number: int = 0, a: str = "tzh", b: str = "spa", **meta) -> Pair:
    return Pair(record_id(source, target, str(number)), source, target, a, b, f"a.tsv:{number}", meta)


def entry(headword: str, *definitions: str, pos: str = "") -> Entry:
    senses = tuple(Sense(text, "spa") for text in definitions)
    return Entry(record_id(headword, pos, *definitions), headword, "tzh", senses, "d.csv:1", pos)


def sifted(module, records, cfg=None):
    """(records kept, drops) of one filter."""
    items = list(module.sift(iter(records), cfg or module.Config()))
    return [i.record for i in items if isinstance(i, Keep)], [i for i in items if isinstance(i, Drop)]


def cleaned(text: str, language: str = "tzh", cfg=NFC, lines: bool = False) -> str:
    report = unicode.Report()
    new = unicode.repaired(text, language, cfg, lines, report)
    assert count_blocks(text) + report.added == count_blocks(new) + report.removed
    return new


@pytest.mark.parametrize(
    "text",
    [
        "क्‍ष र्‍य श्री धर्मक्षेत्रे",  # Devanagari with a zero width joiner
        "می‌خواهم کتاب‌ها",  # Persian with zero width non-joiners
        "ණ්‍ය ක්‍රම ශ්‍රී",  # Sinhala conjuncts
        "ሰላም፡ለዓለም።",
        "Yorùbá ọ̀rọ̀ àwọn ẹ̀kọ́",  # tone marks that have no composed form
        "ភាសា​ខ្មែរ",  # Khmer with a zero width space between words
        "👩‍🌾 🏳️‍🌈",
        "k'op k´op k’op kʼop",
        "ᠮᠣᠩᠭᠣᠯ᠎ᠠ",  # Mongolian vowel separator
        "שָׁלוֹם",
        "tlahtōlli ë ñandé ᐃᓄᒃᑎᑐᑦ",
    ],
)
def test_marks_that_carry_meaning_stay(text):
    text = unicodedata.normalize("NFC", text)
    assert cleaned(text, "xxx") == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n\u0303and\u00e9", "ñandé"),
        ("ca\u00adsa\ufeff\u2060", "casa"),
        ("ca\u200csa \u200dna\u200b", "casa na"),
        ("a\u00a0b\u2003c\t d\u3000", "a b c d"),
        ("dijo \u0093s\u00ed\u0094", "dijo “sí”"),
        ("a\x00\x07b", "ab"),
        ("\u202aabc\u202c\u200e", "abc"),
        ("uno\r\ndos", "uno dos"),
    ],
)
def test_what_carries_none_goes(text, expected):
    assert cleaned(text) == expected


def test_direction_marks_stay_in_right_to_left_text():
    text = "سلام\u200f (abc) \u202bx\u202c"
    assert cleaned(text, "ara") == "سلام\u200f (abc) x"
    assert cleaned(text, "ara", unicode.Config(bidi="keep")) == text


def test_documents_keep_their_lines_and_pairs_are_one_line():
    text = " uno  dos\r\n tres\n\n\n\ncuatro "
    kept, _ = sifted(
        unicode, [doc(text), pair(text, "x"), Chat("c", (Message("user", text), Message("assistant", "x")), "c:1")]
    )
    assert kept[0].text == "uno dos\ntres\n\ncuatro"
    assert kept[1].source == "uno dos tres cuatro"
    assert kept[2].messages[0].content == kept[0].text


def test_apostrophes_are_reported_and_made_one_only_on_request():
    records = [pair("k´op ma’ ‘ch’ k'an", "dijo ’no’ del d´a")]
    items = unicode.sift(records, NFC)
    assert next(items).record == records[0]
    with pytest.raises(StopIteration) as end:
        next(items)
    assert end.value.value["apostrophes"]["tzh"]["U+00B4 ACUTE ACCENT"] == 1
    kept, _ = sifted(unicode, records, unicode.Config(apostrophes="'", language="tzh"))
    assert kept[0].source == "k'op ma' 'ch' k'an"
    assert kept[0].target == records[0].target


def test_a_text_with_a_lost_character_is_dropped():
    kept, dropped = sifted(unicode, [pair("ixim", "ma\ufffd\ufffdz"), pair("na", "casa")])
    assert [drop.reason for drop in dropped] == ["unicode.damaged"]
    assert len(kept) == 1


CHARACTERS = st.characters(codec="utf-8") | st.sampled_from(
    list("\u200b\u200c\u200d\u00ad\ufeff\u0301\u202e\u2028\u00a0 \t\n'´’अश्\u0950ሰف")
)


@given(st.text(CHARACTERS, max_size=40), st.booleans())
def test_the_characters_of_any_text_balance(text, lines):
    once = cleaned(text, lines=lines)
    assert unicodedata.is_normalized("NFC", once)
    assert cleaned(once, lines=lines) == once


def test_short_things_of_a_dictionary_are_no_errors():
    records = [entry("a", "marca"), entry("ja'", "sí"), pair("bi", "¿qué?"), pair("¡xmam!", "¡así!"), doc("Ch'ul")]
    kept, dropped = sifted(length, records)
    assert (len(kept), dropped) == (5, [])
    bad = [entry("na"), doc("12 - 14"), pair("", ""), pair("x" * 12_000, "y"), doc("...")]
    kept, dropped = sifted(length, bad)
    assert not kept
    assert Counter(drop.reason for drop in dropped) == {
        "length.no_definition": 1, "length.no_letters": 2, "length.empty": 1, "length.too_long": 1,
    }  # fmt: skip


def test_a_sentence_whose_translation_is_missing_stays_as_text(tmp_path):
    """A field linguist writes ??? where nobody has translated yet; the sentence is as good as before."""
    records = [pair("ay jna", "???"), pair("", "tengo casa"), pair("?", "-"), pair("sok snaul", "con su dueño")]
    raw = tmp_path / "raw"
    with DatasetWriter(raw) as out:
        for record in records:
            out.read(record)
            out.keep(record)
    data = run_clean(Project.create(tmp_path / "p", language="tzh", pivot="spa"), raw)
    balanced(data, records)
    kept = list(data.records())
    assert [(r.kind, r.texts()) for r in kept] == [
        ("doc", (("tzh", "ay jna"),)),
        ("doc", (("spa", "tengo casa"),)),
        ("pair", records[3].texts()),
    ]
    assert kept[0].meta["untranslated"] == "???"
    assert [drop.reason for drop in sifted(length, records, length.Config(keep_untranslated=False))[1]] == [
        "length.no_letters",
        "length.empty",
        "length.no_letters",
    ]


def test_the_usual_length_ratio_is_learned_from_the_data(tseltal, amharic):
    for language, texts in (("tzh", tseltal), ("amh", amharic)):
        pairs = [pair(own, other, i, language) for i, (other, own) in enumerate(texts)]
        wrong = pair(pairs[0].source[:9], " ".join(p.target for p in pairs[:12]), 999, language)
        kept, dropped = sifted(ratio, [*pairs, wrong])
        assert kept == pairs
        assert [drop.record for drop in dropped] == [wrong]


def test_a_remark_in_brackets_is_no_wrong_length(tseltal):
    pairs = [pair(own, other, i) for i, (other, own) in enumerate(tseltal)]
    remark = pair("¡slu' ame'!", "¡tu madre! (" + "insulto muy fuerte que no se dice " * 8 + ")", 999)
    assert sifted(ratio, [*pairs, remark])[1] == []


def test_text_in_a_foreign_script_goes(amharic):
    pairs = [pair(own, other, i, "amh", "eng") for i, (other, own) in enumerate(amharic)]
    swapped = replace(pairs[0], id="x", source=pairs[0].target)
    short = replace(pairs[0], id="y", source="COVID")
    unknown = pair("любой текст на любом языке", "x", a="xxx")
    kept, dropped = sifted(script, [*pairs, swapped, short, unknown])
    assert [drop.record.id for drop in dropped] == ["x"]
    assert "Latn" in dropped[0].detail
    assert len(kept) == len(pairs) + 2


def test_duplicates_pass_their_links_on():
    first = pair("lek ay.", "está bien", 1, headwords=["lek"], entry="e1", entries=["e1"], dialect="Oxchuc")
    again = pair("Lek  ay", "Está bien.", 2, headwords=["ay", "lek"], entry="e2", entries=["e2"], dialect="Bachajón")
    kept, dropped = sifted(duplicate, [first, again])
    assert kept[0].meta == {
        "headwords": ["lek", "ay"], "entry": "e1", "entries": ["e1", "e2"], "dialect": "Oxchuc",
        "dialects": ["Oxchuc", "Bachajón"], "repeats": 1,
    }  # fmt: skip
    assert dropped[0].record == again
    assert "a.tsv:1" in dropped[0].detail


def test_what_only_looks_alike_is_no_duplicate():
    assert key_of("k'op") == key_of("K’op!") != key_of("kop")
    assert key_of("می‌خواهم") != key_of("میخواهم")
    different = [
        entry("a", "marca", pos="part."), entry("a", "marca", pos="aux."), entry("a'", "marca", pos="part."),
        pair("lek ay", "está bien"), pair("lek ay", "es bueno"), pair("Oxchuc", "Oxchuc"),
    ]  # fmt: skip
    assert sifted(duplicate, different) == (different, [])
    assert sifted(near_duplicate, different) == (different, [])


def test_a_pair_that_is_not_translated_goes():
    text = "Presidencia de la República, Palacio Nacional"
    assert [drop.reason for drop in sifted(duplicate, [pair(text, text.upper())])[1]] == ["duplicate.untranslated"]


def test_both_sides_must_be_alike():
    first = pair("mats'al ta ajch'al te karo", "el carro está atascado en el lodo", 1, headwords=["mats'al"])
    alike = pair("mats'al ta ajch'al te karoe", "el carro está atascado en el lodo", 2, headwords=["ajch'al"])
    other = pair("mats'al ta ajch'al te karoe", "se quedó parado el coche en medio del fango", 3)
    kept, dropped = sifted(near_duplicate, [first, other, alike])
    assert [record.id for record in kept] == [first.id, other.id]
    assert kept[0].meta["headwords"] == ["mats'al", "ajch'al"]
    assert dropped[0].record == alike


def test_other_numbers_are_another_text():
    dates = [
        pair(f"ya xk'ot ta yoxlajunebal {day} yu enero ta Oxchuc", f"llega el día {day} de enero a Oxchuc", day)
        for day in (3, 4)
    ]
    kept, dropped = sifted(near_duplicate, dates, near_duplicate.Config(threshold=0.5))
    assert [record.id for record in kept] == [record.id for record in dates] and dropped == []
    assert kept[0].meta["clusters"] == kept[1].meta["clusters"] != []


def test_what_was_alike_through_a_dropped_record_stays_on_one_side_of_the_split():
    """The same verse in three books: two translations stay, alike only through a third that is dropped."""
    verse = "Al principio creó Dios los cielos y la tierra, y la tierra estaba desordenada y vacía"
    first = pair("ta sjajch'ibal Dios la spas te ch'ulchan sok balumilal", verse, 1)
    again = replace(first, id="again", origin="b.tsv:1", target=verse.replace("cielos", "zielos"))
    other = pair("k'alal jajch' te balumilal la spas te Kajwaltike", verse.replace("tierra,", "tierra seca,"), 3)
    alone = pair("mats'al ta ajch'al te karo sok te k'in", "el carro está atascado en el lodo", 4)
    kept, dropped = sifted(near_duplicate, [first, again, other, alone], near_duplicate.Config(threshold=0.75))
    assert [drop.record.id for drop in dropped] == ["again"]
    assert kept[0].meta["also_in"] == ["b.tsv"]
    assert set(kept[0].meta["clusters"]) & set(kept[1].meta["clusters"])
    assert "clusters" not in kept[2].meta
    groups = join(
        kept, {"near_duplicate": (split_near_duplicate, split_near_duplicate.Config(threshold=1))}, spans=False
    )
    assert groups == [[0, 1], [2]]


def test_a_chain_of_small_changes_is_not_dropped_as_one():
    words = [f"palabra{chr(97 + i // 10)}{chr(97 + i % 10)}" for i in range(40)]
    docs = [doc(" ".join(words[i : i + 24])) for i in range(0, 16, 2)]
    kept, dropped = sifted(near_duplicate, docs, near_duplicate.Config(threshold=0.8))
    assert len(kept) > 1
    assert len(kept) + len(dropped) == len(docs)
    grams = {record.id: shingles(normalise(record.text)) for record in docs}
    for drop in dropped:
        assert max(jaccard(grams[drop.record.id], grams[record.id]) for record in kept) >= 0.8


def test_parallel_documents_keep_repeated_paragraphs():
    text = "Toda persona tiene derecho a la libertad de opinión."
    docs = [doc(text, parallel="udhr", part=1), doc(text, parallel="udhr", part=2)]
    for module in (duplicate, near_duplicate):
        kept, dropped = sifted(module, docs)
        assert [record.id for record in kept] == [record.id for record in docs] and dropped == []


def test_what_repeats_a_parallel_paragraph_and_another_goes_for_the_other():
    text = "Toda persona tiene derecho a la libertad de opinión"
    aligned, first, again = doc(text, parallel="udhr", part=1), doc(text + " sí"), doc(text + " así")
    kept, dropped = sifted(near_duplicate, [aligned, first, again])
    assert [record.text for record in kept] == [aligned.text, first.text]
    assert [drop.record.text for drop in dropped] == [again.text]


def run_clean(project: Project, raw: Path, settings: dict | None = None) -> Dataset:
    row = job_rows.find_or_create(project.db, "clean", "", "key", {}, {})
    folder = project.runs / f"{row.id:04d}-clean"
    (folder / "output").mkdir(parents=True)
    chosen = {name: plugins.load("filter", name) for name in clean.DEFAULT}
    configs = {name: (module, module.Config(**(settings or {}).get(name, {}))) for name, module in chosen.items()}
    job = Job(project, row.id, "clean", "", folder, {"dataset": raw}, configs)
    clean.run(clean.Config(), job)
    return Dataset(job.output, "clean")


def facts_of(data: Dataset) -> dict:
    import json

    return json.loads((data.folder / "filters.json").read_text(encoding="utf-8"))


def balanced(data: Dataset, before: list) -> None:
    """in + added = kept + dropped + removed, per block, counted here from the records themselves."""
    facts = facts_of(data).values()
    added, removed = (sum((Counter(fact.get(way, {})) for fact in facts), Counter()) for way in ("added", "removed"))
    read = sum((count_blocks(text) for record in before for _, text in record.texts()), Counter())
    kept = sum((count_blocks(text) for record in data.records() for _, text in record.texts()), Counter())
    from endonym.types import from_json

    dropped = sum(
        (count_blocks(text) for line in data.ledger() for _, text in from_json(line["record"]).texts()), Counter()
    )
    assert read + added == kept + dropped + removed
    assert read == Counter({block: row["in"] for block, row in data.manifest["characters"].items() if row["in"]})


def test_the_tseltal_dictionary_passes_whole_and_balances(tmp_path):
    project = Project.create(tmp_path / "p", language="tzh", pivot="spa")
    add(project, sorted(TSELTAL.iterdir()))
    raw = run_ingest(project)
    before = list(raw.records())
    data = run_clean(project, raw.folder, {"unicode": {"apostrophes": "'"}})
    balanced(data, before)
    after = {record.id: record for record in data.records()}
    lost = [record for record in before if record.id not in after]
    reasons = {line["record"]["id"]: line["reason"] for line in data.ledger()}
    measured = {ident for ident, reason in reasons.items() if reason.startswith("quality.")}
    # The floor's own promise: clean text loses at most one record in a hundred to it.
    assert len(measured) <= 0.01 * len(before)
    assert all(
        record.kind == "doc" and record.text.isdigit()
        for record in lost
        if record.kind != "pair" and record.id not in measured
    )
    assert len(lost) <= 0.05 * len(before)
    assert sum(record.kind == "entry" for record in after.values()) >= 198
    linked = {ident for record in before for ident in record.meta.get("entries", ())}
    assert linked == {ident for record in after.values() for ident in record.meta.get("entries", ())}
    facts = facts_of(data)["unicode"]
    assert facts["removed"]["Latin-1 Supplement"] == facts["added"]["Basic Latin"] > 20
    parts = {
        code: [r.meta["part"] for r in after.values() if r.kind == "doc" and r.language == code]
        for code in ("tzh", "spa")
    }
    assert parts["tzh"] == parts["spa"]
    assert "warning" not in {row["kind"] for row in project.db.execute("SELECT kind FROM events")}


@pytest.mark.parametrize(("name", "language"), [("amharic", "amh"), ("sanskrit", "san")])
def test_other_scripts_balance_too(tmp_path, request, name, language):
    texts = request.getfixturevalue(name)
    noisy = [
        pair(f" {unicodedata.normalize('NFD', own)}\u200b\ufeff", f"{other}\u00a0", i, language, "eng")
        for i, (other, own) in enumerate(texts)
    ]
    with DatasetWriter(tmp_path / "raw") as out:
        for record in noisy:
            out.keep(record)
    project = Project.create(tmp_path / "p", language=language, pivot="eng")
    data = run_clean(project, tmp_path / "raw")
    balanced(data, noisy)
    assert data.count() >= 0.95 * len(texts)
    want = {unicodedata.normalize("NFC", own) for _, own in texts}
    assert sum(record.source in want for record in data.records()) >= 0.9 * len(texts)


def test_a_filter_that_hides_what_it_changes_is_called_out(tmp_path):
    project = Project.create(tmp_path / "p", language="tzh", pivot="spa")
    folder = project.path / "plugins" / "filter"
    folder.mkdir(parents=True)
    (folder / "cut.py").write_text(
        '"""Cut text."""\nfrom dataclasses import replace\nfrom pydantic import BaseModel\nfrom endonym.types import Keep\n'
        "class Config(BaseModel):\n    pass\n"
        "def sift(records, cfg):\n    for record in records:\n        yield Keep(replace(record, text=record.text[:2]))\n",
        encoding="utf-8",
    )
    with DatasetWriter(tmp_path / "raw") as out:
        out.keep(doc("hola"))
    row = job_rows.find_or_create(project.db, "clean", "", "key", {}, {})
    job_folder = project.runs / "0001-clean"
    (job_folder / "output").mkdir(parents=True)
    module = plugins.load("filter", "cut", project.path)
    job = Job(
        project, row.id, "clean", "", job_folder, {"dataset": tmp_path / "raw"}, {"cut": (module, module.Config())}
    )
    clean.run(clean.Config(), job)
    assert "Basic Latin" in (job_folder / "events.jsonl").read_text(encoding="utf-8")
    assert '"warning"' in (job_folder / "events.jsonl").read_text(encoding="utf-8")


# All cores

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not forked")


@linux
def test_forks_work_in_order_and_their_errors_are_heard():
    base = {"b": 3}  # what is worked with need not go through a pipe
    found = list(worked(lambda x: (x * base["b"], os.getpid()), iter(range(50)), cores=2))
    assert [(x, made) for x, (made, _) in found] == [(x, 3 * x) for x in range(50)]
    assert os.getpid() not in {process for _, (_, process) in found}
    assert [made for _, made in worked(lambda x: os.getpid(), [1, 2], cores=1)] == [os.getpid()] * 2
    with pytest.raises(ZeroDivisionError):
        list(worked(lambda x: 1 // x, [1, 0], cores=2))
    with pytest.raises(BrokenProcessPool):
        list(worked(lambda x: os._exit(9), [1], cores=2))


@linux
def test_no_more_is_taken_in_than_is_worked_on():
    taken = []
    stream = worked(str, (taken.append(i) or i for i in range(1000)), cores=2)
    next(stream)
    assert len(taken) <= 6
    stream.close()


@linux
def test_forks_end_with_the_one_that_made_them():
    code = "import os, time; from endonym.clean.cores import worked\n"
    code += (
        "for _, process in worked(lambda x: os.getpid(), range(9), cores=2): print(process, flush=True); time.sleep(9)"
    )
    made = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    process = int(made.stdout.readline())
    os.kill(process, 0)
    made.kill()
    made.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("a fork outlives its parent")


@linux
def test_quality_is_the_same_on_all_cores(monkeypatch):
    texts = [f"palabra {chr(97 + i % 26)}{i} de otra {i * 7}" for i in range(300)]
    records = [pair(text, text[::-1], i) for i, text in enumerate(texts)]
    alone = sifted(quality, records)
    monkeypatch.setattr(quality, "MANY", 0)
    monkeypatch.setattr(quality, "BATCH", 40)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert sifted(quality, records) == alone


def test_a_filter_that_must_see_all_records_shows_how_far_it_is():
    from types import SimpleNamespace

    def sift(records, cfg):
        yield from [Keep(record) for record in records]
        return {"seen": True}

    ticks, facts = [], {}
    job = SimpleNamespace(tick=lambda done, total, unit, **values: ticks.append((done, total, unit, values)))
    records = [Doc(str(i), "k'op", "tzh", "a:1") for i in range(clean.MANY)]
    passed = clean._filtered(iter(records), "all", SimpleNamespace(sift=sift), None, None, facts, Counter(), job)
    assert list(passed) == records and facts == {"all": {"seen": True}}
    assert ticks[0] == (200, clean.MANY, "records", {"filter": "all"}) and ticks[-1][0] == clean.MANY
    ticks.clear()
    list(clean._filtered(iter(records[1:]), "all", SimpleNamespace(sift=sift), None, None, facts, Counter(), job))
    assert not ticks
