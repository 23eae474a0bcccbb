"""Documents as people have them (DOCX, ODT, EPUB, HTML, Markdown, USFM) are read whole, and what is left out is in the ledger."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ingest import FIXTURES, make_project, read

from endonym.align import run as align
from endonym.errors import DataError
from endonym.ingest.add import add
from endonym.ingest.archive import RATIO_FROM
from endonym.ingest.readers import markdown
from endonym.ingest.sniff import choose_reader
from endonym.types import Doc, Drop, Pair

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table", "style")
)
ARTICLES = {
    "amh": "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
    "hin": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "ara": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "spa": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
}
"""Universal Declaration of Human Rights, article 1, first sentence."""


def pack(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def docx(path: Path, body: str, **parts: str) -> Path:
    """A Word document as ECMA-376 wants it, less what no reader needs."""
    more = {f"word/{name}.xml": f"<w:{name} {W}>{content}</w:{name}>" for name, content in parts.items()}
    text = f"<w:document {W}><w:body>{body}</w:body></w:document>"
    return pack(path, {"[Content_Types].xml": "<Types/>", "word/document.xml": text, **more})


def odt(path: Path, body: str) -> Path:
    text = f"<office:document-content {ODF}><office:body><office:text>{body}</office:text></office:body></office:document-content>"
    return pack(path, {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": text})


def epub(path: Path, pages: dict[str, str], order: list[str], extra: str = "", nav: str = "") -> Path:
    files = "".join(
        f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"{extra if n == nav else ""}/>' for n in pages
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in order)
    opf = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:language>es</dc:language></metadata><manifest>{files}</manifest><spine>{spine}</spine></package>"
    )
    container = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    members = {"mimetype": "application/epub+zip", "META-INF/container.xml": container, "OPS/book.opf": opf}
    return pack(
        path, {**members, **{f"OPS/{name}": f"<html><body>{text}</body></html>" for name, text in pages.items()}}
    )


def p(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def row(*cells: str) -> str:
    return "<w:tr>" + "".join(f"<w:tc>{p(cell)}</w:tc>" for cell in cells) + "</w:tr>"


def kept(found: list) -> list:
    return [item for item in found if not isinstance(item, Drop)]


def texts(found: list) -> list[str]:
    return [text for item in kept(found) for _, text in item.texts()]


def dropped(found: list) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for item in found:
        if isinstance(item, Drop):
            out.setdefault(item.reason, []).append(" | ".join(text for _, text in item.record.texts()))
    return out


def letters(*parts: str) -> Counter[str]:
    return Counter(char for part in parts for char in part if not char.isspace())


def all_letters(found: list) -> Counter[str]:
    return letters(*(text for item in found for _, text in getattr(item, "record", item).texts()))


def test_the_same_text_comes_from_word_opendocument_and_epub():
    """All three were written by LibreOffice from one source: headings, paragraphs, a footnote and a bilingual table."""
    found = {kind: read(FIXTURES / f"udhr.{kind}", kind) for kind in ("docx", "odt", "epub")}
    words = {kind: Counter(text.lstrip("1") for text in texts(items)) for kind, items in found.items()}
    assert words["docx"] == words["odt"] == words["epub"]
    for kind, items in found.items():
        pairs = [item for item in items if isinstance(item, Pair)]
        assert len(pairs) == 3
        assert pairs[2].source.startswith("Mame mach´a xu´ yich´ majel")
        assert pairs[2].target.startswith("Nadie será sometido a torturas")
        assert dropped(items)[f"{kind}.table_head"] == ["Español", "Tseltal"]
    assert "Derechos Humanos" in dropped(found["docx"])["docx.header"] + dropped(found["odt"])["odt.header"]


@pytest.mark.parametrize("code", ARTICLES)
@pytest.mark.parametrize("kind", ["docx", "odt", "epub"])
def test_every_script_comes_through_unchanged(tmp_path, code, kind):
    text, path = ARTICLES[code], tmp_path / f"a.{kind}"
    if kind == "docx":
        half = len(text) // 2
        docx(path, f"<w:p><w:r><w:t>{text[:half]}</w:t></w:r><w:r><w:t>{text[half:]}</w:t></w:r></w:p>")
    elif kind == "odt":
        odt(path, f"<text:p>{text.replace(' ', '<text:s/>', 1)}</text:p>")
    else:
        epub(path, {"a.xhtml": f"<p>{text}</p>"}, ["a.xhtml"])
    assert choose_reader(path, None) == kind
    assert texts(read(path, kind)) == [text]


def test_what_word_hides_deletes_and_notes_is_in_the_ledger(tmp_path):
    body = (
        '<w:p><w:pPr><w:pStyle w:val="berschrift2"/></w:pPr><w:r><w:t>Tal</w:t></w:r></w:p>'
        "<w:p><w:r><w:t>Ya </w:t></w:r><w:del><w:r><w:delText>mal</w:delText></w:r></w:del><w:ins><w:r><w:t>xtal</w:t></w:r></w:ins>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>secreto</w:t></w:r><w:r><w:tab/><w:t>ha</w:t><w:noBreakHyphen/><w:t>al</w:t></w:r>"
        "<w:r><w:instrText>HYPERLINK x</w:instrText></w:r></w:p>"
        "<w:p><mc:AlternateContent xmlns:mc='m'><mc:Choice><w:r><w:txbxContent>" + p("caja") + "</w:txbxContent></w:r></mc:Choice>"
        "<mc:Fallback><w:r><w:txbxContent>" + p("caja") + "</w:txbxContent></w:r></mc:Fallback></mc:AlternateContent>"
        "<w:r><w:t>fuera</w:t></w:r></w:p>"
    )  # fmt: skip
    styles = '<w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>'
    path = docx(tmp_path / "a.docx", body, styles=styles, comments=f"<w:comment>{p('ojo')}</w:comment>",
                footnotes=f"<w:footnote>{p('nota')}</w:footnote>")  # fmt: skip
    found = read(path, "docx")
    assert texts(found) == ["Tal", "Ya xtal\tha\u2011al", "fuera", "caja", "nota"]
    assert kept(found)[0].meta["heading"] == 2
    assert kept(found)[1].meta["section"] == "Tal"
    assert dropped(found) == {
        "docx.deleted": ["mal"], "docx.hidden": ["secreto"], "docx.field": ["HYPERLINK x"], "docx.comment": ["ojo"],
    }  # fmt: skip
    once = "TalYa malxtalsecretoha\u2011alHYPERLINK xcajafueraojonota"
    assert all_letters(found) == letters(once)


def test_a_book_is_read_in_its_own_order_with_notes_and_without_its_contents(tmp_path):
    pages = {
        "nav.xhtml": "<nav><ol><li>Uno</li></ol></nav>",
        "b.xhtml": "<h1>Dos</h1><p>Fin<a epub:type='noteref' href='#n'>7</a> del libro.</p><aside epub:type='footnote'>Nota</aside>",
        "a.xhtml": "<h1>Uno</h1><p>Comienzo &nbsp;claro<br/>y m&aacute;s</p><script src='x'/><p>tras el guion</p>",
    }
    path = epub(tmp_path / "a.epub", pages, ["nav.xhtml", "a.xhtml", "b.xhtml"], ' properties="nav"', "nav.xhtml")
    found = read(path, "epub")
    assert texts(found) == ["Uno", "Comienzo \xa0claro", "y más", "tras el guion", "Dos", "Fin del libro.", "Nota"]
    assert dropped(found) == {"epub.contents": ["Uno"], "epub.note_number": ["7"]}
    assert {item.language for item in kept(found)} == {"spa"}
    assert kept(found)[0].origin == "a.epub:a.xhtml line 1"


TABLES = {
    "docx": lambda path, rows: docx(path, "<w:tbl>" + "".join(row(*cells) for cells in rows) + "</w:tbl>"),
    "odt": lambda path, rows: odt(path, "<table:table>" + "".join(
        "<table:table-row>" + "".join(f"<table:table-cell><text:p>{c}</text:p></table:table-cell>" for c in cells)
        + "</table:table-row>" for cells in rows) + "</table:table>"),
    "html": lambda path, rows: path.write_text("<!doctype html><table>" + "".join(
        "<tr>" + "".join(f"<td>{c}" for c in cells) for cells in rows) + "</table>", encoding="utf-8"),
    "markdown": lambda path, rows: path.write_text("\n".join(
        [f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0]), *(f"| {' | '.join(cells)} |" for cells in rows[1:])]),
        encoding="utf-8"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_tables_in_two_languages_become_pairs(tmp_path, kind, amharic, tseltal):
    """Told by the names of the columns, or by what stands in them; other tables stay text."""
    path = tmp_path / ("a.md" if kind == "markdown" else f"a.{kind}")
    TABLES[kind](path, [("n", "Español", "Tseltal"), *((str(n), *pair) for n, pair in enumerate(tseltal[:5], 1))])
    found = read(path, kind)
    assert [(pair.source, pair.target) for pair in kept(found)] == [(own, spanish) for spanish, own in tseltal[:5]]
    columns = dropped(found)[f"{kind}.table_column"]
    assert columns == ["1", "2", "3", "4", "5"]
    TABLES[kind](path, amharic[:6])
    found = read(path, kind, language="amh", pivot="eng")
    clean = [(own, english) for english, own in amharic[:6]]
    assert [(pair.source, pair.target) for pair in kept(found)] == clean
    TABLES[kind](path, [("Año", "Lugar"), ("1821", "Ocosingo"), ("1824", "Bachajón")])
    assert [item.kind for item in kept(read(path, kind))] == ["doc"] * 6
    TABLES[kind](path, amharic[:6])
    assert {item.kind for item in kept(read(path, kind, language="amh", pivot="spa"))} == {"doc"}


def test_a_text_in_the_pivot_may_hold_a_table_of_both(tmp_path, tseltal):
    """A grammar written in Spanish: its language is found, and its examples are pairs all the same."""
    project = make_project(tmp_path / "p")
    prose = " ".join(spanish for spanish, _ in tseltal[20:40])
    rows = "".join(row(*pair) for pair in (("Español", "Tseltal"), *tseltal[:4]))
    path = docx(project.path / "raw" / "gramatica.docx", p(prose) + f"<w:tbl>{rows}</w:tbl>")
    (finding,) = add(project, [path])
    assert finding.settings["written_in"] == "spa"
    found = kept(read(path, "docx", **finding.settings))
    assert [item.kind for item in found] == ["doc"] + ["pair"] * 4
    assert found[0].language == "spa"


def test_verses_of_two_files_are_paired_by_their_numbers(tmp_path):
    own = [f"{c}:{v} Ya xtal ha'al {c * 10 + v} welta ta k'inal." for c in (1, 2) for v in range(1, 8)]
    other = [f"{c}.{v} Llueve {c * 10 + v} veces en la milpa." for c in (1, 2) for v in range(1, 8) if (c, v) != (1, 3)]
    (tmp_path / "mat.tzh.txt").write_text("\n".join(own), encoding="utf-8")
    (tmp_path / "mat.spa.txt").write_text("# Mateo\n" + "\n".join(other), encoding="utf-8")
    left = read(tmp_path / "mat.tzh.txt", "text", parallel=True)
    right = read(tmp_path / "mat.spa.txt", "text", parallel=True)
    assert choose_reader(tmp_path / "mat.spa.txt", None) == "text"
    assert [doc.meta["verse"] for doc in left][:3] == ["1:1", "1:2", "1:3"]
    assert left[0].text == "Ya xtal ha'al 11 welta ta k'inal."
    from endonym.align.aligners import length

    documents = {"mat": (left, right)}
    ((_, made),) = align.pair_up(documents, align.Config(floor=0), length, length.Config(), None)
    pairs = [item.record for item in made if isinstance(getattr(item, "record", None), Pair)]
    assert len(pairs) == 13
    numbers = [[re.findall(r"\d+", text) for _, text in pair.texts()] for pair in pairs]
    assert all(source == target for source, target in numbers)
    assert [pair.meta["verse"] for pair in pairs][:3] == ["1:1", "1:2", "1:4"]


def test_paragraphs_in_the_other_script_are_in_the_other_language(tmp_path, amharic):
    """They are no translations of the rest unless the source says `parallel`: a foreword is none."""
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(text for pair in amharic[:4] for text in pair), encoding="utf-8")
    docs = read(path, "text", language="amh", pivot="eng")
    assert [doc.language for doc in docs] == ["eng", "amh"] * 4
    assert {(doc.language, doc.meta["document"]) for doc in docs} == {("amh", "a"), ("eng", "a (eng)")}
    assert {doc.meta["parallel"] for doc in read(path, "text", language="amh", pivot="eng", parallel=True)} == {"a"}
    assert {doc.language for doc in read(path, "text")} == {"tzh"}


def test_numbered_sections_are_no_verses(tmp_path):
    body = "\n\n".join(f"1.{n} Lugares\n\nEl texto de la sección es largo.\n\nY sigue aquí." for n in range(1, 9))
    (tmp_path / "a.txt").write_text(body, encoding="utf-8")
    found = read(tmp_path / "a.txt", "text")
    assert found[0].text == "1.1 Lugares"
    assert not any("verse" in item.meta for item in found)


def test_scripture_in_usfm_is_read_by_verse():
    found = read(FIXTURES / "matthew.usfm", "usfm")
    assert [(doc.meta.get("verse"), doc.text) for doc in kept(found)] == [
        (None, "Te lek k'op"), (None, "Te sme' stat"), ("MAT 1:1", "Ja' sjunal te Jesucristo."),
        ("MAT 1:2", "Te Abraham la sjelol Isaac."), ("MAT 2:1-2", "Te k'alal Kajwaltik ayin."),
    ]  # fmt: skip
    assert dropped(found)["usfm.note"] == ["+ 1.1 libro"]
    assert choose_reader(FIXTURES / "matthew.usfm", None) == "usfm"


MARKDOWN = """---
title: Notas
---
Título
======

