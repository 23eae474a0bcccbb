"""Readers give what their fixture holds, linked tables stay linked, and `add` says what files are and how it knows."""

from __future__ import annotations

import bz2
import gzip
import json
import secrets
import shutil
from collections import Counter
from pathlib import Path

import pytest

from endonym import plugins
from endonym.data.dataset import Dataset
from endonym.errors import DataError
from endonym.ingest import run as ingest
from endonym.ingest.add import add
from endonym.ingest.encoding import detect, lines
from endonym.ingest.language import Known, identify
from endonym.ingest.names import split_name
from endonym.ingest.readers import lexicon
from endonym.ingest.sniff import choose_reader
from endonym.ingest.source import foreseen
from endonym.jobs.job import Job
from endonym.project import Project
from endonym.store import jobs as job_rows
from endonym.types import Drop, Entry, Pair

DATA = Path(__file__).parent / "data"
FIXTURES = DATA / "ingest"
TSELTAL = DATA / "tseltal"
GOLDEN = json.loads((FIXTURES / "golden.json").read_text(encoding="utf-8"))
READERS = {
    "page.html": "html", "memory.tmx": "tmx", "messages.po": "po", "notes.md": "markdown", "poem.txt": "text", "udhr.docx": "docx",
    "udhr.odt": "odt", "udhr.epub": "epub", "columns.pdf": "pdf", "matthew.usfm": "usfm", "chats.jsonl": "chat",
    "documents.jsonl": "documents", "wordlist.csv": "lexicon", "dictionary.json": "lexicon", "pairs.tsv": "pairs",
    "preferences.jsonl": "preference",
    "translation.xlf": "xliff", "film.tzh.srt": "subtitles", "recording.eaf": "elan", "recording.TextGrid": "textgrid",
    "story.flextext": "flex", "interlinear.txt": "interlinear", "interview.cha": "cha", "corpus.tzh": "moses",
    "dictionary.lift": "lift", "dictionary.sfm": "toolbox", "dictionary.tei": "tei", "structured.txt": "structured",
    "cldf/cldf-metadata.json": "cldf", "stardict/tseltal-spanish.ifo": "stardict", "dictd/freedict-tzh-spa.index": "dictd",
    "wiki.xml": "mediawiki", "site.warc": "warc", "topics.tsv": "labelled", "names.conll": "conll", "questions.json": "squad",
}  # fmt: skip
SETTINGS = {
    "interlinear.txt": {"languages": {"ft": "spa", "fe": "eng"}},
    "corpus.tzh": {"translation": "corpus.spa"},
    "pairs.tsv": {"text": "column 1", "translation": "column 2"},
    "dictionary.sfm": {"languages": {"n": "spa"}},
    "cldf/cldf-metadata.json": {"where": {"Lect": "north"}},
}
SHOWN = (
    "document", "parallel", "part", "section", "heading", "headwords", "context", "key", "main", "homograph", "variants", "references", "fields", "label",
    "tags", "questions",
)  # fmt: skip


def compact(item) -> dict:
    if isinstance(item, Drop):
        return {"drop": item.reason, "detail": item.detail, **compact(item.record)}
    data = {"kind": item.kind, "origin": item.origin, "texts": [list(pair) for pair in item.texts()]}
    if getattr(item, "part_of_speech", ""):
        data["part_of_speech"] = item.part_of_speech
    if hasattr(item, "messages"):
        data["roles"] = [message.role for message in item.messages]
    meta = {key: value for key, value in item.meta.items() if key in SHOWN}
    return {**data, "meta": meta} if meta else data


def read(path: Path, reader: str, **settings):
    module = plugins.load("reader", reader)
    values = {"language": "tzh", "pivot": "spa", **settings}
    return list(
        module.read(path, module.Config(**{k: v for k, v in values.items() if k in module.Config.model_fields}))
    )


def make_project(folder: Path, language: str = "tzh", pivot: str = "spa") -> Project:
    return Project.create(folder, language=language, pivot=pivot)


def run_ingest(project: Project, **settings) -> Dataset:
    row = job_rows.find_or_create(project.db, "ingest", "", secrets.token_hex(8), {}, {})
    folder = project.runs / f"{row.id:04d}-ingest"
    (folder / "output").mkdir(parents=True)
    job = Job(project, row.id, "ingest", "", folder, {}, {})
    ingest.run(ingest.Config(**settings), job)
    return Dataset(job.output, "ingest")


