"""Dictionaries are recognised by what stands in them, nothing in them is lost, and bad ones are refused for themselves alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from dictionary_files import dictd, stardict
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ingest import FIXTURES, READERS, make_project, read, run_ingest

from endonym.data.scripts import count_blocks
from endonym.errors import DataError
from endonym.ingest import packed
from endonym.ingest.add import add
from endonym.ingest.article import joined
from endonym.ingest.sniff import choose_reader
from endonym.project import Project
from endonym.types import Drop, Entry, Pair, from_json, to_json

NAMES = {reader: name for name, reader in READERS.items()}
WORDS = re.compile(r"[\w']+")


def added(folder: Path, files: list[Path], language: str = "tzh", pivot: str = "spa", **values):
    project = make_project(folder / "p", language, pivot)
    return project, add(project, files, settings=values)


@pytest.mark.parametrize(
    ("reader", "entries", "examples"),
    [
        ("lift", 2, 1),
        ("toolbox", 3, 1),
        ("tei", 4, 1),
        ("structured", 3, 2),
        ("cldf", 2, 2),
        ("stardict", 4, 1),
        ("dictd", 2, 0),
    ],
)
def test_a_dictionary_is_added_and_ingested_with_nothing_set(tmp_path, reader, entries, examples):
    """As a new user does it: `add FILE`, then ingest; languages, entries and examples are found and every character is accounted for."""
    path = FIXTURES / NAMES[reader]
    project, (finding,) = added(tmp_path, [path.parent if path.parent != FIXTURES else path])
    assert (finding.ok, finding.reader) == (True, reader), finding.problems
    assert {"tzh", "spa"} <= {said.language for said in finding.languages}
    shown = f"dictionary with {entries} entries" + (f" and {examples} example sentences" if examples else "")
    assert finding.good_for.startswith(shown)
    data = run_ingest(Project(project.path))
    records = list(data.records())
    assert Counter(record.kind for record in records) == Counter(entry=entries, pair=examples)
    ids = {record.id for record in records}
    for record in records:
        assert {code for code, _ in record.texts()} == {"tzh", "spa"}
        assert (project.path / record.origin.rpartition(":")[0]).is_file()
        assert record.meta.get("entry", record.id) in ids
    for count in data.manifest["characters"].values():
        assert count["in"] == count["kept"] + count["dropped"]
    dropped = Counter[str]()
    for line in data.ledger():
        for _, text in from_json(line["record"]).texts():
            dropped.update(count_blocks(text))
    wanted = Counter(
        {block: count["dropped"] for block, count in data.manifest["characters"].items() if count["dropped"]}
    )
    assert wanted == dropped


def words_of(path: Path) -> set[str]:
    """Every word of a dictionary's content, found by other code than the readers'."""
    if path.suffix in (".lift", ".tei"):
        root = ElementTree.parse(path).getroot()
        entries = [node for node in root.iter() if node.tag.endswith("entry")]
        text = " ".join(piece for entry in entries for piece in entry.itertext())
        if path.suffix == ".lift":
            kept = ("value", "ref", "source")
            values = [
                node.get(name, "")
                for entry in entries
                for node in entry.iter()
                for name in kept
                if node.tag != "translation"
            ]
            text += " " + re.sub(r"_[0-9a-f]{8}-\S+", "", " ".join(values))
    elif path.suffix == ".sfm":
        text = re.sub(r"^\\(_.*|sn .*|\S+)", "", path.read_text(encoding="utf-8"), flags=re.M).replace("Syn =", "Syn ")
    elif path.suffix == ".json":
        text = " ".join(
            (path.parent / f"{name}.tsv").read_text(encoding="utf-8").partition("\n")[2]
            for name in ("words", "meanings", "said")
        )
        text = re.sub(r"\b[wmx]\d\b|north|tsotsil", " ", text)
    elif path.suffix == ".ifo":
        raw = path.with_suffix(".dict").read_bytes() + path.with_suffix(".syn").read_bytes()
        text = re.sub(rb"RIFF1234x?|<[^>]*>|&\w+;|[\0-\x1f]+[a-zA-Z](?=<|RIFF|img)|[\0-\x1f]", b" ", raw).decode(
            "utf-8", "replace"
        )
        text = re.sub(r"\btnaː|\bm1\. agua|\bW\b", " naː agua ", text)
    elif path.suffix == ".index":
        text = gzip.decompress(path.with_suffix(".dict.dz").read_bytes()).decode()
        text = re.sub(r"^\s*\d\. ", "", text, flags=re.M)
    else:
        text = path.read_text(encoding="utf-8")
    return set(WORDS.findall(text))


@pytest.mark.parametrize("reader", ["lift", "toolbox", "tei", "structured", "cldf", "stardict", "dictd"])
def test_every_word_is_in_a_record_its_meta_or_the_ledger(reader):
    path = FIXTURES / NAMES[reader]
    values = {"languages": {"n": "spa"}} if reader == "toolbox" else {"tags": {}} if reader in ("lift", "tei") else {}
    found = read(path, reader, **values)
    everything = json.dumps(
        [to_json(item.record if isinstance(item, Drop) else item) for item in found], ensure_ascii=False
    )
    missing = words_of(path) - set(WORDS.findall(everything.replace("\\n", " ").replace("\\\\", " ")))
    assert len(words_of(path)) > 8
    assert not missing


@pytest.mark.parametrize(
    ("name", "extension"),
    [("dictionary.lift", ".xml"), ("dictionary.lift", ".txt"), ("dictionary.sfm", ".txt"), ("dictionary.sfm", ".db"),
     ("dictionary.tei", ".xml"), ("structured.txt", ".dic"), ("memory.tmx", ".lift"), ("notes.md", ".sfm"), ("page.html", ".tei")],
)  # fmt: skip
def test_content_tells_the_reader_and_not_the_extension(tmp_path, name, extension):
    path = tmp_path / f"file{extension}"
    shutil.copy(FIXTURES / name, path)
    expected = {"notes.md": "text"}.get(name, READERS[name])
    assert choose_reader(path, None) == expected


def test_prose_with_brackets_is_no_dictionary(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text("Once there was a man who lived alone (he had a dog) and went out.\n\n" * 20, encoding="utf-8")
    assert choose_reader(path, None) == "text"


def test_glosses_in_another_language_than_their_marker_says_are_told_by_content(tmp_path, tseltal):
    """Many dictionaries of Mexico write Spanish into `ge`, which MDF keeps for English."""
    path = tmp_path / "own.sfm"
    path.write_text("".join(f"\\lx {own}\n\\ge {spanish}\n\n" for spanish, own in tseltal[:60]), encoding="utf-8")
    _, (finding,) = added(tmp_path, [path])
    assert finding.settings["languages"] == {"e": "spa"}
    assert finding.records == {"entry": 60}


def test_entries_may_begin_with_a_key_and_have_markers_of_their_own(tmp_path):
    path = tmp_path / "own.sfm"
    path.write_text(
        "\\key 7\n\\pal na\n\\gn casa\n\\ej ay jna\n\\tr tengo casa\n\n\\key 8\n\\pal ha'\n\\gn agua\n",
        encoding="utf-8",
    )
    markers = {"pal": "lx", "ej": "xv", "tr": "xn"}
    first, pair, second = read(path, "toolbox", markers=markers, languages={"n": "spa"})
    assert (first.headword, first.meta["fields"], second.meta["fields"]) == ("na", {"key": ["7"]}, {"key": ["8"]})
    assert (pair.source, pair.target, pair.meta["entry"]) == ("ay jna", "tengo casa", first.id)


def test_a_mark_that_names_no_language_stands_for_the_projects(tmp_path):
    text = (FIXTURES / "dictionary.lift").read_text(encoding="utf-8").replace('"tzh', '"qaa-x-own')
    path = tmp_path / "own.lift"
    path.write_text(text, encoding="utf-8")
    _, (finding,) = added(tmp_path, [path])
    assert finding.settings["tags"] == {"qaa-x-own": "tzh"}
    assert finding.records["entry"] == 2
    with pytest.raises(DataError) as caught:
        read(path, "lift")
    assert 'tags = { qaa-x-own = "tzh" }' in caught.value.problems[0].repair.replace('"qaa-x-own"', "qaa-x-own")
    # A mark that does name another language is believed.
    path.write_text(text.replace("qaa-x-own", "hau"), encoding="utf-8")
    (other,) = add(make_project(tmp_path / "q"), [path])
    assert other.settings["language"] == "hau"
    assert any("nothing in it is in the project's language" in note for note in other.notes)


plain = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
    lambda text: text[0].isalpha() and "<" not in text
)
articles = st.lists(st.tuples(plain, st.lists(plain, min_size=1, max_size=4)), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(articles, st.booleans(), st.booleans(), st.sampled_from(["", "m", "tm", "h", "g"]))
def test_stardict_round_trip(tmp_path_factory, given_articles, wide, zipped, same):
    folder = tmp_path_factory.mktemp("stardict")
    kinds = same or "m"
    written = []
    for word, meanings in given_articles:
        lines = [f"{number}. {meaning}" for number, meaning in enumerate(meanings, 1)]
        body = "<br>".join(line.replace("&", "&amp;") for line in lines) if "h" in kinds else "\n".join(lines)
        body = body.replace("&", "&amp;") if "g" in kinds else body
        written.append((word, [(kind, b"said" if kind == "t" else body.encode()) for kind in kinds]))
    path = stardict(folder / "book.ifo", written, {"other": 0}, same, wide, zipped)
    entries = [item for item in read(path, "stardict") if isinstance(item, Entry)]
    assert [(e.headword, [s.definition for s in e.senses]) for e in entries] == given_articles
    assert "other" in entries[0].meta["variants"]
    assert ("t" in kinds) == (entries[0].meta.get("fields") == {"pronunciation": ["said"]})
    assert not read(path.with_suffix(".idx"), "stardict")


@settings(max_examples=40, deadline=None)
@given(articles, st.booleans())
def test_dictd_round_trip(tmp_path_factory, given_articles, zipped):
    folder = tmp_path_factory.mktemp("dictd")
    bodies = [
        ([word, f"{word}2"], f"{word}\n" + "".join(f"  {n}. {m}\n" for n, m in enumerate(meanings, 1)))
        for word, meanings in given_articles
    ]
    path = dictd(folder / "book.index", [(["00-database-info"], "About\n"), *bodies], zipped)
    about, *entries = read(path, "dictd")
    assert about.reason == "dictd.about_the_dictionary"
    assert [(e.headword, e.meta["variants"], [s.definition for s in e.senses]) for e in entries] == [
        (word, [f"{word}2"], meanings) for word, meanings in given_articles
    ]


def test_what_freedict_writes_around_its_meanings_is_no_meaning(tmp_path):
    """Lines as in FreeDict's Latin-German dictionary for dictd: inflected forms, a hint, a pointer to another entry."""
    lines = {
        "Ajax": "Ajax (aiacis) <n, sg, m>\n(griechischer Krieger)\n 1. Aiax\n 2. Aias\n",
        "abdere": "abdere <v>\n\n         Note: {abdo}\n",
    }
    path = dictd(tmp_path / "lat-deu.index", [([word], text) for word, text in lines.items()])
    entry, dropped = read(path, "dictd", language="lat", pivot="deu")
    assert [sense.definition for sense in entry.senses] == ["Aiax", "Aias"]
    assert entry.part_of_speech == "n, sg, m"
    assert entry.meta["fields"] == {"forms": ["(aiacis)"], "note": ["(griechischer Krieger)"]}
    assert (dropped.reason, dropped.record.meta["references"]) == ("dictd.no_gloss", {"note": ["abdo"]})
    assert dropped.detail == "it only refers to abdo"


