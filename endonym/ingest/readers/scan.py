"""Read scanned pages (PDF without text, PNG, JPEG, TIFF) with Tesseract; what it is not sure of waits for review."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import DataError, Problem
from endonym.ingest.forms import form
from endonym.ingest.ids import Ids
from endonym.ingest.names import split_name
from endonym.types import Doc, Drop, Record

if TYPE_CHECKING:
    from endonym.ingest.finding import Said
    from endonym.ingest.language import Known
    from endonym.ingest.ocr import Paragraph, Reading
    from endonym.ingest.sample import Sample

REQUIRES = {"tesserocr": "ocr", "PIL": "ocr", "pypdfium2": "ocr"}
EXTENSIONS = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
GLANCE = 2
"""Pages of a file that `endonym add` looks at."""
PICTURES = ("PNG", "JPEG", "TIFF")


class Config(BaseModel):
    """Settings of reading scans."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("", description="Language of the pages; the project's when empty.")
    pivot: str = Field("", description="Pivot language: its data are tried on every page too.")
    models: list[str] = Field(
        [], description="Tesseract language data to try, such as amh; those of the two languages when empty."
    )
    page_floor: float = Field(
        75.0, ge=0, le=100, description="Mean confidence of a page below which all of it waits for review."
    )
    floor: float = Field(
        65.0, ge=0, le=100, description="Mean confidence of a paragraph below which it waits for review."
    )
    first: int = Field(1, ge=1, description="First page to read.")
    last: int = Field(0, ge=0, description="Last page to read; 0 is the last there is.")
    typed: bool = Field(
        True, description="Take the text typed from a page (NAME.gt.txt, ALTO or PAGE XML) where there is one."
    )
    document: str = Field("", description="Name of the document; the file's name when empty.")


def sniff(sample: Sample) -> float:
    """High for pictures, and for a PDF most of whose pages have no text."""
    if sample.form in PICTURES:
        return 0.9
    if sample.form == "PDF":
        from endonym.ingest.picture import text_pages

        with_text, seen = text_pages(sample.path)
        return 0.95 if with_text < seen / 2 else 0.05
    return 0.0


def beside(path: Path) -> list[Path]:
    """Files with what a person typed from a page: they are read with it."""
    from endonym.ingest import truth

    return truth.beside(path)


def languages(sample: Sample, values: dict[str, Any], known: Known) -> list[Said]:
    """The language of a scan: what its name says, else what is recognised on its first page."""
    from endonym.ingest.finding import Said
    from endonym.ingest.language import identify

    _, code = split_name(sample.path, known.language, known.pivot)
    if code:
        values["language"] = code
        return [Said(sample.path.name, code, "the file's name says so")]
    cfg = Config(language=values.get("language") or known.language, pivot=known.pivot)
    reading = next((one for _, one in _readings(sample.path, cfg, 1) if one.lines), None)
    said = identify([line.text for line in reading.lines], known) if reading else None
    values.setdefault("language", said.code if said and said.code else known.language)
    return [Said(sample.path.name, values["language"], said.how if said and said.code else "taken from the project")]