def test_every_reader_has_a_fixture():
    # Pages and recordings are made by their own tests (test_scans.py, test_recordings.py).
    assert {*READERS.values(), "audio", "scan"} == {
        p.name for p in plugins.available("reader").values() if p.origin == "endonym"
    }


@pytest.mark.parametrize("name", READERS)
def test_reader_gives_its_golden_output(name):
    found = read(FIXTURES / name, READERS[name], **SETTINGS.get(name, {}))
    assert [compact(item) for item in found] == GOLDEN[name]


@pytest.mark.parametrize("name", READERS)
def test_the_right_reader_is_found(name):
    assert choose_reader(FIXTURES / name, None) == READERS[name]


def test_dictionary_tables_stay_linked():
    """Every example belongs to the entries whose senses its row names, and every sense stands in its entry."""
    import csv

    tables = {
        name: list(csv.DictReader((TSELTAL / f"{name}.csv").open(encoding="utf-8")))
        for name in ("entries", "senses", "examples")
    }
    settings = {"senses": {"file": "senses.csv"}, "examples": {"file": "examples.csv"}}
    found = read(TSELTAL / "entries.csv", "lexicon", **settings)
    entries = {item.meta["key"]: item for item in found if isinstance(item, Entry)}
    pairs = [item for item in found if isinstance(item, Pair)]
    assert len(entries) == len(tables["entries"]) == 200
    assert sum(len(entry.senses) for entry in entries.values()) == len(tables["senses"])
    assert len(pairs) == len(tables["examples"])
    owner = {row["ID"]: row["Entry_ID"] for row in tables["senses"]}
    several = 0
    for row, pair in zip(tables["examples"], pairs):
        keys = [owner[sense] for sense in row["Sense_IDs"].split(" ; ")]
        assert pair.source == row["Primary_Text"]
        assert pair.meta["entries"] == list(dict.fromkeys(entries[key].id for key in keys))
        assert pair.meta["entry"] == pair.meta["entries"][0]
        assert set(pair.meta["headwords"]) == {entries[key].headword for key in keys}
        several += len(set(keys)) > 1
    assert several
    assert not any("](" in text for item in found for _, text in item.texts())
    assert read(TSELTAL / "senses.csv", "lexicon", **settings) == []


def test_tseltal_subset_is_two_sources(tmp_path):
    project = make_project(tmp_path / "p")
    found = {finding.files[0]: finding for finding in add(project, sorted(TSELTAL.iterdir()))}
    assert set(found) == {"raw/entries.csv", "raw/udhr.tzh.txt"}
    book, document = found["raw/entries.csv"], found["raw/udhr.tzh.txt"]
    assert book.files == ["raw/entries.csv", "raw/senses.csv", "raw/examples.csv"]
    assert book.good_for == "dictionary with 200 entries and 329 example sentences: define, lookup, translate"
    assert [said.language for said in book.languages] == ["tzh", "spa"]
    assert "Language_ID" in book.languages[0].how
    assert document.good_for.startswith("document in two languages")
    assert set(document.scripts) == {"Latn"}

    data = run_ingest(Project(project.path))
    records = list(data.records())
    assert Counter(record.kind for record in records) == {"entry": 200, "pair": 329, "doc": 34}
    assert len({record.id for record in records}) == len(records)
    ids = {record.id for record in records}
    assert all(entry in ids for record in records for entry in record.meta.get("entries", ()))
    docs = [record for record in records if record.kind == "doc"]
    assert {record.meta["parallel"] for record in docs} == {"udhr"}
    assert [r.meta["part"] for r in docs if r.language == "tzh"] == [
        r.meta["part"] for r in docs if r.language == "spa"
    ]
    assert all((project.path / record.origin.rpartition(":")[0]).is_file() for record in records)