def test_any_file_of_a_dictionary_in_several_files_means_all_of_it(tmp_path):
    for name, file in (("stardict", "tseltal-spanish.dict"), ("dictd", "freedict-tzh-spa.dict.dz")):
        project = make_project(tmp_path / name)
        (finding,) = add(project, [FIXTURES / name / file])
        assert finding.reader == name
        assert {Path(one).name for one in finding.files} == {path.name for path in (FIXTURES / name).iterdir()}
        assert all((project.path / one).is_file() for one in finding.files)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
ENTRY = '<entry><lexical-unit><form lang="tzh"><text>{}</text></form></lexical-unit></entry>'


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.lift", b"", "empty"),
        ("a.lift", '<lift version="0.13"></lift>', "no dictionary entry"),
        ("a.lift", f"<lift>{ENTRY.format('na')}", "not well-formed"),
        ("a.lift", f"{BOMB}<lift>{ENTRY.format('&b;')}</lift>", "stands for other entities"),
        ("a.lift", f"<!DOCTYPE x SYSTEM 'x.dtd'><lift>{ENTRY.format('&secret;')}</lift>", "declared nowhere"),
        ("a.lift", f"<lift>{'<entry>' * 300}</lift>", "nested"),
        ("a.lift", f"<lift>{ENTRY.format('x' * 5_000_000)}</lift>", "more than"),
        ("a.tei", f"{BOMB}<TEI><entry><form><orth>&b;</orth></form></entry></TEI>", "stands for other entities"),
        ("a.sfm", "\\lx\n\\ge casa\n", "(toolbox."),
        (
            "a.sfm",
            "\\lx na\n\\ge caf\xe9\n\\gn ma\xf1ana".encode("latin-1") + "\n\\de café".encode(),
            "mixed encodings",
        ),
        ("a.ifo", "StarDict's dict ifo file\nversion=2.4.2\n", "is not beside it"),
        ("cldf-metadata.json", (FIXTURES / "cldf" / "cldf-metadata.json").read_bytes(), "is not beside it"),
    ],
)
def test_a_bad_dictionary_is_named_with_its_repair_and_stops_nothing_else(tmp_path, name, content, what):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    _, (bad, good) = added(tmp_path, [path, FIXTURES / "structured.txt"])
    assert good.added
    assert not bad.added
    assert what in bad.problems[0].what
    assert bad.problems[0].repair
    assert bad.problems[0].file.endswith(name)


