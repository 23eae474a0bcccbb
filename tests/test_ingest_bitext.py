"""Bitext and transcripts: every text of a file is in a record or the ledger, sides that belong together are paired, times tell how surely."""

from __future__ import annotations

import gzip
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ingest import FIXTURES, READERS, make_project, read, run_ingest

from endonym.align.run import find_parallel
from endonym.errors import DataError
from endonym.ingest.add import add
from endonym.ingest.readers.cha import clean
from endonym.ingest.readers.moses import sniff as moses_sniff
from endonym.ingest.sample import take
from endonym.ingest.sniff import choose_reader
from endonym.ingest.timing import Span, beads, clock, moved
from endonym.project import Project
from endonym.types import Doc, Drop, Entry, Pair

LABEL = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and any(char.isalpha() for char in text)
)
PER_TEST = settings(max_examples=40, deadline=None)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def kept(items: list) -> list:
    return [item for item in items if not isinstance(item, Drop)]


def dropped(items: list) -> dict:
    return {item.reason: item.record for item in items if isinstance(item, Drop)}


def sides(items: list) -> list:
    return [(item.source, item.target) for item in items if isinstance(item, Pair)]


def strings(value) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    return [text for one in value for text in strings(one)] if isinstance(value, list | tuple) else [str(value)]


# What stands in each fixture, found by other means than the readers: a pattern over the raw file.
TEXTS = {
    "translation.xlf": r"<(?:source|target|mrk)[^>]*>([^<>]+?)\s*<",
    "film.tzh.srt": r"^(?!\d+$|.*-->)(?:<i>)?(.+?)(?:</i>)?$",
    "recording.eaf": r"<ANNOTATION_VALUE>([^<]+)<",
    "recording.TextGrid": r'(?:text|mark) = "((?:[^"]|"")+?)"\s*$',
    "story.flextext": r'type="(?:title|txt|gls|note)"[^>]*lang="(?:es|en|tzh)">([^<]+)<(?!/item><item type="(?:cf|gls|msa))',
    "corpus.tzh": r"^(.+)$",
    "interlinear.txt": r"^\\(?!_sh)\w+ +(.+)$",
}


@pytest.mark.parametrize("name", TEXTS)
def test_no_word_of_a_file_is_left_behind(name):
    raw = (FIXTURES / name).read_text(encoding="utf-8")
    wanted = " ".join(re.findall(TEXTS[name], raw, re.M)).replace('""', '"').split()
    items = read(FIXTURES / name, READERS[name])
    records = [item.record if isinstance(item, Drop) else item for item in items]
    found = " ".join(strings([(record.texts(), dict(record.meta)) for record in records]))
    assert len(wanted) >= 2
    assert not [word for word in wanted if word not in found]


@pytest.mark.parametrize("name", [name for name in READERS if name in TEXTS or name == "interview.cha"])
def test_added_without_a_hint_the_ledger_balances(tmp_path, name):
    project = make_project(tmp_path / "p")
    files = [FIXTURES / other for other in ((name, "corpus.spa") if name == "corpus.tzh" else (name,))]
    for file in files:
        shutil.copy(file, project.path / "raw")
    (finding,) = add(project, sorted((project.path / "raw").iterdir()))
    assert finding.reader == READERS[name]
    assert finding.added, finding.problems
    data = run_ingest(Project(project.path))
    counts = data.manifest["characters"].values()
    assert sum(count["in"] for count in counts) > 10
    assert all(count["in"] == count["kept"] + count["dropped"] and not count["changed"] for count in counts)


XLIFF2 = """<?xml version="1.0"?>
<x:xliff xmlns:x="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="es" trgLang="tzh"><x:file id="f">
<x:unit id="1"><x:originalData><x:data id="d">&lt;br/&gt;</x:data></x:originalData><x:notes><x:note>say it softly</x:note></x:notes>
<x:segment id="s1" state="final"><x:source>mi <x:pc id="1">terreno</x:pc><x:ph id="2" equiv=" grande"/></x:source><x:target>sok <x:mrk id="m">snaul</x:mrk><x:cp hex="0027"/></x:target></x:segment>
<x:ignorable><x:source> </x:source></x:ignorable>
<x:segment state="initial"><x:source>casa</x:source></x:segment></x:unit></x:file></x:xliff>"""
SDL = """<?xml version="1.0"?><xliff version="1.2" xmlns:sdl="http://sdl.com/FileTypes/SdlXliff/1.0"><file original="a.docx" source-language="es-ES" target-language="tzh">
<body><trans-unit id="1"><source>casa. agua.</source><seg-source><mrk mtype="seg" mid="1">casa.</mrk> <mrk mtype="seg" mid="2">agua.</mrk></seg-source>
<target><mrk mtype="seg" mid="1">na.</mrk> <mrk mtype="seg" mid="2">ha'.</mrk></target><sdl:seg-defs><sdl:seg id="1" conf="ApprovedTranslation"/><sdl:seg id="2" conf="RejectedTranslation"/></sdl:seg-defs></trans-unit></body></file></xliff>"""