def test_what_was_found_is_written_and_read_back(tmp_path):
    project = make_project(tmp_path / "p")
    add(project, sorted(TSELTAL.iterdir()), licence="CC BY 4.0", attribution="Gilles Polian")
    source = Project(project.path).sources[0]
    assert source["settings"]["examples"] == {
        "file": "examples.csv", "sense": "Sense_IDs", "text": "Primary_Text", "translation": "Translated_Text", "dialect": "Dialect",
    }  # fmt: skip
    assert lexicon.Config(**source["settings"])
    again = add(Project(project.path), sorted((project.path / "raw").iterdir()))
    assert not any(finding.added for finding in again)
    assert len(Project(project.path).sources) == 2
    data = run_ingest(Project(project.path))
    assert data.manifest["licences"] == {"CC BY 4.0": 563}


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("El señor comió.\nMañana.\n" * 9, "utf-8", "UTF-8"),
        ("El señor comió.\nMañana.\n" * 9, "utf-8-sig", "UTF-8 with a byte order mark"),
        ("El señor comió.\nMañana.\n" * 9, "latin-1", "Latin-1"),
        ("El señor dijo “sí”.\n" * 9, "cp1252", "Windows-1252"),
        ("ሰላም ለዓለም።\nደህና ነህ?\n" * 9, "utf-16", "UTF-16 (little-endian) with a byte order mark"),
        ("ሰላም ለዓለም።\nደህና ነህ?\n" * 9, "utf-16-le", "UTF-16 (little-endian) without a byte order mark"),
        ("नमस्ते दुनिया\n" * 9, "utf-16-be", "UTF-16 (big-endian) without a byte order mark"),
    ],
)
def test_encoding_is_found_and_said(tmp_path, text, encoding, said):
    path = tmp_path / "notes.txt"
    path.write_bytes(text.encode(encoding))
    assert detect(path).said == said
    assert "".join(line for _, line in lines(path)) == text


def test_two_columns_without_names_are_told_apart(tmp_path, tseltal):
    """py3langid does not know Tseltal: the column that is not Spanish is the project's language, and it says so."""
    path = tmp_path / "sentences.tsv"
    path.write_text("".join(f"{spanish}\t{own}\n" for spanish, own in tseltal[:60]), encoding="utf-8")
    project = make_project(tmp_path / "p")
    (finding,) = add(project, [path])
    assert finding.settings["text"] == "column 2"
    assert finding.settings["translation"] == "column 1"
    assert finding.records == {"pair": 60}
    how = {said.language: said.how for said in finding.languages}
    assert how["tzh"]
    assert how["spa"]


def test_scripts_tell_languages_apart(tmp_path, amharic):
    path = tmp_path / "sentences.csv"
    path.write_text("".join(f'"{a}";"{b}"\n' for a, b in amharic if '"' not in a + b), encoding="utf-8")
    (finding,) = add(make_project(tmp_path / "p", "amh", "eng"), [path])
    assert finding.delimiter == "semicolon"
    assert {said.part: said.language for said in finding.languages} == {
        "column column 2": "amh",
        "column column 1": "eng",
    }
    assert "Ethi" in finding.scripts


def test_a_language_no_identifier_knows_is_told_by_its_letters(tseltal):
    """Yucatec, another Mayan language, is not taken for it by its letters; without them it is taken for the project's, and that is said."""
    own, other = [b for _, b in tseltal], [a for a, _ in tseltal]
    known = Known("tzh", "spa")
    assert identify(own[:20], known).how == "its letters run as in the Universal Declaration in Tseltal"
    assert identify(own[:20], Known("qaa", "spa")).how.startswith("taken for it")
    known.learn("tzh", own[:300])
    known.learn("spa", other[:300])
    for texts, code in ((own[300:], "tzh"), (other[300:], "spa")):
        assert identify(texts, known).code == code
        assert identify(texts, known).how.startswith("its letters run as")
    english = (
        "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience."
    )
    assert identify([english], known).code == "eng"
    yucatec = (
        "Tuláakal wíinik ku síijil jáalk'ab yetel keet u tsiikul yetel Najmal Sijnalil, beytun xan na'ata'an sijnalil"
    )
    assert not identify([yucatec], known).how.startswith("its letters run as")
    assert identify(["12 34"], known).code == identify(["ja'"], known).code == ""