def test_what_stands_in_another_file_is_not_fetched(tmp_path):
    """An entity that stands for another file is refused, for what it would bring must not be missing in silence."""
    secret = tmp_path / "secret.txt"
    secret.write_text("geheim", encoding="utf-8")
    path = tmp_path / "a.lift"
    path.write_text(
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret}">]><lift>{ENTRY.format("na&e;")}</lift>', encoding="utf-8"
    )
    with pytest.raises(DataError, match="stands for other entities, a file"):
        read(path, "lift")


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda book: cut(book.with_suffix(".idx"), 9), "ends inside an entry"),
        (lambda book: cut(book.with_suffix(".dict.dz"), 20), "damaged or cut short"),
        (lambda book: book.with_suffix(".dict.dz").write_bytes(gzip.compress(b"na")), "the text ends before"),
        (lambda book: book.with_suffix(".idx").write_bytes(b"na\0\xff\xff\xff\x00\0\0\0\x09"), "GiB of text"),
        (lambda book: book.with_suffix(".dict.dz").unlink(), "is not beside it"),
    ],
)
def test_damaged_stardict_files_are_refused(tmp_path, harm, what):
    book = stardict(tmp_path / "book.ifo", [("na", [("m", b"casa " * 40)]), ("ha", [("m", b"agua")])], packed=True)
    harm(book)
    with pytest.raises(DataError, match=what):
        read(book, "stardict")


