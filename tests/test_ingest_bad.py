"""Bad input is named with file, line, field and repair, stops nothing else, and leaves nothing half-written."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_ingest import FIXTURES, TSELTAL, make_project, read, run_ingest

from endonym import plugins
from endonym.errors import ConfigError, DataError, EndonymError
from endonym.ingest.add import add
from endonym.ingest.encoding import MAX_LINE, MAX_WHOLE, detect
from endonym.ingest.readers import tmx
from endonym.ingest.sample import take
from endonym.ingest.table import Bad, Row, rows
from endonym.project import Project

GOOD = "palabra,significado\nha',agua\nna,casa\n"


def problems(path: Path, reader: str = "lexicon", **settings) -> list:
    with pytest.raises(DataError) as caught:
        read(path, reader, **settings)
    for problem in caught.value.problems:
        assert problem.repair
    return caught.value.problems


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "line", "field", "what"),
    [
        (GOOD + "winik\n", 4, "significado", "1 fields"),
        (GOOD + "winik,hombre,varón\n", 4, "significado", "3 fields"),
        ("palabra,significado\nha',\"agua\nna,casa\n", 2, "significado", "never closed"),
        ('palabra,significado\nha\',"agua" fresca\nna,casa\n', 2, "significado", "after a closing quote"),
        (GOOD + ",hombre\n", 4, "palabra", "empty"),
    ],
)
def test_a_malformed_row_is_named_and_can_go_to_the_ledger(tmp_path, content, line, field, what):
    path = write(tmp_path, "words.csv", content)
    (problem,) = problems(path)
    assert (problem.file, problem.line, problem.field) == ("words.csv", line, field)
    assert what in problem.what
    kept = read(path, "lexicon", bad_rows="ledger")
    good = [item for item in kept if hasattr(item, "headword")]
    (dropped,) = [item for item in kept if not hasattr(item, "headword")]
    assert "na" in {item.headword for item in good}
    assert dropped.reason == "lexicon.bad_row"
    assert dropped.record.text.split(",")[-1].strip('" ')[:4] in content


def test_all_bad_rows_are_reported_at_once(tmp_path):
    path = write(tmp_path, "words.csv", GOOD + "one\n" + "na,casa\n" + "two\n" + "three,x,y\n")
    assert [problem.line for problem in problems(path)] == [4, 6, 7]


def test_an_unclosed_quote_is_seen_in_the_last_row_of_a_short_file(tmp_path):
    path = write(tmp_path, "words.csv", 'palabra,significado\nna,casa\nwinik,"hombre\nha,agua,x\n')
    assert [(problem.line, problem.what[:15]) for problem in problems(path)] == [
        (3, "a quote opens h"),
        (4, "the row has 3 f"),
    ]


def test_an_unclosed_quote_costs_one_row_not_the_rest_of_the_file(tmp_path):
    path = write(tmp_path, "words.csv", "palabra,significado\n" + "ha',\"agua\n" + "na,casa\n" * 3000)
    found = list(rows(path))
    assert sum(isinstance(item, Bad) for item in found) == 1
    assert sum(isinstance(item, Row) for item in found) == 3000


def test_quoted_fields_may_hold_delimiters_line_breaks_and_quotes(tmp_path):
    path = write(tmp_path, "words.csv", 'palabra,significado\nna,"casa, ""mi casa""\no choza"\nha\',agua\n')
    assert [(r.line, r.values["significado"]) for r in rows(path)] == [(2, 'casa, "mi casa"\no choza'), (4, "agua")]


def test_a_wrong_column_is_named_with_those_there_are(tmp_path):
    path = write(tmp_path, "words.csv", GOOD)
    (problem,) = problems(path, entries={"headword": "palabras"})
    assert problem.field == "entries.headword"
    assert "Did you mean 'palabra'?" in problem.repair
    (problem,) = problems(write(tmp_path, "x.csv", "foo,bar\n1,2\n"))
    assert "entries.headword" in problem.repair
    found = read(tmp_path / "x.csv", "lexicon", entries={"headword": "foo", "definition": "bar"})
    assert [item.headword for item in found] == ["1"]


def test_mixed_encodings_name_the_line(tmp_path):
    path = write(
        tmp_path, "words.csv", "palabra,significado\nna,jacal pequeño\n".encode() + "winik,señor\n".encode("latin-1")
    )
    (problem,) = problems(path)
    assert problem.line == 3
    assert "mixed encodings" in problem.what


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n\n", "empty"),
        (b"\x00\x01\x02\xff\xfe" * 400, "binary"),
        (bytes(range(1, 32)) * 50 + b"\xff\xfe\xfd", "binary"),
        (b"\x1f\x8b\x08\x00abc", "gzip"),
        (b"%PDF-1.4 ...", "PDF"),
        (b"PK\x03\x04....", "ZIP"),
        ("Привет, как дела\n" * 20, None),
        (("Привет, как дела\n" * 20).encode("cp1251"), "neither UTF-8 nor Latin-1"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, content, what):
    path = write(tmp_path, "words.txt", content)
    if what is None:
        assert detect(path).name == "utf-8"
        return
    (problem,) = problems(path, "text")
    assert what in problem.what


def test_a_hundred_megabyte_line_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "words.csv"
    with path.open("wb") as file:
        file.write(GOOD.encode())
        for _ in range(100):
            file.write(b"x" * 2**20)
    code = (
        "import resource, sys; from pathlib import Path; from endonym.ingest.sample import take\n"
        "from endonym.errors import DataError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: take(Path(sys.argv[1]))\n"
        "except DataError as error: print(error.problems[0].line)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    line, grown = map(int, ran.stdout.split())
    assert line == 4
    unit = 1 if sys.platform == "darwin" else 1024
    assert grown * unit < 4 * MAX_LINE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_large_file_without_lines_is_streamed_or_refused(tmp_path):
    unit = b"<tu><tuv xml:lang='tzh'><seg>na</seg></tuv><tuv xml:lang='es'><seg>casa</seg></tuv></tu>"
    memory = write(
        tmp_path, "a.tmx", b"<?xml version='1.0' encoding='ISO-8859-1'?><tmx><body>" + unit * 100_000 + b"</body></tmx>"
    )
    assert memory.stat().st_size > MAX_LINE
    assert take(memory).encoding.said == "ISO-8859-1, as the file declares"
    assert (
        sum(1 for _ in plugins.load("reader", "tmx").read(memory, tmx.Config(language="tzh", pivot="spa"))) == 100_000
    )
    array = tmp_path / "a.json"
    with array.open("wb") as file:
        for _ in range(MAX_WHOLE // 2**20 + 1):
            file.write(b"[1, 2, 3, 4, 5, " * 2**16)
    assert "too much" in problems(array)[0].what


def test_an_rtf_document_is_refused_with_a_repair(tmp_path):
    (finding,) = add(make_project(tmp_path / "p"), [write(tmp_path, "old.rtf", "{\\rtf1\\ansi Ya xtal ha'al.}")])
    assert not finding.added and "RTF" in finding.problems[0].what and ".docx" in finding.problems[0].repair


@pytest.mark.parametrize(
    ("name", "content", "reader", "line"),
    [
        ("a.jsonl", '{"prompt": "a", "response": "b"}\n{"prompt": "a"\n', "chat", 2),
        ("a.jsonl", '{"prompt": "a", "response": "b"}\n["a", "b"]\n', "chat", 2),
        ("a.jsonl", '{"messages": [{"role": "wizard", "content": "x"}]}\n', "chat", 1),
        ("a.jsonl", '{"lang": "tzh", "text": 5}\n', "documents", 1),
        ("a.json", '[{"palabra": "na",}]', "lexicon", 1),
        ("a.tmx", '<?xml version="1.0"?>\n<tmx><body><tu></body></tmx>', "tmx", 2),
        ("a.po", 'msgid "a"\nmsgstr "b\n', "po", 2),
        ("a.tsv", "spa\ttzh\nagua\tha'\nfuego\n", "pairs", 3),
    ],
)
def test_each_format_names_the_line_it_breaks_at(tmp_path, name, content, reader, line):
    assert problems(write(tmp_path, name, content), reader)[0].line == line


def test_a_page_without_text_and_a_memory_without_the_languages_are_refused(tmp_path):
    assert "no text" in problems(write(tmp_path, "a.html", "<html><script>x</script></html>"), "html")[0].what
    (problem,) = problems(FIXTURES / "memory.tmx", "tmx", language="quy")
    assert "tzh (2)" in problem.repair


def test_xml_entities_cannot_blow_up_or_read_files(tmp_path):
    secret = write(tmp_path, "secret.txt", "do not read")
    bomb = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol" * 10}">' for i in range(12))
    write(
        tmp_path,
        "a.tmx",
        f"<?xml version='1.0'?><!DOCTYPE tmx [{bomb}]><tmx><body><tu><tuv xml:lang='tzh'><seg>&l11;</seg></tuv></tu></body></tmx>",
    )
    assert problems(tmp_path / "a.tmx", "tmx")
    unit = "<tu><tuv xml:lang='tzh'><seg>a &x;</seg></tuv><tuv xml:lang='es'><seg>b</seg></tuv></tu>"
    write(
        tmp_path,
        "b.tmx",
        f"<?xml version='1.0'?><!DOCTYPE tmx [<!ENTITY x SYSTEM '{secret.as_uri()}'>]><tmx><body>{unit}</body></tmx>",
    )
    (problem,) = problems(tmp_path / "b.tmx", "tmx")
    assert "stands for other entities, a file" in problem.what


def test_add_goes_on_past_bad_files(tmp_path):
    project = make_project(tmp_path / "p")
    raw = project.path / "raw"
    shutil.copy(FIXTURES / "wordlist.csv", raw)
    write(raw, "empty.txt", "")
    write(raw, "image.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    write(raw, "broken.csv", GOOD + "one\n")
    found = {Path(finding.files[0]).name: finding for finding in add(project, [raw, raw / "nowhere.csv"])}
    assert {name for name, finding in found.items() if finding.ok} == {"wordlist.csv"}
    assert found["broken.csv"].problems[0].file == "raw/broken.csv"
    assert [source["files"] for source in Project(project.path).sources] == [["raw/wordlist.csv"]]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", "headword,definition\n", "it holds no record"),
        ("a.csv", "headword,definition,example\nna,,\n", None),
        ("a.tsv", "spa\ttzh\nLa casa es muy grande\t\n\tMuk te na ta ora\n", "(pairs.one_side)"),
        ("a.json", "[]", "no object"),
        ("a.jsonl", "{}\n", "no object"),
        ("a.jsonl", '{"headword": "na"\n', "not JSON"),
        ("a.csv", "one,two\n1,2\n", "no column was recognised"),
    ],
)
def test_a_file_that_gives_nothing_is_not_added(tmp_path, name, content, what):
    project = make_project(tmp_path / "p")
    path = write(project.path / "raw", name, content)
    (finding,) = add(project, [path])
    if what is None:
        assert finding.added
        return
    assert not finding.added
    assert finding.problems[0].file == f"raw/{name}"
    assert what in finding.problems[0].what
    assert finding.problems[0].repair


def test_ingest_reports_every_bad_source_and_writes_nothing(tmp_path):
    project = make_project(tmp_path / "p")
    raw = project.path / "raw"
    shutil.copy(FIXTURES / "wordlist.csv", raw)
    write(raw, "broken.csv", GOOD + "one\n")
    write(raw, "empty.csv", "")
    for name in ("wordlist.csv", "broken.csv", "empty.csv"):
        project.add_source({"files": [f"raw/{name}"], "reader": "lexicon"})
    project.add_source({"files": ["raw/wordlist.csv"], "reader": "lexicon", "settings": {"colour": "red"}})
    project.add_source({"files": ["raw/wordlist.csv"], "reader": "lexicn"})
    with pytest.raises(DataError) as caught:
        run_ingest(project)
    found = caught.value.problems
    assert {problem.file for problem in found} == {"raw/broken.csv", "raw/empty.csv", "raw/wordlist.csv"}
    assert any("colour" in problem.what for problem in found)
    assert any("Did you mean 'lexicon'?" in problem.repair for problem in found)
    assert not list((project.runs).glob("*/output/*"))


def test_the_other_sources_stay_usable(tmp_path):
    project = make_project(tmp_path / "p")
    write(project.path / "raw", "broken.csv", GOOD + "one\n")
    shutil.copy(FIXTURES / "pairs.tsv", project.path / "raw")
    project.add_source({"files": ["raw/broken.csv"], "reader": "lexicon", "settings": {"bad_rows": "ledger"}})
    project.add_source(
        {"files": ["raw/pairs.tsv"], "reader": "pairs", "settings": {"text": "column 1", "translation": "column 2"}}
    )
    data = run_ingest(project)
    assert data.count() == 5
    (line,) = data.ledger()
    assert line["reason"] == "lexicon.bad_row"
    assert line["record"]["origin"] == "raw/broken.csv:4"
    assert line["record"]["text"] == "one"


def test_the_same_file_twice_is_an_error(tmp_path):
    project = make_project(tmp_path / "p")
    shutil.copy(FIXTURES / "wordlist.csv", project.path / "raw")
    for _ in range(2):
        project.add_source({"files": ["raw/wordlist.csv"], "reader": "lexicon"})
    with pytest.raises(DataError, match="read twice"):
        run_ingest(project)


def test_links_to_nothing_are_problems(tmp_path):
    for name in ("entries", "senses", "examples"):
        shutil.copy(TSELTAL / f"{name}.csv", tmp_path)
    with (tmp_path / "examples.csv").open("a", encoding="utf-8") as file:
        file.write("XV9,sin dueño,without owner,,SN999999\n")
    with (tmp_path / "senses.csv").open("a", encoding="utf-8") as file:
        file.write("SN8,TSE99999,perdido\n")
    settings = {"senses": {"file": "senses.csv"}, "examples": {"file": "examples.csv"}}
    found = problems(tmp_path / "entries.csv", **settings)
    assert {(problem.file, problem.field) for problem in found} == {
        ("examples.csv", "Sense_IDs"),
        ("senses.csv", "Entry_ID"),
    }
    kept = read(tmp_path / "entries.csv", "lexicon", bad_rows="ledger", **settings)
    assert sum(getattr(item, "reason", "") == "lexicon.bad_row" for item in kept) == 2


def test_unknown_settings_and_missing_tables_are_named(tmp_path):
    with pytest.raises(EndonymError):
        list(read(write(tmp_path, "words.csv", GOOD), "lexicon", senses={"file": "nowhere.csv"}))
    project = make_project(tmp_path / "p")
    (finding,) = add(project, [tmp_path / "words.csv"], reader="lexicon", settings={"colour": "red"})
    assert "colour" in finding.problems[0].what
    assert not issubclass(ConfigError, DataError)