def test_rows_of_other_languages_are_left_out_and_counted(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("lang\tspa\ttarget\n" + "tzh\tagua\tha'\n" * 1 + "yua\tagua\tja'\n" * 3, encoding="utf-8")
    project = make_project(tmp_path / "p")
    (finding,) = add(project, [path])
    assert finding.settings["where"] == {"lang": "tzh"}
    data = run_ingest(project)
    assert data.manifest["dropped"] == {"lexicon.other_value": 3}
    assert [record.headword for record in data.records()] == ["ha'"]


def test_what_spreadsheets_and_published_data_sets_write_is_read(tmp_path):
    (tmp_path / "words.csv").write_text("sep=;\r\nheadword;definition\r\nna;casa, choza\r\n", encoding="utf-8")
    (entry,) = read(tmp_path / "words.csv", "lexicon")
    assert (entry.headword, entry.senses[0].definition, entry.origin) == ("na", "casa, choza", "words.csv:3")
    pair = {"id": 1, "translation": {"tzh": "Muk te na", "spa": "La casa es grande"}}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n", encoding="utf-8")
    assert choose_reader(tmp_path / "pairs.jsonl", None) == "pairs"
    (found,) = read(tmp_path / "pairs.jsonl", "pairs")
    assert (found.text("tzh"), found.text("spa")) == ("Muk te na", "La casa es grande")


def test_damage_done_before_is_said_and_a_weak_guess_is_not_believed(tmp_path):
    (tmp_path / "a.txt").write_text("El ni\ufffdo comi\ufffd.\n", encoding="utf-8")
    (finding,) = add(make_project(tmp_path / "p"), [tmp_path / "a.txt"])
    assert any(note.startswith("2 characters were lost before") for note in finding.notes)
    marks = "\\lx na\n\\ps n\n\\ge casa\n\n\\lx ha'\n\\ps n\n\\ge agua\n"
    guessed = identify([marks], Known("tzh", "spa"))
    assert guessed.code == ""
    assert "not sure" in guessed.how


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("udhr.tzh.txt", ("udhr", "tzh")), ("story_spa.txt", ("story", "spa")), ("story.es.md", ("story", "spa")),
        ("notes-de.txt", ("notes-de", "")), ("plain.txt", ("plain", "")), ("x.qqq.txt", ("x", "qqq")),
    ],
)  # fmt: skip
def test_language_in_a_file_name(name, expected):
    assert split_name(Path(name), "qqq", "spa") == expected