def test_a_packed_bomb_is_unpacked_no_further_than_the_index_needs(tmp_path, monkeypatch):
    book = stardict(tmp_path / "book.ifo", [("na", [("m", b"casa")])], packed=True)
    with gzip.open(book.with_suffix(".dict.dz"), "wb") as bomb:
        bomb.write(b"mcasa\0")
        for _ in range(64):
            bomb.write(b"\0" * 2**20)
    seen = []

    class Counted(io.BytesIO):
        def write(self, data):
            seen.append(len(data))
            return super().write(data)

    monkeypatch.setattr(packed.tempfile, "TemporaryFile", Counted)
    (entry,) = read(book, "stardict")
    assert entry.senses[0].definition == "casa"
    assert sum(seen) == 6


def test_a_metadata_file_cannot_lead_out_of_its_folder(tmp_path):
    """`url` of a table is a file beside the metadata, whatever path it names."""
    (tmp_path / "secret.tsv").write_text("Key\tForm\nw\tgeheim\n", encoding="utf-8")
    folder = tmp_path / "data"
    shutil.copytree(FIXTURES / "cldf", folder)
    about = (folder / "cldf-metadata.json").read_text(encoding="utf-8").replace('"words.tsv"', '"../secret.tsv"')
    (folder / "cldf-metadata.json").write_text(about, encoding="utf-8")
    _, (finding, *_) = added(tmp_path, [folder / "cldf-metadata.json"])
    assert not finding.added
    assert "is not beside it" in finding.problems[0].what