> Una *cita* con `código`, un [enlace](https://e.org "x") y ![foto](a.png).
> Sigue **aquí**, y __allí__.

1. uno \\* dos
- [x] tres <b>cuatro</b> <!-- nota -->

| a | b |
|---|:-:|
| c \\| d | **e** |

```py
codigo()
```

***

[ref]: https://e.org
Ver [la nota][ref][^1] y <https://e.org> y snake_case_name y 2*3*4.
"""


def test_markdown_loses_no_character(tmp_path):
    path = tmp_path / "a.md"
    path.write_text(MARKDOWN, encoding="utf-8")
    found = read(path, "markdown")
    assert texts(found) == [
        "Título", "Una cita con código, un enlace y foto. Sigue aquí, y allí.", "uno * dos", "tres cuatro", "a", "b", "c | d",
        "e", "Ver la nota y https://e.org y snake_case_name y 2*3*4.",
    ]  # fmt: skip
    assert set(dropped(found)) == {
        f"markdown.{why}" for why in ("front_matter", "link", "tag", "code", "rule", "marks")
    }
    assert all_letters(found) == letters(MARKDOWN)


PIECES = ["*", "**", "_", "`", "[", "]", "(", ")", "](", "!", "<b>", "<!--", "-->", "|", "|-|\n", "#", "# ", "> ", "- ", "1. ",
          "\n", "\n\n", "```", "---\n", "===\n", "\\", "[a]: b\n", "[^1]", "<http://x.y>", " ", "ab", "c", "ፊደል", "शब्द", "كلمة"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=25).map("".join))
def test_any_markdown_balances(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.md"
    path.write_text(text + "\n\nfin\n", encoding="utf-8", newline="")
    blocks = list(markdown.blocks(path, markdown.Config(encoding="utf-8")))
    said = [b.text for b in blocks] + [cell for b in blocks for part in b.cells for cell in part]
    assert letters(*said) == letters(text, "fin")


def test_what_is_no_prose_on_a_page_is_in_the_ledger(tmp_path):
    path = tmp_path / "a.html"
    path.write_text(
        "<!doctype html><html lang=es><body><header>Sitio</header><div role=navigation>Menú<div>más</div></div><main><article>"
        "<header><h1>Título</h1></header><p>Texto<noscript>Active JavaScript</noscript></p><select><option>uno</select>"
        "<p>Final</p></article></main><footer>© 2020</footer></body></html>",
        encoding="utf-8",
    )
    found = read(path, "html")
    assert texts(found) == ["Título", "Texto", "Final"]
    assert dropped(found) == {
        "html.menu": ["Sitio", "Menú", "más", "© 2020"],
        "html.aside": ["Active JavaScript", "uno"],
    }


def test_one_book_in_two_formats_is_parallel(tmp_path):
    project = make_project(tmp_path / "p")
    docx(project.path / "raw" / "kap1.tzh.docx", p("Ya xtal ha'al.") + p("Lek ay."))
    odt(project.path / "raw" / "kap1.spa.odt", "<text:p>Viene la lluvia.</text:p><text:p>Está bien.</text:p>")
    found = add(project, [project.path / "raw"])
    assert [finding.reader for finding in found] == ["odt", "docx"]
    assert all(finding.settings["parallel"] for finding in found)
    docs = [
        doc for finding in found for doc in read(project.path / finding.files[0], finding.reader, **finding.settings)
    ]
    assert {doc.meta["parallel"] for doc in docs} == {"kap1"}
    assert {doc.language for doc in docs if isinstance(doc, Doc)} == {"tzh", "spa"}


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "lol">]>'
GOOD = f"<w:document {W}><w:body>{p('a')}</w:body></w:document>"


def members(**parts: str | bytes) -> dict[str, str | bytes]:
    return {"[Content_Types].xml": "<Types/>", "word/document.xml": GOOD, **parts}


@pytest.mark.parametrize(
    ("name", "make", "what"),
    [
        ("a.docx", lambda path: pack(path, members(**{"../../etc/x": "a"})), "leads out of the archive"),
        ("a.docx", lambda path: pack(path, members(**{"word/document.xml": BOMB + GOOD.replace(">a<", ">&x;<")})), "entities"),
        ("a.docx", lambda path: pack(path, members(**{"word/document.xml": GOOD[:-20]})), "not well-formed XML"),
        ("a.docx", lambda path: pack(path, members(**{"word/document.xml": b" " * (RATIO_FROM * 2)})), "unpacks to more than"),
        ("a.docx", lambda path: docx(path, ""), "no text in this document"),
        ("a.docx", lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 600), "protected by a password"),
        ("a.docx", lambda path: path.write_bytes(b""), "empty"),
        ("a.docx", lambda path: path.write_bytes((FIXTURES / "udhr.docx").read_bytes()[:3000]), "broken archive"),
        ("a.odt", lambda path: pack(path, {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": BOMB + "<a/>"}), "entities"),
        ("a.odt", lambda path: pack(path, {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "x",
                                           "META-INF/manifest.xml": "<manifest:encryption-data/>"}), "protected by a password"),
        ("a.epub", lambda path: epub(path, {"a.xhtml": "<p>a</p>"}, []), "spine is empty"),
        ("a.epub", lambda path: epub(path, {"a.xhtml": BOMB + "<p>&x;</p>"}, ["a.xhtml"]), "entities"),
        ("a.epub", lambda path: pack(path, {"mimetype": "application/epub+zip", "META-INF/container.xml": "<a/>", "META-INF/encryption.xml":
                                            '<EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>'}), "encrypted"),
    ],
)  # fmt: skip
def test_a_bad_document_is_named_with_its_repair_and_the_rest_goes_on(tmp_path, name, make, what):
    project = make_project(tmp_path / "p")
    make(project.path / "raw" / name)
    (project.path / "raw" / "good.md").write_text("Ya xtal ha'al.\n", encoding="utf-8")
    found = {Path(finding.files[0]).name: finding for finding in add(project, [project.path / "raw"])}
    assert found["good.md"].added
    (problem,) = found[name].problems
    assert what in problem.what
    assert problem.file == f"raw/{name}"
    assert problem.repair


def test_an_encrypted_member_is_refused(tmp_path):
    path = docx(tmp_path / "a.docx", p("a"))
    raw = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        for found in re.finditer(re.escape(mark), bytes(raw)):
            raw[found.start() + place] |= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="this part is encrypted"):
        read(path, "docx")


@pytest.mark.parametrize(("source", "name"), [("udhr.docx", "a.txt"), ("udhr.odt", "a.docx"), ("udhr.epub", "a.zip")])
def test_a_wrong_extension_does_not_lead_to_a_wrong_reader(tmp_path, source, name):
    (tmp_path / name).write_bytes((FIXTURES / source).read_bytes())
    assert choose_reader(tmp_path / name, None) == source.partition(".")[2]
    (tmp_path / "b.docx").write_text("Ya xtal ha'al.\n", encoding="utf-8")
    assert choose_reader(tmp_path / "b.docx", None) == "text"


def test_a_long_document_is_streamed(tmp_path):
    """A document of many megabytes of XML is read paragraph by paragraph: the first one comes before the last is parsed."""
    body = p("Ya xtal ha'al ta jlumaltik.") * 60_000
    path = docx(tmp_path / "a.docx", body)
    from endonym.ingest.readers import docx as reader

    blocks = reader.blocks(path)
    assert next(blocks).text.startswith("Ya xtal")
    assert 1 + sum(1 for _ in blocks) == 60_000


FIELDS = [
    ("pairs", '{"data": {"items": [{"t": {"tzh": "ja jna", "spa": "mi casa"}}]}}', {}, ["ja jna", "mi casa"]),
    ("pairs", '[{"x": [{"s": "ja jna"}, {"s": "mi casa"}]}]', {"text": "x.0.s", "translation": "x.1.s"}, ["ja jna", "mi casa"]),
    ("documents", '{"r": [{"p": {"b": ["uno", "dos"]}, "m": {"l": "es"}}]}', {"text": "p.b", "language_field": "m.l"}, ["uno", "dos"]),
    ("documents", '{"a": [{"text": "no"}], "b": [{"text": "sí"}]}', {"items": "b"}, ["sí"]),
    ("chat", '[{"d": {"log": [{"who": "kid", "t": {"es": "¿qué?"}}, {"who": "AI", "t": {"es": "eso"}}]}}]',
     {"messages": "d.log", "role": "who", "content": "t.es", "roles": {"kid": "user", "AI": "assistant"}}, ["¿qué?", "eso"]),
    ("chat", '[{"q": {"text": "¿qué?"}, "a": {"text": "eso"}}]', {"prompt": "q.text", "response": "a.text"}, ["¿qué?", "eso"]),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "content", "values", "wanted"), FIELDS)
def test_fields_inside_fields_are_named_by_their_path(tmp_path, reader, content, values, wanted):
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    assert texts(read(path, reader, **values)) == wanted


def test_a_wrong_path_is_named_with_those_there_are(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": {"b": [{"text": "sí"}]}}', encoding="utf-8")
    with pytest.raises(DataError, match=r"no list at 'a\.c'(.|\n)*a\.b"):
        read(path, "documents", items="a.c")