def test_two_letters_after_a_hyphen_are_a_language_where_the_other_one_stands_beside(tmp_path):
    for name in ("film-en.vtt", "film-es.vtt", "fecha_es.txt", "talk_en.txt.gz", "talk_spa.txt.gz"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    found = {path.name: split_name(path, "eng", "spa") for path in sorted(tmp_path.iterdir())}
    assert found == {"film-en.vtt": ("film", "eng"), "film-es.vtt": ("film", "spa"), "fecha_es.txt": ("fecha_es", ""),
                     "talk_en.txt.gz": ("talk", "eng"), "talk_spa.txt.gz": ("talk", "spa")}  # fmt: skip


def test_ids_do_not_move_when_rows_are_added(tmp_path):
    rows = ["ha',agua", "na,casa", "na,casa"]
    path = tmp_path / "a.csv"
    path.write_text("palabra,significado\n" + "\n".join(rows) + "\n", encoding="utf-8")
    before = [item.id for item in read(path, "lexicon")]
    path.write_text("palabra,significado\nwinik,hombre\n" + "\n".join(rows) + "\n", encoding="utf-8")
    after = [item.id for item in read(path, "lexicon")]
    assert after[1:] == before
    assert len(set(after)) == 4


READER = '''"""Read poems, a verse a line."""

from pydantic import BaseModel, ConfigDict, Field

from endonym.types import Doc, record_id

EXTENSIONS = (".poem",)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the poem.")


def read(path, cfg):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        yield Doc(record_id(line), line, cfg.language, f"{path.name}:{number}")
'''


def test_a_reader_in_the_project_is_used_for_its_extension(tmp_path):
    project = make_project(tmp_path / "p")
    folder = project.path / "plugins" / "reader"
    folder.mkdir(parents=True)
    (folder / "poem.py").write_text(READER, encoding="utf-8")
    (project.path / "raw" / "rain.poem").write_text("ya xtal ha'al\nya xtal ha'al\nlek ay\n", encoding="utf-8")
    (finding,) = add(project, [project.path / "raw" / "rain.poem"])
    assert finding.reader == "poem"
    records = list(run_ingest(project).records())
    assert [(r.text, r.language, r.origin) for r in records][-1] == ("lek ay", "tzh", "raw/rain.poem:3")
    assert len({record.id for record in records}) == 3


def test_a_fault_of_a_reader_is_a_problem_of_its_file_alone(tmp_path):
    project = make_project(tmp_path / "p")
    folder = project.path / "plugins" / "reader"
    folder.mkdir(parents=True)
    (folder / "poem.py").write_text(READER + "    raise ValueError('no foot')\n", encoding="utf-8")
    (tmp_path / "rain.poem").write_text("ya xtal ha'al\n", encoding="utf-8")
    words, poem = add(project, [FIXTURES / "wordlist.csv", tmp_path / "rain.poem"])
    assert words.added and not poem.added
    assert "no foot" in poem.problems[0].what and "fault" in poem.problems[0].repair
    with pytest.raises(DataError, match="cannot be read: No space left"), foreseen("rain.poem"):
        raise OSError(28, "No space left on device")


def test_a_source_without_a_reader_is_sniffed(tmp_path):
    project = make_project(tmp_path / "p")
    shutil.copy(FIXTURES / "wordlist.csv", project.path / "raw")
    project.add_source({"files": ["raw/wordlist.csv"]})
    assert Counter(record.kind for record in run_ingest(project).records()) == {"entry": 3, "pair": 2}


def test_a_column_that_is_not_read_is_named_though_its_first_remark_comes_late(tmp_path):
    rows = [f"palabra{i}\tja{i}\t{'nota' if i == 450 else ''}" for i in range(500)]
    path = tmp_path / "words.tsv"
    path.write_text("spa\ttzh\tremark\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (finding,) = add(make_project(tmp_path / "p"), [path])
    assert "columns that are not read: remark" in finding.notes


def test_pairs_inside_a_list_are_pairs_of_one_document(tmp_path):
    """Turns with a text in each language are translations; one that lacks a side goes to the ledger and shifts nothing."""
    turns = [{"spa": "hola", "tzh": "tal"}, {"spa": "solo"}, {"spa": "agua", "tzh": "ha'"}]
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"unit": 3, "turns": turns}) + "\n", encoding="utf-8")
    project = make_project(tmp_path / "p")
    (finding,) = add(project, [path])
    assert finding.settings["text"] == "turns.tzh" and finding.settings["translation"] == "turns.spa"
    records = list(run_ingest(Project(project.path)).records())
    assert [(r.text("tzh"), r.text("spa"), r.meta["document"]) for r in records] == [
        ("tal", "hola", "talks 1"), ("ha'", "agua", "talks 1"),
    ]  # fmt: skip


def test_folders_named_after_the_two_languages_hold_parallel_files(tmp_path):
    """Lines with numbers of their own are text and no table, and files of one name do not displace each other."""
    for code, said in (("tzh", ["Tal ha'al", "Lek ay", "Bajt"]), ("spa", ["Llovió", "Está bien", "Se fue"])):
        (tmp_path / code).mkdir()
        text = "".join(f"{i}\t{line}\n" for i, line in enumerate(said))
        (tmp_path / code / "kap1.txt").write_text(text, encoding="utf-8")
    (tmp_path / "kap1.txt").write_text("Otro texto que no es de ellos.\n", encoding="utf-8")
    project = make_project(tmp_path / "p")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kap1.txt").write_text("Un tercer texto, más viejo.\n", encoding="utf-8")
    found = add(project, [tmp_path / name for name in ("tzh", "spa", "kap1.txt", "old")])
    files = [["raw/tzh/kap1.txt", "raw/spa/kap1.txt"], ["raw/kap1.txt"], ["raw/old/kap1.txt"]]
    assert [finding.files for finding in found] == files
    data = run_ingest(Project(project.path))
    docs = [r for r in data.records() if r.meta.get("parallel")]
    assert [(d.language, d.text, d.origin) for d in docs if d.text.startswith(("Tal", "Llo"))] == [
        ("tzh", "Tal ha'al", "raw/tzh/kap1.txt:1"), ("spa", "Llovió", "raw/spa/kap1.txt:1"),
    ]  # fmt: skip
    assert Counter(line["reason"] for line in data.ledger()) == {"text.line_number": 6}