def test_xliff_2_and_trados_files_give_words_states_and_notes(tmp_path):
    found = read(write(tmp_path, "a.xliff", XLIFF2), "xliff")
    assert sides(found) == [("mi terreno grande", "sok snaul'")]
    assert found[0].meta == {"unit": "1", "file": "f", "notes": ["say it softly"], "segment": "s1", "state": "final"}
    assert dropped(found)["xliff.untranslated"].source == "casa"
    found = read(write(tmp_path, "a.sdlxliff", SDL), "xliff")
    assert sides(found) == [("casa.", "na.")]
    assert dropped(found)["xliff.rejected"].target == "ha'."
    with pytest.raises(DataError, match=r"spa to tzh \(2\)"):
        read(tmp_path / "a.xliff", "xliff", language="quy")
    with pytest.raises(DataError, match="translate it first"):
        read(write(tmp_path, "b.xliff", re.sub("<x:target>.*?</x:target>", "", XLIFF2)), "xliff")
    assert sides(read(FIXTURES / "translation.xlf", "xliff", checked=True)) == [
        ("no se critiquen unos a otros", "ma xawa'an abaik")
    ]


def srt(cues: list[tuple[float, float, str]]) -> str:
    def clock_of(seconds: float) -> str:
        whole = round(seconds * 1000)
        return f"{whole // 3600000:02}:{whole // 60000 % 60:02}:{whole // 1000 % 60:02},{whole % 1000:03}"

    return "".join(f"{n}\n{clock_of(a)} --> {clock_of(b)}\n{text}\n\n" for n, (a, b, text) in enumerate(cues, 1))


def test_subtitles_of_a_film_in_two_languages_are_paired_by_their_times(tmp_path, tseltal):
    rows = tseltal[:40]
    own = [(3 * n + 1.0, 3 * n + 3.5, text) for n, (_, text) in enumerate(rows)]
    # The Spanish file begins 20 seconds later, puts two cues into one, and lacks one.
    other = [(a + 20.1, b + 20.3, rows[n][0]) for n, (a, b, _) in enumerate(own)]
    other[4:6] = [(other[4][0], other[5][1], f"{other[4][2]}\n{other[5][2]}")]
    del other[20]
    project = make_project(tmp_path / "p")
    write(project.path / "raw", "film.tzh.srt", srt(own))
    write(project.path / "raw", "film.es.srt", srt(other))
    (finding,) = add(project, [project.path / "raw"])
    assert finding.added
    assert {said.language for said in finding.languages} == {"tzh", "spa"}
    records = list(run_ingest(Project(project.path)).records())
    pairs = {record.source: record for record in records if isinstance(record, Pair)}
    assert pairs[f"{rows[4][1]} {rows[5][1]}"].target == f"{rows[4][0]} {rows[5][0]}"
    right = [pairs[text].target == said for n, (said, text) in enumerate(rows) if n not in (4, 5, 21)]
    assert all(right)
    assert [record.text for record in records if isinstance(record, Doc)] == [rows[21][1]]
    assert all(
        0.8 < pair.meta["confidence"] <= 1 and pair.meta["shift"] == pytest.approx(-20, abs=0.5)
        for pair in pairs.values()
    )


def test_subtitles_without_a_language_in_the_name_are_the_projects_other_one(tmp_path):
    project = make_project(tmp_path / "p")
    write(project.path / "raw", "film.srt", srt([(1, 3, "ma xawa'an abaik")]))
    write(project.path / "raw", "film.es.srt", srt([(1, 3, "no se critiquen")]))
    add(project, [project.path / "raw"])
    (pair,) = run_ingest(Project(project.path)).records()
    assert (pair.text("tzh"), pair.text("spa")) == ("ma xawa'an abaik", "no se critiquen")


