"""A pattern parses what it says, stops where a line stops fitting, cannot hang, and its preview counts every line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ingest import FIXTURES, make_project, read

from endonym.cli.main import main
from endonym.errors import UsageError
from endonym.ingest.add import add
from endonym.ingest.pattern import DEFAULT, Stop, compiled
from endonym.types import Drop, Entry

word = st.text("abcdehkñʼ'áअकाख़ሰላምخب-", min_size=1, max_size=9).filter(
    lambda text: not text.startswith("-") and not text.endswith("-")
)
phrase = st.lists(word, min_size=1, max_size=4).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(
    phrase,
    word,
    st.lists(phrase, min_size=1, max_size=4),
    st.lists(st.tuples(phrase, phrase), max_size=3),
    st.booleans(),
)
def test_what_is_written_by_the_default_pattern_is_read_by_it(headword, pos, glosses, examples, full_stop):
    line = f"{headword} ({pos}) {'; '.join(glosses)}{'.' * full_stop}" + "".join(f" — {a} = {b}" for a, b in examples)
    found = compiled(DEFAULT).fields(line)
    assert not isinstance(found, Stop), found
    wanted = [("headword", headword), ("pos", pos), *(("gloss", gloss) for gloss in glosses)]
    wanted += [side for a, b in examples for side in (("example", a), ("translation", b))]
    assert [(one.name, one.text) for one in found] == wanted
    assert all(line[one.start : one.end] == one.text for one in found)


@pytest.mark.parametrize(
    ("pattern", "line", "fields"),
    [
        ("{headword} = {gloss;|, ...}", "na = casa, jacal; (a, b) nido", "na|casa|jacal|(a, b) nido"),
        ("{headword} [{homograph:number}] {pos:word} {gloss}", "na 2 s. la casa", "na|2|s.|la casa"),
        ("{headword} [{homograph:number}] {pos:word} {gloss}", "na s. la casa", "na|s.|la casa"),
        ("{headword} [\\[{pron}\\]]: {gloss}", "na [naː]: casa", "na|naː|casa"),
        ("{headword} [\\[{pron}\\]]: {gloss}", "na:casa", "na|casa"),
        ("{headword} {–|-} {gloss}", "well-known - sabido", "well-known|sabido"),
        ("{headword}, {pos}. {gloss}[ Ej.: {example} ({translation})]...", "na, s. casa Ej.: ay jna (tengo) Ej.: lek (bien)",
         "na|s|casa|ay jna|tengo|lek|bien"),
        ("{headword}\t{gloss}", "na\tcasa", "na|casa"),
    ],
)  # fmt: skip
def test_patterns_of_many_kinds(pattern, line, fields):
    found = compiled(pattern).fields(line)
    assert not isinstance(found, Stop), found
    assert "|".join(one.text for one in found) == fields


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        ("winik (s. hombre", 8, "expected “)” after {pos}"),
        ("tal (v.) venir — tal ta ora", 17, "expected “=” after {example}"),
        ("tal (v.) venir — a = b — c", 25, "expected “=” after {example}"),
        ("tal (v.)", 9, "expected {gloss}"),
    ],
)
def test_a_line_that_does_not_fit_says_where(line, column, expected):
    stop = compiled(DEFAULT).fields(line)
    assert isinstance(stop, Stop)
    assert str(stop) == f"column {column}: {expected}"


@pytest.mark.parametrize(
    ("pattern", "column"),
    [("{gloss}", 1), ("{headword}{pos}", 16), ("{headword} [x", 12), ("{headword} x]", 13), ("{headword} {pos", 12),
     ("{headword} {a|b}", 12), ("{headword} []", 12)],
)  # fmt: skip
def test_a_wrong_pattern_is_named_with_its_place(pattern, column, tmp_path):
    with pytest.raises(UsageError, match=f"column {column}"):
        compiled(pattern)
    (finding,) = add(make_project(tmp_path / "p"), [FIXTURES / "structured.txt"], settings={"pattern": pattern})
    assert f"column {column}" in finding.problems[0].what


def test_no_pattern_hangs():
    """Five fields with only spaces between them can be cut in millions of ways: after a quarter of a second it is given up."""
    pattern = compiled("{headword} {a} {b} {c} {d} {e} {f} = {gloss}")
    begun = time.process_time()
    stop = pattern.fields("x " * 400 + "=")
    assert time.process_time() - begun < 5
    assert isinstance(stop, Stop)


def test_lines_that_do_not_fit_go_to_the_ledger_and_several_patterns_are_tried(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("na (s.) casa\nha': agua\nlek\n", encoding="utf-8")
    found = read(path, "structured", pattern=[DEFAULT, "{headword}: {gloss; ...}"])
    assert [item.headword for item in found if isinstance(item, Entry)] == ["na", "ha'"]
    (drop,) = [item for item in found if isinstance(item, Drop)]
    assert (drop.reason, drop.record.text, drop.record.origin) == ("structured.not_parsed", "lek", "a.txt:3")
    assert drop.detail.startswith("column 1: expected")


def test_paragraphs_are_entries_when_set(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("na (s.) casa;\njacal\n\nha' (s.) agua\n", encoding="utf-8")
    first, second = read(path, "structured", unit="paragraph")
    assert [sense.definition for sense in first.senses] == ["casa", "jacal"]
    assert (second.headword, second.origin) == ("ha'", "a.txt:4")


def test_preview_counts_every_line(capsys):
    assert main(["preview", str(FIXTURES / "structured.txt"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["entries"], shown["parsed"], shown["percent"]) == (5, 3, 60.0)
    assert shown["fields"] == {"headword": 3, "pos": 3, "gloss": 5, "example": 2, "translation": 2}
    assert [(line["line"], line["column"]) for line in shown["unfit"]] == [(3, 1), (4, 33)]
    for line in shown["fit"]:
        assert all(line["text"][one["start"] : one["end"]] == one["text"] for one in line["fields"])
    assert main(["preview", str(FIXTURES / "structured.txt")]) == 0
    text = capsys.readouterr().out
    assert "{headword ha'} ({pos s.}) {gloss agua}" in text
    assert "3 of 5 entries (60.0 %)" in text
    assert "column 33: expected “=” after {example}" in text


def test_preview_takes_the_pattern_from_the_projects_settings(tmp_path, capsys, monkeypatch):
    project = make_project(tmp_path / "p")
    (project.path / "raw" / "a.txt").write_text("na: casa\nha': agua\n", encoding="utf-8")
    project.add_source({"files": ["raw/a.txt"], "reader": "structured", "settings": {"pattern": "{headword}: {gloss}"}})
    monkeypatch.chdir(project.path)
    assert main(["preview", "raw/a.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parsed"] == 2
    assert main(["preview", "raw/a.txt", "--pattern", "{headword} = {gloss}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parsed"] == 0
    assert main(["preview", "raw/a.txt", "--pattern", "{headword"]) == 2
    assert "never closed" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_preview_is_drawn_again_when_the_pattern_changes(tmp_path):
    """On a terminal, as the user sees it: half a pattern is an error on the screen and no end, the whole one shows its fields in colour."""
    (tmp_path / "a.txt").write_text("na: casa\n", encoding="utf-8")
    written = tmp_path / "own.toml"
    written.write_text('pattern = "{headword"\n', encoding="utf-8")
    master, slave = os.openpty()
    command = [sys.executable, "-m", "endonym", "preview", "a.txt", "--settings", "own.toml"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"})
    try:
        assert wait(master, "never closed")
        written.write_text('pattern = "{headword}: {gloss}"\n', encoding="utf-8")
        assert wait(master, "\x1b[36mna\x1b[0m: \x1b[32mcasa\x1b[0m")
    finally:
        running.terminate()
        running.wait(10)
        os.close(slave)
        os.close(master)


def wait(terminal: int, text: str) -> bool:
    seen = ""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        seen += os.read(terminal, 4096).decode("utf-8", errors="replace")
        if text in seen:
            return True
    return False