def test_examples_of_an_article_that_teaches_nothing_stay_without_it(tmp_path):
    path = tmp_path / "a.sfm"
    path.write_text("\\lx na\n\\ge house\n\\xv ay jna\n\\xn tengo casa\n", encoding="utf-8")
    entry, other, pair = read(path, "toolbox", languages={"n": "spa"})
    assert [entry.reason, other.reason] == ["toolbox.no_gloss", "toolbox.other_language"]
    assert isinstance(pair, Pair)
    assert (pair.meta["headwords"], "entry" in pair.meta) == (["na"], False)


@pytest.mark.parametrize(
    "cit",
    [
        '<cit type="trans"><quote>casa</quote></cit>',
        '<cit><quote type="trans">casa</quote></cit>',
        "<trans><tr>casa</tr></trans>",
    ],
)
def test_translations_in_tei_are_marked_in_more_than_one_way(tmp_path, cit):
    path = tmp_path / "a.tei"
    entry = f"<entry><form><orth>na</orth></form><sense>{cit}<cit><quote>ay jna</quote><cit><quote>tengo casa</quote></cit></cit></sense></entry>"
    path.write_text(f"<TEI><text><body>{entry}</body></text></TEI>", encoding="utf-8")
    found, pair = read(path, "tei")
    assert [sense.definition for sense in found.senses] == ["casa"]
    assert (pair.source, pair.target) == ("ay jna", "tengo casa")


FLEX_SFM = r"""\lx na
\lx_Tse na
\sn 1
\ps_Spa sust.
\g_Spa casa
\g_Eng house
\d_Eng a building that people live in
\xv_Tse ay jna
\x_Spa tengo casa
\x_Eng I have a house
\dt 26.Nov.2020
"""


def test_languages_of_standard_format_are_told_as_flex_writes_them(tmp_path):
    """What FLEx exports ends a marker in the name of its writing system: `g_Spa`, `x_Eng`."""
    path = tmp_path / "export.sfm"
    path.write_text(FLEX_SFM * 3, encoding="utf-8")
    project, (finding,) = added(tmp_path, [path])
    assert {"Spa": "spa"}.items() <= finding.settings["languages"].items()
    records = list(run_ingest(Project(project.path)).records())
    assert [(r.headword, r.part_of_speech, r.senses[0].definition) for r in records if isinstance(r, Entry)] == [
        ("na", "sust.", "casa")
    ] * 3
    assert {(r.source, r.target) for r in records if isinstance(r, Pair)} == {("ay jna", "tengo casa")}