@PER_TEST
@given(
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 8)), max_size=30),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 8)), max_size=30),
)
def test_each_cue_is_in_exactly_one_bead(left, right):
    one, two = ([Span(a, a + b, "x", 1) for a, b in side] for side in (left, right))
    found = list(beads(one, two))
    assert sorted(i for bead in found for i in bead.source) == list(range(len(one)))
    assert sorted(j for bead in found for j in bead.target) == list(range(len(two)))
    assert all(0 <= bead.confidence <= 1.000001 for bead in found)


def test_a_file_that_runs_faster_is_slowed_down():
    one = [Span(7 * n + n % 3, 7 * n + 3, "x", n) for n in range(300)]
    pal = [Span(span.start * 24 / 25 + 5, span.end * 24 / 25 + 5, "x", 1) for span in one]
    offset, speed = clock(one, pal)
    assert speed == pytest.approx(25 / 24)
    assert all(abs(a.start - b.start) < 0.5 for a, b in zip(one, moved(pal, offset, speed)))
    assert clock(one, one) == (0.0, 1.0)


VTT = """WEBVTT - a film

STYLE
::cue { color: red }

NOTE a remark

intro
00:01.000 --> 00:03.500 align:start
<v Maruch>ma <c.loud>xawa'an</c> &amp; abaik</v>

00:04.000 --> 00:05.000
ANA: na 3 < 5

7
00:06.000 --> 00:07.000
♪ ♪
"""


def test_webvtt_tags_speakers_and_notes(tmp_path):
    found = read(write(tmp_path, "film.tzh.vtt", VTT), "subtitles")
    assert [(doc.text, doc.meta["speaker"], doc.meta["start"]) for doc in kept(found)] == [
        ("ma xawa'an & abaik", "Maruch", 1.0), ("na 3 < 5", "ANA", 4.0)]  # fmt: skip
    assert {"subtitles.comment", "subtitles.sound"} == set(dropped(found))
    broken = VTT.replace("00:06.000 --> 00:07.000", "00:06 -> --> 7")
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, "b.tzh.vtt", broken), "subtitles")
    assert caught.value.problems[0].line == 16


@PER_TEST
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**4), LABEL.filter(lambda t: not set(t) & set("<>&{}[]()♪#*-:"))),
                min_size=1, max_size=8))  # fmt: skip
def test_cues_come_back_as_they_were_written(tmp_path_factory, cues):
    path = write(tmp_path_factory.mktemp("s"), "a.srt", srt([(a / 1000, (a + b) / 1000, text) for a, b, text in cues]))
    found = kept(read(path, "subtitles"))
    assert [(round(d.meta["start"] * 1000), round(d.meta["end"] * 1000), d.text) for d in found] == [
        (a, a + b, t) for a, b, t in cues
    ]


def textgrid(tiers: list[tuple[str, list[str]]], short: bool) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    end = max(len(labels) for _, labels in tiers)
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    if short:
        body = f"0\n{end}\n<exists>\n{len(tiers)}\n"
        for name, labels in tiers:
            body += f'"IntervalTier"\n{quoted(name)}\n0\n{end}\n{len(labels)}\n'
            body += "".join(f"{n}\n{n + 1}\n{quoted(text)}\n" for n, text in enumerate(labels))
        return head + body
    body = f"xmin = 0 \nxmax = {end} \ntiers? <exists> \nsize = {len(tiers)} \nitem []: \n"
    for place, (name, labels) in enumerate(tiers, 1):
        body += (
            f'    item [{place}]:\n        class = "IntervalTier" \n        name = {quoted(name)} \n        xmin = 0 \n'
        )
        body += f"        xmax = {end} \n        intervals: size = {len(labels)} \n"
        for n, text in enumerate(labels):
            body += f"        intervals [{n + 1}]:\n            xmin = {n} \n            xmax = {n + 1} \n"
            body += f"            text = {quoted(text)} \n"
    return head + body


@PER_TEST
@given(st.lists(LABEL, min_size=1, max_size=6), st.booleans(), st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]))
def test_textgrids_of_both_forms_come_back_as_they_were_written(tmp_path_factory, labels, short, encoding):
    labels = [f"{label} a" for label in labels]
    tiers = [("tseltal", labels), ("español", [label[::-1] for label in labels])]
    path = write(tmp_path_factory.mktemp("t"), "a.TextGrid", textgrid(tiers, short).encode(encoding))
    assert choose_reader(path, None) == "textgrid"
    assert sides(read(path, "textgrid")) == [(label, label[::-1]) for label in labels]


