"""PDF files give their text in reading order, whole, page by page; what belongs to the page and not to the text is in the ledger."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pypdfium2
import pytest
from pdf_writer import line, picture, write_pdf
from test_documents import ARTICLES, all_letters, dropped, kept, letters, texts
from test_ingest import DATA, FIXTURES, TSELTAL, make_project, read

from endonym.ingest import tesseract
from endonym.ingest.add import add
from endonym.ingest.sniff import choose_reader
from endonym.types import Drop

pytest.importorskip("pypdfium2")
DOCUMENTS = DATA / "documents"


def column(lines: list[str], x: float, top: float, step: float = 12.0) -> str:
    return "".join(line(text, x, top - step * number) for number, text in enumerate(lines))


def wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


@pytest.mark.parametrize("name", ["amharic", "arabic", "devanagari"])
def test_a_pdf_says_what_the_document_it_was_made_of_says(name):
    """LibreOffice wrote both; shaping, right-to-left order and marks over letters are undone."""
    paper, source = (read(DOCUMENTS / f"{name}.{kind}", kind) for kind in ("pdf", "docx"))
    # PDFium leaves out a space behind a Devanagari mark now and then; no letter is lost or changes its place.
    joined = (lambda text: "".join(text.split())) if name == "devanagari" else str
    assert Counter(map(joined, texts(paper))) == Counter(map(joined, texts(source)))
    assert choose_reader(DOCUMENTS / f"{name}.pdf", None) == "pdf"


def test_two_columns_are_read_one_after_the_other():
    """Articles 1 to 8 of the Declaration stand in the PDF as in the text file, across columns and pages."""
    found = texts(read(FIXTURES / "columns.pdf", "pdf"))
    wanted = (TSELTAL / "udhr.spa.txt").read_text(encoding="utf-8").replace("# ", "").split("\n")
    wanted = [text.strip() for text in wanted if len(text) > 3]
    places = [found.index(text) for text in wanted if text in found]
    assert len(places) >= 0.9 * len(wanted)
    assert places == sorted(places)


def test_a_title_stands_before_the_columns_under_it(tmp_path):
    left, right = wrapped(ARTICLES["spa"] * 3, 34), wrapped("Ya xtal ha'al ta jlumaltik sok ta k'inal. " * 6, 34)
    page = line("Sk'op Tseltal ta muk'ul jun sok yantik", 60, 560, 16) + column(right, 220, 530) + column(left, 40, 530)
    found = texts(read(write_pdf(tmp_path / "a.pdf", [page]), "pdf"))
    assert found[0] == "Sk'op Tseltal ta muk'ul jun sok yantik"
    assert " ".join(found[1:]) == " ".join(left + right)


@pytest.mark.parametrize("code", ["spa", "amh", "hin"])
def test_no_character_is_lost(tmp_path, code):
    """Heads, numbers, hyphens at line ends, two columns: every character of the pages is in the text or in the ledger."""
    pages = []
    for number in range(1, 5):
        lines = wrapped((ARTICLES[code] + " ") * 4, 32)
        lines[2] += "-"
        pages.append(
            line("ሰብአዊ መብት Derechos", 40, 570) + column(lines, 40, 540) + column(lines[::-1], 220, 540) + line(f"— {number} —", 200, 20)
        )  # fmt: skip
    raw = letters(*(bytes.fromhex(part).decode("utf-16-be") for page in pages for part in page.split("<")[1:]
                    for part in [part.partition(">")[0]]))  # fmt: skip
    found = read(write_pdf(tmp_path / "a.pdf", pages), "pdf", language=code, pivot="eng")
    assert all_letters(found) == raw
    out = dropped(found)
    assert out["pdf.running_header"] == ["ሰብአዊ መብት Derechos"] * 4
    assert out["pdf.page_number"] == [f"— {number} —" for number in range(1, 5)]


def test_hyphens_at_line_ends_are_taken_out_where_they_belong_to_no_word(tmp_path):
    lines = ["Te winik-antsetik ya xtalik ta jlumal sok te", "antsetik ya xbohonik. Ya stsobik sba te winik-",
             "antsetik ta k'inal sok ya snopik te sk'op-", "lalil yu'un te lum. Ja' jich la yalik te San-", "Juan winiketik."]  # fmt: skip
    found = read(write_pdf(tmp_path / "a.pdf", [column(lines, 40, 500)]), "pdf")
    (text,) = texts(found)
    assert "te winik-antsetik ta k'inal" in text
    assert "te sk'oplalil yu'un" in text
    assert "te San-Juan winiketik" in text
    assert [(item.reason, item.detail) for item in found if hasattr(item, "reason")] == [("pdf.hyphen", "sk'op-lalil")]


def test_headings_that_come_again_are_no_page_headers(tmp_path):
    """`Article 4`, `Article 9` at the top of pages count something else than pages; chapter titles change."""
    body = wrapped("Ya xtal ha'al ta jlumaltik sok ta k'inal. " * 6, 60)
    pages = [line(f"Artículo {n}", 40, 560) + column(body, 40, 530) for n in (4, 9, 11, 17)]
    found = read(write_pdf(tmp_path / "a.pdf", pages), "pdf")
    assert [text for text in texts(found) if text.startswith("Art")] == [f"Artículo {n}" for n in (4, 9, 11, 17)]
    pages = [line(f"Página {n} de 4", 40, 560) + column(body, 40, 530) for n in (1, 2, 3, 4)]
    found = read(write_pdf(tmp_path / "b.pdf", pages), "pdf")
    assert dropped(found)["pdf.running_header"] == [f"Página {n} de 4" for n in (1, 2, 3, 4)]


def test_a_paragraph_goes_on_over_the_end_of_a_page(tmp_path):
    first = ["Ya xtal ha'al ta jlumaltik sok", "ta k'inal te bay nakalon sok te"]
    pages = [column(first, 40, 500), column(["jnantik yu'un. Ja' jich."], 40, 500)]
    found = read(write_pdf(tmp_path / "a.pdf", pages), "pdf")
    assert texts(found) == [" ".join(first) + " jnantik yu'un. Ja' jich."]
    assert kept(found)[0].meta["page"] == 1


def test_a_damaged_page_goes_to_the_ledger_and_the_rest_is_read(tmp_path, tseltal):
    pages = [
        "".join(line(a, 40, 500 - 12 * n) for n, (a, _) in enumerate(tseltal[first : first + 12]))
        for first in (0, 12, 24)
    ]
    path = write_pdf(tmp_path / "a.pdf", pages)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"/Kids[8 0 R 10 0 R 12 0 R]", b"/Kids[8 0 R 99 0 R 12 0 R]"))
    found = read(path, "pdf")
    assert [(item.reason, item.record.meta["page"]) for item in found if isinstance(item, Drop)] == [
        ("pdf.damaged_page", 2)
    ]
    assert {item.meta["page"] for item in found if not isinstance(item, Drop)} == {1, 3}


def test_a_page_whose_letters_are_upside_down_is_read(tmp_path):
    said = ["palabras que están de cabeza en la hoja", "y otra línea de lo mismo"]
    content = "".join(line(text, 40, 500 - 20 * n, -10.0) for n, text in enumerate(said))
    found = read(write_pdf(tmp_path / "a.pdf", [content]), "pdf")
    assert sorted(" ".join(item.text for item in found).split()) == sorted(" ".join(said).split())


def test_pages_that_are_scans_are_named(tmp_path):
    project = make_project(tmp_path / "p")
    page = column(wrapped("Ya xtal ha'al ta jlumaltik. " * 5, 50), 40, 500)
    write_pdf(project.path / "raw" / "half.pdf", [page, picture(), page, picture()])
    write_pdf(project.path / "raw" / "none.pdf", [picture(), picture()])
    found = {Path(finding.files[0]).name: finding for finding in add(project, [project.path / "raw"])}
    assert found["half.pdf"].added
    assert any("2 pages are scans without text (2, 4)" in note for note in found["half.pdf"].notes)
    assert found["none.pdf"].problems and not found["none.pdf"].added


@pytest.mark.skipif("eng" not in tesseract.installed(), reason="Tesseract has no English data: see endonym doctor")
def test_scanned_pages_between_others_are_recognised(tmp_path):
    from PIL import Image, ImageDraw, ImageFont

    said = "Every page of this book is read with care"
    scan = Image.new("L", (1200, 400), 255)
    ImageDraw.Draw(scan).text((100, 100), said, fill=0, font=ImageFont.load_default(40))
    scan.save(tmp_path / "scan.pdf")
    page = column(wrapped("The text of this page can be copied. " * 5, 50), 40, 500)
    write_pdf(tmp_path / "text.pdf", [page, page])
    with pypdfium2.PdfDocument.new() as book:
        for number, name in ((0, "text"), (1, "scan"), (2, "text")):
            with pypdfium2.PdfDocument(tmp_path / f"{name}.pdf") as part:
                book.import_pages(part, [0], number)
        book.save(tmp_path / "book.pdf")
    found = kept(read(tmp_path / "book.pdf", "pdf", language="eng"))
    assert [(doc.meta["page"], doc.meta["document"]) for doc in found if doc.text == said] == [
        (2, "book, scanned pages")
    ]
    assert {doc.meta["document"] for doc in found if doc.text != said} == {"book"}
    found = read(tmp_path / "book.pdf", "pdf", language="eng", scans=False)
    assert "pdf.no_text_layer" in dropped(found) and len(kept(found)) == 2


def test_left_and_right_pages_may_translate_each_other(tmp_path, amharic):
    own, english = (" ".join(pair[side] for pair in amharic[:8]) for side in (1, 0))
    pages = [line("የመጀመሪያ", 40, 500)]
    pages += [column(wrapped(text, 60), 40, 500) for _ in range(3) for text in (own, english)]
    project = make_project(tmp_path / "p", "amh", "eng")
    path = write_pdf(project.path / "raw" / "book.pdf", pages)
    (finding,) = add(project, [path])
    assert finding.settings["facing"] == "left"
    docs = kept(read(path, "pdf", language="amh", pivot="eng", facing="left"))
    by_side = {code: [doc for doc in docs if doc.language == code] for code in ("amh", "eng")}
    assert by_side["eng"][-1].meta["section"] == by_side["amh"][-1].meta["section"] == "pages 6 and 7"
    assert all(doc.meta["parallel"] == "book" for doc in docs)
    assert {doc.meta["page"] % 2 for doc in by_side["eng"] if doc.meta["page"] > 1} == {1}


def test_page_n_of_one_file_may_translate_page_n_of_the_other(tmp_path):
    path = write_pdf(tmp_path / "a.pdf", [line(f"Ya xtal {n} ha'al.", 40, 500) for n in (1, 2)])
    assert [doc.meta["section"] for doc in read(path, "pdf", pages=True)] == ["page 1", "page 2"]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.write_bytes((DOCUMENTS / "locked.pdf").read_bytes()), "protected by a password"),
        (lambda path: path.write_bytes((FIXTURES / "columns.pdf").read_bytes()[:9000]), "not a PDF that can be read"),
        (lambda path: path.write_bytes(b"%PDF-1.7\n"), "not a PDF that can be read"),
        (lambda path: write_pdf(path, ["", ""]), "none of its records can be used"),
    ],
)
def test_a_bad_pdf_is_named_with_its_repair(tmp_path, make, what):
    project = make_project(tmp_path / "p")
    make(project.path / "raw" / "a.pdf")
    (finding,) = add(project, [project.path / "raw" / "a.pdf"])
    assert what in finding.problems[0].what
    assert finding.problems[0].repair


def test_without_its_package_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    monkeypatch.delitem(sys.modules, "endonym.ingest.readers.pdf", raising=False)
    project = make_project(tmp_path / "p")
    (finding,) = add(project, [FIXTURES / "columns.pdf"])
    assert "endonym[documents]" in finding.problems[0].repair


def test_thousands_of_pages_need_no_more_memory_than_a_hundred(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from endonym.ingest.readers import pdf\n"
        "read = lambda name: sum(1 for _ in pdf.read(Path(name), pdf.Config(language='tzh')))\n"
        "read(sys.argv[1]); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(read(sys.argv[2]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    small, large = (
        write_pdf(tmp_path / f"{n}.pdf", [line(f"Ya xtal {k * k} ha'al.", 40, 500) for k in range(n)]) for n in (100, 2500)
    )  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", code, small, large], capture_output=True, text=True, check=True)
    records, grown = map(int, ran.stdout.split())
    assert records == 2500
    assert grown * (1 if sys.platform == "darwin" else 1024) < 24 * 2**20
