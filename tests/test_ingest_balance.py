"""No character is left behind: what stands in a file stands in the records or in the ledger, in every script."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from test_ingest import DATA, TSELTAL, make_project, read, run_ingest

from endonym.data.dataset import Dataset
from endonym.data.scripts import count_blocks
from endonym.ingest.add import add
from endonym.jobs.job import Job
from endonym.project import Project
from endonym.types import Drop, Record

USED = {
    "entries": ("Headword",),
    "senses": ("Description",),
    "examples": ("Primary_Text", "Translated_Text"),
}


def balance(data: Dataset, wanted: Counter[str]) -> None:
    """The manifest has exactly the characters of the files, and all of them are kept or dropped."""
    found = data.manifest["characters"]
    assert {block: count["in"] for block, count in found.items()} == dict(wanted)
    for count in found.values():
        assert count["in"] == count["kept"] + count["dropped"]
        assert count["changed"] == 0


def tseltal_project(folder: Path) -> Project:
    shutil.copytree(TSELTAL, folder)
    return Project(folder)


def test_the_tseltal_subset_balances_with_its_files(tmp_path):
    """The files are read here by other code than the readers; only link marks and heading marks are no text."""
    wanted: Counter[str] = Counter()
    for name, columns in USED.items():
        with (TSELTAL / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for column in columns:
                    wanted.update(count_blocks(re.sub(r"\[([^][]*)\]\(TSE\d+\)", r"\1", row[column]).strip()))
    for name in ("udhr.tzh.txt", "udhr.spa.txt"):
        for line in (TSELTAL / name).read_text(encoding="utf-8").splitlines():
            wanted.update(count_blocks(line.removeprefix("# ").strip()))
    data = run_ingest(tseltal_project(tmp_path / "p"))
    assert data.manifest["files"]["records"]["kinds"] == {"entry": 200, "pair": 329, "doc": 34}
    balance(data, wanted)


@pytest.mark.parametrize(
    ("name", "language", "block"), [("amharic", "amh", "Ethiopic"), ("sanskrit", "san", "Devanagari")]
)
def test_other_scripts_balance_with_their_files(tmp_path, name, language, block):
    header, *lines = (DATA / "tiny" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    assert set(header.split("\t")) == {"eng", language}
    wanted = Counter[str]()
    for line in lines:
        for cell in line.split("\t"):
            wanted.update(count_blocks(cell.strip()))
    project = make_project(tmp_path / "p", language, "eng")
    (finding,) = add(project, [DATA / "tiny" / f"{name}.tsv"])
    assert finding.ok
    data = run_ingest(Project(project.path))
    assert wanted[block] > 500
    balance(data, wanted)
    assert data.count() == len(lines)
    assert all(count_blocks(_side(record, language))[block] for record in data.records())


def _side(record: Record, language: str) -> str:
    return next(text for code, text in record.texts() if code == language)


def test_what_the_readers_leave_out_is_in_the_ledger(tmp_path):
    project = make_project(tmp_path / "p")
    raw = project.path / "raw"
    cells = [("ha'", "agua", "lek te ha'", ""), ("na", "casa", "", "la casa"), ("winik", "hombre", "tal", "vino")]
    with (raw / "words.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("headword", "definition", "example", "example_translation"), *cells])
    (raw / "prose.md").write_text("# Tal\n\nYa xtal ha'al.\n\n```\ncode()\n```\n\n---\n\nLek ay.\n", encoding="utf-8")
    found = add(project, [raw])
    assert all(finding.ok for finding in found)
    data = run_ingest(Project(project.path))
    dropped = {line["reason"]: line["record"] for line in data.ledger()}
    assert set(dropped) == {"lexicon.one_side", "markdown.code", "markdown.marks", "markdown.rule"}
    balance_of = data.manifest["characters"]["Basic Latin"]
    assert balance_of["dropped"] >= len("lek te ha'la casa---")
    texts = " ".join(text for record in data.records() for _, text in record.texts())
    texts += " ".join(text for line in data.ledger() for text in _texts(line["record"]))
    assert all(cell in texts for row in cells for cell in row)


def _texts(record: dict) -> list[str]:
    return [str(record[key]) for key in ("source", "target", "text", "headword") if key in record]


@pytest.mark.parametrize(
    "entry",
    [
        {"definition": "casa", "examples": [{"text": "ja jna", "translation": "mi casa"}, {"text": "solo"}]},
        {"definition": "casa", "examples": [{"tzh": "ja jna", "spa": "mi casa"}, "solo"]},
        {"definition": "casa", "examples": ["ja jna", "solo"], "example_translation": ["mi casa"]},
        {"senses": [{"definition": "casa", "examples": [{"xv": "ja jna", "xn": "mi casa"}]}], "example": "solo"},
    ],
)
def test_examples_inside_json_entries_stay_linked(tmp_path, entry):
    path = tmp_path / "words.jsonl"
    path.write_text(json.dumps({"headword": "na", **entry}) + "\n", encoding="utf-8")
    records = read(path, "lexicon")
    kept = [item for item in records if not isinstance(item, Drop)]
    (dropped,) = [item for item in records if isinstance(item, Drop)]
    assert [text for _, text in kept[0].texts()] == ["na", "casa"]
    assert [(pair.source, pair.target, pair.meta["headwords"]) for pair in kept[1:]] == [("ja jna", "mi casa", ["na"])]
    assert kept[1].meta["entry"] == kept[0].id
    assert (dropped.reason, dropped.record.source) == ("lexicon.one_side", "solo")


def test_definitions_in_several_languages_give_the_pivot_and_the_rest_goes_to_the_ledger(tmp_path):
    path = tmp_path / "words.json"
    meaning = {"spa": "casa", "eng": "house"}
    path.write_text(json.dumps([{"headword": "na", "definition": meaning}]), encoding="utf-8")
    entry, other = read(path, "lexicon")
    assert [(sense.definition, sense.language) for sense in entry.senses] == [("casa", "spa")]
    assert (other.reason, other.record.text, other.record.language) == ("lexicon.other_language", "house", "eng")


def test_examples_of_entries_left_out_go_with_them(tmp_path):
    (tmp_path / "entries.csv").write_text("ID,lang,Headword\n1,tzh,na\n2,tzo,na\n", encoding="utf-8")
    (tmp_path / "senses.csv").write_text("ID,Entry_ID,Description\na,1,casa\nb,2,casa\n", encoding="utf-8")
    examples = "Primary_Text,Translated_Text,Sense_IDs\nja jna,mi casa,a\nja' jna,es mi casa,b\njna,mi casa,a;b\n"
    (tmp_path / "examples.csv").write_text(examples, encoding="utf-8")
    settings = {"senses": {"file": "senses.csv"}, "examples": {"file": "examples.csv"}, "where": {"lang": "tzh"}}
    found = read(tmp_path / "entries.csv", "lexicon", **settings)
    kept = [item for item in found if not isinstance(item, Drop)]
    assert [text for item in kept for _, text in item.texts()] == ["na", "casa", "ja jna", "mi casa", "jna", "mi casa"]
    assert Counter(item.reason for item in found if isinstance(item, Drop)) == {"lexicon.other_value": 2}


def test_every_record_carries_its_licence_attribution_and_source(tmp_path):
    data = run_ingest(tseltal_project(tmp_path / "p"))
    for record in data.records():
        book = record.kind != "doc"
        assert record.meta["licence"] == ("CC BY 4.0" if book else "free to reproduce (United Nations)")
        assert record.meta["attribution"].startswith("Gilles Polian" if book else "United Nations")
        assert record.meta["source"] == ("entries.csv" if book else "udhr.tzh.txt")


def test_a_projects_own_files_are_not_its_material(tmp_path):
    """A run folder holds the sealed test: `add` of the whole project folder must not bring it back as a source."""
    project = tseltal_project(tmp_path / "p")
    run_ingest(project)
    (project.path / "plugins").mkdir()
    (project.path / "plugins" / "notes.txt").write_text("not material\n", encoding="utf-8")
    (project.path / "poem.txt").write_text("ya xtal ha'al\n", encoding="utf-8")
    found = add(project, [project.path])
    assert [finding.files for finding in found if finding.added] == [["poem.txt"]]
    assert all(finding.ok for finding in found)


def test_columns_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("headword,definition,etymology,empty\nna,casa,proto-maya,\n", encoding="utf-8")
    (finding,) = add(make_project(tmp_path / "p"), [path])
    assert "columns that are not read: etymology" in finding.notes


def test_messages_a_program_no_longer_has_go_to_the_ledger(tmp_path):
    path = tmp_path / "a.po"
    path.write_text(
        'msgid "a"\nmsgstr "b"\n#~ msgid "viejo"\n#~ msgstr "poko"\n\nmsgid "c"\nmsgstr "d"\n', encoding="utf-8"
    )
    found = read(path, "po")
    assert [getattr(item, "reason", "kept") for item in found] == ["kept", "po.obsolete", "kept"]
    assert (found[1].record.source, found[1].record.target) == ("viejo", "poko")


def test_a_large_source_is_left_soon_after_the_user_asks_to_stop(tmp_path, monkeypatch):
    project = make_project(tmp_path / "p")
    rows = "".join(f"fila número {n}\tchol {n}\n" for n in range(5000))
    (project.path / "raw" / "a.tsv").write_text("spa\ttzh\n" + rows, encoding="utf-8")
    project.add_source({"files": ["raw/a.tsv"], "reader": "pairs"})
    monkeypatch.setattr(Job, "cancelled", lambda job: True)
    assert run_ingest(project).count() == 1000