def test_tiers_are_told_by_setting_mark_name_and_text(tmp_path, tseltal):
    own, spanish = [b for _, b in tseltal[:20]], [a for a, _ in tseltal[:20]]
    path = write(tmp_path, "a.TextGrid", textgrid([("KM", own), ("LP", spanish), ("phones", ["a"] * 20)], True))
    found = read(path, "textgrid")
    assert sides(found) == list(zip(own, spanish))
    assert all(pair.meta["confidence"] == 1 for pair in kept(found))
    assert len(found) - len(kept(found)) == 20
    # Forced alignment gives the words again, one by one, and measurements stand on tiers too.
    words = [word for text in own for word in text.split()]
    again = write(tmp_path, "b.TextGrid", textgrid([("KM", own), ("align", words), ("f0", ["120"])], True))
    assert [doc.text for doc in kept(read(again, "textgrid"))] == own
    turned = read(path, "textgrid", tiers={"KM": "-", "LP": "tzh"})
    assert [doc.text for doc in kept(turned)] == spanish
    with pytest.raises(DataError, match="'KM'"):
        read(path, "textgrid", tiers={"KM": "-", "LP": "fr"})


def test_elan_pairs_what_hangs_from_one_annotation(tmp_path):
    raw = (FIXTURES / "recording.eaf").read_text(encoding="utf-8")
    (pair,) = [item for item in read(FIXTURES / "recording.eaf", "elan") if isinstance(item, Pair)]
    assert (pair.meta["start"], pair.meta["end"], pair.meta["speaker"], pair.meta["confidence"]) == (
        2.1,
        4.0,
        "Maruch",
        1.0,
    )
    # A translation of one word inside the utterance, two levels down, still belongs to the utterance.
    nested = raw.replace('ANNOTATION_REF="a2"><ANNOTATION_VALUE>me', 'ANNOTATION_REF="a4"><ANNOTATION_VALUE>me')
    assert sides(read(write(tmp_path, "n.eaf", nested), "elan")) == [(pair.source, pair.target)]
    # Two speakers, and only the references say whose translation it is.
    two = nested.replace('TIER_ID="tx@M"', 'TIER_ID="tx@X"').replace('PARTICIPANT="Maruch"', "")
    before = '<TIER LINGUISTIC_TYPE_REF="utterance" TIER_ID="tx@L"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="b1" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4"><ANNOTATION_VALUE>lek ay</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER><TIER DEFAULT'
    assert sides(read(write(tmp_path, "t.eaf", two.replace("<TIER DEFAULT", before, 1)), "elan")) == [
        (pair.source, pair.target)
    ]
    # Without the reference the times alone decide: here there are none for it, so the texts stay apart.
    apart = raw.replace(' ANNOTATION_REF="a2"><ANNOTATION_VALUE>me', "><ANNOTATION_VALUE>me")
    assert sides(read(write(tmp_path, "a.eaf", apart), "elan")) == []
    assert len(kept(read(tmp_path / "a.eaf", "elan"))) == 3


def test_flex_gives_pairs_with_glossed_words_and_entries():
    found = read(FIXTURES / "story.flextext", "flex")
    (pair,) = [item for item in found if isinstance(item, Pair)]
    assert (pair.source, pair.target) == ("¿ahch'on ta ha'al?", "¿Me mojé por la lluvia?")
    assert pair.meta["words"] == [["ahch'on", "me mojé"], ["ta", "PREP"], ["ha'al", "lluvia"]]
    assert pair.meta["morphemes"] == [["ahch'", "mojarse"], ["-on", "1SG"]]
    assert (pair.meta["speaker"], pair.meta["start"]) == ("Maruch", 1.5)
    words = [
        (item.headword, item.senses[0].definition, item.part_of_speech) for item in found if isinstance(item, Entry)
    ]
    assert words == [("ahch'", "mojarse", "v"), ("ahch'on", "me mojé", "v"), ("ha'al", "lluvia", "")]
    assert not any(isinstance(item, Entry) for item in read(FIXTURES / "story.flextext", "flex", entries=False))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("<I wanted> [/] I wanted to invite Margie .", "I wanted to invite Margie."),
        ("<I wanted> [//] uh I thought I wanted <a> [///] two .", "uh I thought I wanted two."),
        ("what did you [/-] &-um &+s &=laughs sing ?", "what did you sing?".replace("you ", "")),
        ("gonna [: going to] (be)cause (.) it's (1.5) no:: .", "gonna because it's no."),
        ("wenn@s:deu gumma@c [*] New_York black+bird .", "wenn gumma New York blackbird."),
        ("xxx .", ""), ("0 [=! cries] .", ""), ('+" come here +"/.', "come here."), ("but +...", "but..."), ("why +//?", "why?"),
        ("[- spa] hola ‡ Ana ! \x1512_900\x15", "hola, Ana!"), ("he [=! laughing] ↑said <no way> [>] .", "he said no way."),
        ("ሰላም ነው .", "ሰላም ነው."),
    ],
)  # fmt: skip
def test_chat_codes_give_way_to_the_words(raw, words):
    assert clean(raw)[0] == words