def test_packed_tables_and_json_are_read_as_if_they_were_not(tmp_path, tseltal):
    rows = "".join(json.dumps({"text": b, "id": i}) + "\n" for i, (_, b) in enumerate(tseltal[:30]))
    (tmp_path / "news.jsonl.gz").write_bytes(gzip.compress(rows.encode(), mtime=0))
    pairs = "spa\ttzh\n" + "".join(f"{a}\t{b}\n" for a, b in tseltal[:30])
    (tmp_path / "pairs.tsv.bz2").write_bytes(bz2.compress(pairs.encode()))
    (tmp_path / "cut.tsv.gz").write_bytes(gzip.compress(pairs.encode(), mtime=0)[:-30])
    project = make_project(tmp_path / "p")
    cut, news, table = add(project, sorted(tmp_path.glob("*.*")))
    assert "damaged or cut short" in cut.problems[0].what
    assert news.records == {"doc": 30} and table.records == {"pair": 30}


def test_prose_is_found_though_its_field_is_called_nothing_known(tmp_path, tseltal):
    prose = " ".join(a for a, _ in tseltal[:20])
    path = tmp_path / "chapters.jsonl"
    path.write_text(json.dumps({"number": 1, "summary": prose, "name": "Uno"}) + "\n", encoding="utf-8")
    (finding,) = add(make_project(tmp_path / "p"), [path])
    assert finding.settings["text"] == "summary" and finding.settings["language"] == "spa"
    assert "fields that are not read: number, name" in finding.notes


def test_fields_inside_a_list_that_is_read_are_not_said_to_be_unread(tmp_path):
    shutil.copy(FIXTURES / "preferences.jsonl", tmp_path / "preferences.jsonl")
    (finding,) = add(make_project(tmp_path / "p"), [tmp_path / "preferences.jsonl"])
    assert not any("not read" in note for note in finding.notes)
    assert finding.records["preference"] == 4


def test_a_folder_with_files_of_one_name_is_taken_in_whole_and_a_copy_once(tmp_path, tseltal):
    texts = [" ".join(a for a, _ in tseltal[n : n + 9]) for n in (0, 9, 18)]
    for place, text in (("one/part", 0), ("two/part", 1), ("three/part", 2), ("copy/part", 0)):
        (tmp_path / "shelf" / place).mkdir(parents=True)
        (tmp_path / "shelf" / place / "text.txt").write_text(texts[text] + "\n", encoding="utf-8")
    project = make_project(tmp_path / "p")
    found = add(project, [tmp_path / "shelf"])
    assert [finding.added for finding in found] == [True, False, True, True]
    assert found[1].ok and "already a source" in found[1].good_for
    records = list(run_ingest(Project(project.path)).records())
    assert sorted("".join(r.text.split()) for r in records) == sorted("".join(text.split()) for text in texts)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("film.vtt", "WEBVTT\n\n00:01.000 --> 00:04.000\n{0}\n\n00:05.000 --> 00:09.000\n{1}\n"),
        ("book.md", "# {0}\n\n{1}\n"),
    ],
)
def test_a_text_in_the_pivot_that_no_name_marks_is_read(tmp_path, tseltal, name, text):
    path = tmp_path / name
    path.write_text(text.format(*(" ".join(a for a, _ in tseltal[n : n + 4]) for n in (0, 4))), encoding="utf-8")
    project = make_project(tmp_path / "p")
    (finding,) = add(project, [path])
    assert finding.added, finding.problems
    assert {record.language for record in run_ingest(Project(project.path)).records()} == {"spa"}


@pytest.mark.parametrize("root", ["xliff", "tmx", "lift", "TEI", "mediawiki", "ANNOTATION_DOCUMENT", "document"])
def test_a_handbook_that_shows_a_format_is_not_taken_for_it(tmp_path, root):
    path = tmp_path / "handbook.md"
    example = f'<?xml version="1.0"?>\n<{root}>\n<entry lang="x"><phrase/></entry></{root}>'
    path.write_text(f"# How to export\n\nThe file begins so:\n\n```xml\n{example}\n```\n\nSave it.\n", encoding="utf-8")
    assert choose_reader(path, None) == "markdown"
