"""Dumps and web archives: every page is text or a ledger line with its reason, in bounded memory, whatever is broken in it."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import resource
import subprocess
import sys
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ingest import FIXTURES, make_project, read, run_ingest

from endonym.errors import DataError
from endonym.ingest.add import add
from endonym.ingest.sniff import choose_reader
from endonym.ingest.warc import http_response, text_of, web_records, write_response
from endonym.ingest.wikitext import parse
from endonym.project import Project
from endonym.types import Drop

PER_TEST = settings(max_examples=60, deadline=None)
WIKI = (FIXTURES / "wiki.xml").read_text(encoding="utf-8")
SITE = (FIXTURES / "site.warc").read_bytes()


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def reasons(items: list) -> dict:
    return {item.reason: item.record.text for item in items if isinstance(item, Drop)}


def kept(items: list) -> list:
    return [item.text for item in items if not isinstance(item, Drop)]


def test_a_dump_is_the_same_packed_and_plain(tmp_path):
    raw = WIKI.encode()
    cut = raw.index(b"<page>")
    plain = read(FIXTURES / "wiki.xml", "mediawiki")
    # Wikipedia's own dumps are several bz2 streams, one after the other.
    several = bz2.compress(raw[:cut]) + bz2.compress(raw[cut:])
    for name, content in (("wiki.xml.bz2", several), ("wiki.xml.gz", gzip.compress(raw)), ("wiki.bz2", several)):
        path = write(tmp_path, name, content)
        assert choose_reader(path, None) == "mediawiki"
        assert [getattr(item, "reason", "kept") for item in read(path, "mediawiki")] == [
            getattr(item, "reason", "kept") for item in plain
        ]
        assert kept(read(path, "mediawiki")) == kept(plain)
    with pytest.raises(DataError, match="damaged or cut short"):
        read(write(tmp_path, "cut.xml.bz2", bz2.compress(raw)[:-30]), "mediawiki")
    with pytest.raises(DataError, match="not well-formed"):
        read(write(tmp_path, "cut.xml", raw[:-200]), "mediawiki")


def test_articles_are_text_and_the_rest_is_in_the_ledger(tmp_path):
    project = make_project(tmp_path / "p")
    path = write(project.path / "raw", "wiki.xml.bz2", bz2.compress(WIKI.encode()))
    (finding,) = add(project, [path])
    assert finding.added, finding.problems
    assert [said.language for said in finding.languages] == ["spa"]
    data = run_ingest(Project(project.path))
    assert [record.text for record in data.records()] == [
        "No se critiquen unos a otros. Me mojé mucho por la lluvia.", "Dónde", "mi terreno"]  # fmt: skip
    last = list(data.records())[-1]
    assert last.meta["url"] == "https://es.wikipedia.org/wiki/Idioma_tseltal"
    assert (last.meta["section"], last.origin) == ("Dónde", "raw/wiki.xml.bz2:9")
    left = {line["reason"]: line["record"]["text"] for line in data.ledger()}
    assert left["mediawiki.redirect"] == "#REDIRECCIÓN [[Idioma tseltal]]"
    assert left["mediawiki.namespace"] == "¿adónde vas?"
    assert left["mediawiki.picture"] == "[[Archivo:a.jpg|thumb|La [[lluvia]]]]"
    assert set(left) == {f"mediawiki.{kind}" for kind in ("redirect", "namespace", "picture", "template", "reference", "table", "category")}  # fmt: skip
    counts = data.manifest["characters"].values()
    assert all(count["in"] == count["kept"] + count["dropped"] and not count["changed"] for count in counts)


def test_a_wiki_in_another_language_and_the_incubator(tmp_path):
    english = write(tmp_path, "en.xml", WIKI.replace('xml:lang="es"', 'xml:lang="en"'))
    with pytest.raises(DataError, match="other_language eng"):
        read(english, "mediawiki")
    incubated = WIKI.replace('xml:lang="es"', 'xml:lang="en"').replace("<title>Idioma", "<title>Wp/tzh/Idioma")
    found = read(write(tmp_path, "inc.xml", incubated), "mediawiki")
    assert {item.language for item in found if not isinstance(item, Drop)} == {"tzh"}
    assert "mediawiki.other_prefix" in reasons(read(english, "mediawiki", prefix="Idioma t", namespaces=[0, 1]))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a [[b|c]]d [[e]]s [[:Category:X]]", ["a cd es Category:X"]),
        ("''k'o'' y '''''x''''' ''''p''''", ["k'o y x 'p'"]),
        ("uno {{a|{{b}}|[[c]]}} dos", ["uno  dos"]),
        ("x {{ nunca\n\n[[tampoco", ["x {{ nunca", "[[tampoco"]),
        ("{| \n| a\n{| \n|b\n|}\n|}\nfin", ["fin"]),
        ("{{x\n| a\n|}}fin", ["fin"]),
        ("a<br>b <small>c</small><!-- d --> <nowiki>[[e]]</nowiki> __TOC__", ["a b c [[e]]"]),
        ("a <ref name=x/>b<ref>c", ["a bc"]),
        ("[https://x.org sitio] &lt; &amp;nbsp;", ["sitio < &nbsp;"]),
        ("== A = B ==\n# uno\n#* dos\n----\ntres\ncuatro", ["A = B", "uno", "dos", "tres cuatro"]),
        ("ሰላም [[ዓለም|ለዓለም]]።", ["ሰላም ለዓለም።"]),
    ],
)
def test_wikitext_leaves_its_words(source, text):
    assert [block.text for block in parse(source).blocks] == text


@PER_TEST
@given(st.lists(st.sampled_from(["{{", "}}", "[[", "]]", "{|", "|}", "\n", "|", "''", "<ref>", "</ref>", "<!--", "-->", "a b", "ha'", "== "]), max_size=30))  # fmt: skip
def test_no_word_of_wikitext_is_lost_whatever_is_not_closed(pieces):
    words = [f"{piece}{n}" if piece in ("a b", "ha'") else piece for n, piece in enumerate(pieces)]
    page = parse("".join(words))
    found = "\n".join(
        [block.text for block in page.blocks] + [text for texts in page.removed.values() for text in texts]
    )
    # A link's target gives way to its label; every other word stands in the text or in what was taken off.
    assert "[[" in pieces or all(word in found for word, piece in zip(words, pieces) if piece in ("a b", "ha'"))


def test_wikitext_of_open_marks_takes_linear_time():
    started = time.process_time()
    for bad in ("{{", "[[", "{|\n", "<ref>", "= "):
        parse(bad * 20_000)
    assert time.process_time() - started < 10


def test_a_large_dump_is_read_in_bounded_memory(tmp_path):
    head, page, tail = (
        WIKI[: WIKI.index("<page>")],
        "<page><title>T</title><ns>0</ns><revision><text>na {{x}} ha'\n</text></revision></page>",
        "</mediawiki>",
    )
    path = tmp_path / "big.xml.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(head.encode())
        for _ in range(20):
            file.write((page.replace("na", "na " * 1000)).encode() * 100)
        file.write(tail.encode())
    code = (
        "import resource, sys; from pathlib import Path; from endonym.ingest.readers import mediawiki\n"
        "found = mediawiki.read(Path(sys.argv[1]), mediawiki.Config(language='tzh', pivot='spa'))\n"
        "next(found); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(sum(1 for _ in found), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    number, grown = map(int, ran.stdout.split())
    assert number == 2 * 2000 - 1
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2**23
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_an_archive_gives_its_pages_with_address_date_and_licence(tmp_path):
    for name, content in (("site.warc", SITE), ("site.warc.gz", gzip.compress(SITE)), ("wrong.txt", SITE)):
        path = write(tmp_path, name, content)
        assert choose_reader(path, None) == "warc"
        found = read(path, "warc")
        assert kept(found) == ["La lluvia", "me mojé mucho por la lluvia", "bayel ahch'on ta ha'al"]
        assert reasons(found) == {"warc.menu": "Inicio", "warc.status": "<p>no hay</p>", "warc.no_page": ""}
        meta = found[1].record.meta if isinstance(found[1], Drop) else found[1].meta
        assert meta["url"] == "https://example.org/a"
        assert meta["licence"] == "https://creativecommons.org/licenses/by/4.0/"
        assert meta["date"] == "2024-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda raw: raw[:-3], None),
        (lambda raw: raw[:-40], "ends"),
        (lambda raw: re.sub(rb"Content-Length: \d+", b"Content-Length: x", raw), "no number"),
        (lambda raw: b"WARC/1.0\r\n" + b"a: b\r\n" * 9000, "do not end"),
        (lambda raw: gzip.compress(raw)[:-100], "damaged"),
        (lambda raw: raw.replace(b"me moj", b"\xff\xfe"), None),
        (lambda raw: b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 0\r\n\r\n", "no page"),
    ],
)
def test_a_broken_archive_is_named_with_its_repair(tmp_path, change, what):
    path = write(tmp_path, "a.warc", change(SITE))
    if what is None:
        assert len(kept(read(path, "warc"))) == 3
        return
    with pytest.raises(DataError) as caught:
        read(path, "warc")
    assert what in str(caught.value)
    assert caught.value.problems[0].repair


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("mojé", "iso-8859-1", "mojé"), ("mojé".encode("latin-1"), "utf-8", "mojé"), ("mojé".encode("utf-16"), "", "mojé"),
        ("ሰላም", "windows-1252", "ሰላም"), ("“sí”".encode("cp1252"), "nonsense", "“sí”"), ("привет".encode("cp1251"), "cp1251", "привет"),
        (b'<meta charset="cp1251">' + "да".encode("cp1251"), "", '<meta charset="cp1251">да'), ("日本".encode("iso-2022-jp"), "iso-2022-jp", "日本"),
        ("na\x81".encode("latin-1"), "", "na\x81"),
    ],
)  # fmt: skip
def test_a_wrong_charset_does_not_ruin_a_page(body, charset, text):
    assert text_of(body.encode() if isinstance(body, str) else body, charset) == text


def test_what_http_packed_is_unpacked_in_bounds():
    def answer(headers: str, body: bytes):
        return http_response(b"HTTP/1.1 200 OK\r\n" + headers.encode() + b"\r\n\r\n" + body)

    chunked = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    assert answer("Transfer-Encoding: chunked", chunked).body == b"hello world"
    assert answer("Transfer-Encoding: chunked", b"hello").body == b"hello"
    assert answer("Content-Encoding: gzip", gzip.compress(b"hello")).body == b"hello"
    assert answer("Content-Encoding: deflate", zlib.compress(b"hello")[2:-4]).body == b"hello"
    assert "br" in answer("Content-Encoding: br", b"x").problem
    assert "damaged" in answer("Content-Encoding: gzip", b"\x1f\x8bxx").problem
    assert "MiB" in answer("Content-Encoding: gzip", gzip.compress(b"a" * 2**27)).problem
    assert http_response(b"nothing").problem


@PER_TEST
@given(st.lists(st.tuples(st.binary(max_size=200), st.sampled_from([200, 301, 404])), min_size=1, max_size=5))
def test_what_is_written_to_an_archive_comes_back(tmp_path_factory, pages):
    path = tmp_path_factory.mktemp("w") / "a.warc.gz"
    raw = io.BytesIO()
    for n, (body, status) in enumerate(pages):
        write_response(
            raw, f"http://x/{n}", datetime(2024, 1, 2, tzinfo=UTC), status, {"Content-Type": "text/plain"}, body
        )
    path.write_bytes(raw.getvalue())
    found = [(record.url, http_response(record.content)) for record in web_records(path)]
    assert [(url, answer.status, answer.body) for url, answer in found] == [
        (f"http://x/{n}", s, b) for n, (b, s) in enumerate(pages)
    ]