def test_chat_keeps_the_raw_line_times_and_analyses():
    pair, *docs = kept(read(FIXTURES / "interview.cha", "cha"))
    assert (pair.source, pair.target) == ("ma xawan abaik.", "no se critiquen unos a otros.")
    assert pair.meta["raw"].startswith("<ma xa> [//] ma xawa(n)")
    assert (pair.meta["start"], pair.meta["end"], pair.meta["unclear"], pair.meta["role"]) == (
        0.5,
        2.1,
        1,
        "Target_Child",
    )
    assert pair.meta["mor"] == "neg|ma v|xawan ."
    assert [(doc.language, doc.text) for doc in docs] == [("spa", "¿qué dices..."), ("tzh", "bayel ahchon ta ha al!")]


@pytest.mark.parametrize("packed", [False, True])
def test_moses_files_are_paired_by_line_or_aligned_again(tmp_path, packed, tseltal):
    own, spanish = [b for _, b in tseltal[:30]], [a for a, _ in tseltal[:30]]
    project = make_project(tmp_path / "p")
    ending = ".gz" if packed else ""

    def put(name: str, rows: list[str]) -> None:
        raw = "".join(f"{row}\n" for row in rows).encode()
        write(project.path / "raw", name + ending, gzip.compress(raw) if packed else raw)

    put("same.tzh", own)
    put("same.es", [*spanish, ""])
    put("other.tzh", own[:-2])
    put("other.es", spanish)
    first, second = sorted(add(project, [project.path / "raw"]), key=lambda finding: finding.files)
    assert first.reader == second.reader == "moses"
    assert first.good_for.startswith("document in two languages")
    data = run_ingest(Project(project.path))
    assert sides(list(data.records())) == list(zip(own, spanish))
    ((name, (left, right)),) = find_parallel(data, {"tzh", "spa"}).items()
    assert (name, [doc.text for doc in left], [doc.text for doc in right]) == ("other", own[:-2], spanish)


def test_a_name_that_only_looks_parallel_is_none(tmp_path):
    for name in ("notes.txt", "notes.md", "script.py", "script.de", "a.xyz", "a.qqq"):
        write(tmp_path, name, "some text\n")
        assert moses_sniff(take(tmp_path / name)) == 0


BOMB = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]>'
ENTITY = '<!DOCTYPE x SYSTEM "x.dtd">'


@pytest.mark.parametrize("name", ["translation.xlf", "recording.eaf", "story.flextext"])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda raw: raw[: len(raw) // 2], "not well-formed"),
        (lambda raw: "", "no element found"),
        (lambda raw: raw.replace("?>", f"?>{BOMB}", 1), "entity of its own"),
        (lambda raw: raw.replace("?>", f"?>{ENTITY}", 1).replace("mojé", "&foo;", 1).replace("critiquen", "&foo;", 1), "&foo;"),
        (lambda raw: raw.replace("mojé", "<a>" * 300 + "</a>" * 300).replace("critiquen", "<a>" * 300 + "</a>" * 300), "deep"),
        (lambda raw: re.sub(r"<(TIER|trans-unit|phrase) .*</\1>", "", raw, flags=re.S), "no "),
    ],
)  # fmt: skip
def test_broken_xml_is_named_with_its_repair(tmp_path, name, change, what):
    path = write(tmp_path, name, change((FIXTURES / name).read_text(encoding="utf-8")))
    with pytest.raises(DataError) as caught:
        read(path, READERS[name])
    (problem,) = caught.value.problems
    assert what in problem.what
    assert problem.file == name
    assert problem.repair


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.srt", "only words\n", "no cue"),
        ("a.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n0 1 <exists> 1 "IntervalTier" "a" 0 1 2 0 1 "x"', "ends here"),
        ("a.TextGrid", 'File type = "ooTextFile"\nObject class = "PitchTier"\n0 1', "PitchTier"),
        ("a.cha", "@UTF8\n@Begin\n*CHI:\txxx .\n@End\n", "no utterance"),
        ("a.cha", "@UTF8\n@Begin\n%spa:\thola .\n@End\n", "without an utterance"),
        ("a.eaf", (FIXTURES / "recording.eaf").read_text(encoding="utf-8").replace('VALUE="500"', 'VALUE="x"'), "milliseconds"),
        ("corpus.tzh.gz", gzip.compress(b"na\n" * 9000, mtime=0)[:-20], "damaged"),
        ("corpus.tzh.gz", gzip.compress(b"x" * 2**24, mtime=0), "longer than"),
        ("corpus.tzh.gz", gzip.compress("ná\n".encode() + b"\xff\xfe\n", mtime=0), "mixed encodings"),
    ],
)  # fmt: skip
def test_broken_files_are_named_with_their_repair(tmp_path, name, content, what):
    path = write(tmp_path, name, content)
    reader = (
        "moses"
        if name.startswith("corpus")
        else {**READERS, "a.srt": "subtitles", "a.TextGrid": "textgrid", "a.cha": "cha", "a.eaf": "elan"}[name]
    )
    with pytest.raises(DataError) as caught:
        read(path, reader)
    assert what in str(caught.value)
    assert all(problem.repair for problem in caught.value.problems)