def test_lines_of_a_corpus_that_hang_on_no_entry_are_pairs(tmp_path, tseltal):
    """The only language of a data set may go by a key that is no code; those of translations are told by their names."""
    term = "http://cldf.clld.org/v1.0/terms.rdf#"
    columns = {"lines.csv": ("ExampleTable", ("id", "languageReference", "primaryText", "translatedText", "metaLanguageReference", "contributionReference")),
               "langs.csv": ("LanguageTable", ("id", "name"))}  # fmt: skip
    tables = [{"url": url, "dc:conformsTo": term + kind, "tableSchema": {"columns": [{"name": name, "propertyUrl": term + name} for name in names]}}
              for url, (kind, names) in columns.items()]  # fmt: skip
    about = {"dc:conformsTo": f"{term}TextCorpus", "tables": tables}
    (tmp_path / "corpus-metadata.json").write_text(json.dumps(about), encoding="utf-8")
    said = [(f"{n}-es", "lect1", b, a, "lect2", f"text{n // 5}") for n, (a, b) in enumerate(tseltal[:20])]
    said += [
        *(
            (f"{n}-en", "lect1", b, f"in English {n}", "lect3", f"text{n // 5}")
            for n, (_, b) in enumerate(tseltal[:25])
        ),
        ("y", "lect1", tseltal[30][1], "", "", "text6"),
        ("z", "", "", "", "", ""),
    ]
    for url, rows in (
        ("lines.csv", said),
        ("langs.csv", [("lect1", "Bachajón"), ("lect2", "Spanish"), ("lect3", "English")]),
    ):
        with (tmp_path / url).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns[url][1], *rows])
    project, (finding,) = added(tmp_path, [tmp_path / "corpus-metadata.json"])
    assert finding.added, finding.problems
    data = run_ingest(Project(project.path))
    pairs = [r for r in data.records() if isinstance(r, Pair)]
    assert [(r.target, r.source) for r in pairs] == tseltal[:20]
    assert {(r.source_language, r.target_language) for r in pairs} == {("tzh", "spa")}
    assert [r.meta["document"] for r in pairs[4:6]] == ["text0", "text1"]
    assert [(r.text, r.language) for r in data.records() if not isinstance(r, Pair)] == [(tseltal[30][1], "tzh")]
    assert Counter(line["reason"] for line in data.ledger()) == {"cldf.other_language": 25, "cldf.no_text": 1}


def test_a_dictionary_that_defines_words_in_their_own_language_is_of_one(tmp_path):
    words = ["casa", "puerta", "pared", "techo", "cuarto", "ventana", "llave", "piso"]
    own = [
        ([word], f"cosa que hay donde está {words[n - 1]} y {words[n - 2]}, para vivir o guardar algo")
        for n, word in enumerate(words)
    ]
    other = [
        ([word], f"cosa que se dice de lo que hay en el lugar número {n}, para vivir o guardar algo")
        for n, word in enumerate(words)
    ]
    for name, articles, code in (("own", own, "spa"), ("other", other, "tzh")):
        index = dictd(tmp_path / f"{name}.index", articles)
        _, (finding,) = added(tmp_path / name, [index])
        assert [said.language for said in finding.languages] == [code, "spa"]


@given(st.lists(st.text("ab ,;(", max_size=6), max_size=4))
def test_a_gloss_that_a_definition_begins_with_is_not_said_twice(texts):
    given_ = list(dict.fromkeys(filter(None, (text.strip() for text in texts))))
    kept = [one for one in given_ if not any(re.match(re.escape(one) + r"\s*[,;.:(]", other) for other in given_)]
    assert joined(texts) == "; ".join(kept)


def test_examples_under_a_marker_of_their_own_are_found(tmp_path, tseltal):
    """Rotokas has its examples under `ex`, with one translation that is not MDF's either."""
    record = "\\lx palabra{0}\n\\ge cosa\n\\dt 29/Oct/2005\n\\ex {2}\n\\xp olsem tasol\n\\xe {1}\n\\ex {2} a\n\\xp nogat\n\\xe {1}!\n\n"
    path = tmp_path / "own.sfm"
    path.write_text("".join(record.format(n, a, b) for n, (a, b) in enumerate(tseltal[:12])), encoding="utf-8")
    project, (finding,) = added(tmp_path, [path])
    assert finding.settings["markers"] == {"ex": "xv"}
    pairs = [r for r in run_ingest(Project(project.path)).records() if isinstance(r, Pair)]
    assert [(r.source, r.target) for r in pairs[::2]] == [(b, a) for a, b in tseltal[:12]]
    assert len(pairs) == 24
    usual = tmp_path / "usual.sfm"
    usual.write_text(
        "".join(f"\\lx w{n}\n\\ge cosa\n\\xv {b}\n\\so viejo\n\\xe {a}\n\n" for n, (a, b) in enumerate(tseltal[:12])),
        encoding="utf-8",
    )
    assert "markers" not in added(tmp_path / "other", [usual])[1][0].settings