def read(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """Yield a `Doc` for every paragraph; below a floor it goes to the ledger as `ocr.review`, where review finds it."""
    yield from _read(path, cfg, 0)


def glance(path: Path, cfg: Config) -> Iterator[Record | Drop]:
    """The first pages only: what `endonym add` shows."""
    yield from _read(path, cfg, GLANCE)


def measured(path: Path, cfg: Config) -> str:
    """Error rates of what is recognised against what a person typed, `""` where nobody did."""
    from endonym.ingest import truth

    if _is_truth(path):
        return ""
    text, table = truth.typed(path), truth.typed_list(path)
    reading = next((one for _, one in _readings(path, cfg, 1)), None) if text or table else None
    if reading is None:
        return ""
    if text:
        rates = truth.page_errors([line for _, line in truth.lines(text)], reading.text)
        return f"{path.name}: {rates} against {text.name}, confidence {reading.confidence:.0f} %"
    assert table
    exact, rates = truth.list_errors(table, [line.text for line in reading.lines])
    return (
        f"{path.name}: {exact} of {rates.words} typed entries without error, character error rate {rates.cer:.1%} "
        f"against {table.name}, confidence {reading.confidence:.0f} %"
    )


def _read(path: Path, cfg: Config, most: int) -> Iterator[Record | Drop]:
    from endonym.ingest import truth
    from endonym.store.files import file_hash

    if _is_truth(path):
        return
    ids, name = Ids(), cfg.document or path.stem
    digest, order = file_hash(path)[:16], _order(path)
    text = truth.typed(path) if cfg.typed else None
    for number, reading in _readings(path, cfg, most):
        floor = cfg.page_floor > reading.confidence
        if not reading.paragraphs:
            blank = Doc(
                ids("scan", name, str(number)),
                "",
                cfg.language,
                f"{path.name}:{number}",
                {"page": number, "hash": digest},
            )
            yield Drop(blank, "ocr.blank", "no text was found on this page")
        for part, paragraph in enumerate(reading.paragraphs, 1):
            words = joined([line.text for line in paragraph.lines])
            meta = {
                "document": name,
                "part": order + number * 1000 + part,
                "hash": digest,
                **_about(number, reading, paragraph),
            }
            doc = Doc(ids("scan", cfg.language, name, words), words, cfg.language, f"{path.name}:{number}", meta)
            if text:
                yield Drop(doc, "scan.typed", f"what a person typed ({text.name}) is taken instead")
            elif floor:
                detail = f"confidence of the page {reading.confidence:.0f} %, wanted {cfg.page_floor:.0f} %"
                yield Drop(doc, "ocr.review", detail)
            elif paragraph.confidence < cfg.floor:
                yield Drop(doc, "ocr.review", f"confidence {paragraph.confidence:.0f} %, wanted {cfg.floor:.0f} %")
            else:
                yield doc
    yield from _typed(path, cfg, ids, name, order, text)


def _typed(path: Path, cfg: Config, ids: Ids, name: str, order: int, text: Path | None) -> Iterator[Record | Drop]:
    """The typed text, a `Doc` a paragraph (blank lines part them); other files of ground truth go to the ledger."""
    from endonym.ingest import truth

    for file in truth.beside(path):
        block: list[tuple[int, str]] = []
        part = 0
        for line, words in [*truth.lines(file), (0, "")]:
            if words and file == text:
                block.append((line, words))
            elif words:
                doc = Doc(ids("typed", file.name, words), words, cfg.language, f"{file.name}:{line}")
                yield Drop(
                    doc,
                    "scan.truth",
                    "it was typed to measure recognition" if text is None else f"{text.name} is taken",
                )
            elif block:
                part += 1
                said, about = joined([one for _, one in block]), {"document": name, "part": order + 1000 + part}
                yield Doc(
                    ids("typed", file.name, said),
                    said,
                    cfg.language,
                    f"{file.name}:{block[0][0]}",
                    {**about, "typed": True},
                )
                block = []


def _about(number: int, reading: Reading, paragraph: Paragraph) -> dict[str, Any]:
    """Where a paragraph stands and how sure it is: enough to cut it out of the page again."""
    return {
        "page": number,
        "box": list(paragraph.box),
        "angle": reading.angle,
        "confidence": round(paragraph.confidence / 100, 3),
        "model": reading.model,
        "lines": [{"text": line.text, "confidences": list(line.confidences)} for line in paragraph.lines],
    }


def joined(lines: list[str]) -> str:
    """Lines as running text. A word parted by a hyphen is put together where the next line goes on in small letters."""
    text = ""
    for line in lines:
        if re.search(r"\w[-\u00ac\u00ad]$", text) and line[:1].islower():
            text = text[:-1] + line
        else:
            text = f"{text} {line}" if text else line
    return text


def _readings(path: Path, cfg: Config, most: int) -> Iterator[tuple[int, Reading]]:
    """(page number, what stands on it); at most `most` pages, 0 for all."""
    import tesserocr

    from endonym.ingest import picture
    from endonym.ingest.ocr import VERSION, Reading, read_page
    from endonym.ingest.recognised import once
    from endonym.ingest.tesseract import candidates
    from endonym.store.files import file_hash

    models = cfg.models or candidates([code for code in (cfg.language, cfg.pivot) if code])
    total = picture.count(path)
    if cfg.first > total:
        raise DataError(
            Problem(path.name, 0, "first", f"there is no page {cfg.first}: it has {total:,}", "set `first` lower")
        )
    last = min(cfg.last or total, cfg.first + most - 1 if most else total, total)
    digest = file_hash(path)
    for number in range(cfg.first, last + 1):

        def recognise(number: int = number) -> dict[str, Any]:
            return read_page(picture.page(path, number), models).as_json()

        key = (digest, str(number), str(VERSION), tesserocr.tesseract_version(), *models)
        yield number, Reading.from_json(once(recognise, *key))


def _is_truth(path: Path) -> bool:
    return form(path) not in (*PICTURES, "PDF")


def _order(path: Path) -> int:
    """Where a page stands among others of its document, by the number its name ends with (`page_012`, `012R`)."""
    found = re.search(r"(\d+)([A-Za-z]?)$", path.stem)
    if not found:
        return 0
    return int(found[1][-6:]) * 10_000_000 + (ord(found[2].lower()) - 96 if found[2] else 0) * 100_000