def test_a_wrong_ending_does_not_lead_to_a_wrong_reader(tmp_path):
    names = [name for name in TEXTS if name != "corpus.tzh"] + ["interview.cha"]
    for name in names:
        for ending in (".txt", ".xml", ".dat"):
            path = tmp_path / f"{Path(name).name}{ending}"
            shutil.copy(FIXTURES / name, path)
            assert choose_reader(path, None) == READERS[name], path.name
    memory = write(tmp_path, "memory.tmx.gz", gzip.compress((FIXTURES / "memory.tmx").read_bytes()))
    assert choose_reader(memory, None) == "tmx"
    with pytest.raises(DataError, match="no reader knows"):
        choose_reader(write(tmp_path, "memory.gz", gzip.compress(bytes(range(256)) * 9)), None)
    assert Counter(READERS.values())["moses"] == 1


def test_interlinear_texts_of_toolbox_give_sentences_with_their_glosses(tmp_path):
    found = read(FIXTURES / "interlinear.txt", "interlinear", languages={"ft": "spa", "fe": "eng"})
    assert sides(found) == [
        ("¿ahch'on ta ha'al?", "¿Me mojé por la lluvia?"),
        ("sok snaul a jil te jk'inale", "mi terreno se quedó (lo dejé) con todo y casa"),
    ]
    first = kept(found)[0]
    assert (first.meta["document"], first.meta["part"], first.meta["fields"]["ge"]) == (
        "La lluvia",
        1,
        ["mojarse -1SG PREP lluvia"],
    )
    entries = {(item.headword, item.senses[0].definition) for item in found if isinstance(item, Entry)}
    assert entries == {("ahch'", "mojarse"), ("ha'al", "lluvia"), ("sok", "con"), ("na", "casa"), ("jil", "quedar")}
    assert [item.text for item in kept(found) if isinstance(item, Doc)] == ["ma xawa'an"]
    assert dropped(found)["interlinear.other_language"].language == "eng"
    assert dropped(found)["interlinear.about"].text == "\\au Maruch"
    uneven = "\\ref 1\n\\tx ay jna\n\\mb ay j- na\n\\ge hay casa\n\\ft tengo casa\n"
    (pair,) = read(write(tmp_path, "a.txt", uneven), "interlinear")
    assert pair.source == "ay jna"


def test_languages_of_free_translations_are_told_by_what_stands_there(tmp_path, tseltal, amharic):
    """Shoebox wrote t, m, g and f; the markers say nothing of the language."""
    records = "".join(
        f"\\ref {n}\n\\t {b}\n\\f {a}\n\\fe {other}\n\n"
        for n, ((a, b), (other, _)) in enumerate(zip(tseltal[:30], amharic))
    )
    project = make_project(tmp_path / "p")
    (finding,) = add(project, [write(tmp_path, "old.txt", records)])
    assert finding.settings["languages"] == {"f": "spa", "fe": "eng"}
    pairs = [r for r in run_ingest(Project(project.path)).records() if isinstance(r, Pair)]
    assert [(r.target, r.source) for r in pairs] == tseltal[:30]
