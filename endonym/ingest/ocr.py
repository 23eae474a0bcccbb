"""Recognise the text of a page with Tesseract: which language data read it best, what the words are, and how sure each is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from endonym.errors import MissingError
from endonym.ingest import picture, tesseract

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 4
"""Raised when the same picture would come out differently."""
LINE_PIXELS = 36
"""Height of a line from which nothing is gained by enlarging."""
DOUBTFUL = 85.0
"""Mean confidence below which other ways to prepare the page are tried."""
CHANCE = 40.0
"""Confidence of words that are none."""
SMALL = 30_000_000
"""Pixels up to which a page is binarised here."""
SAMPLE = 0.25
"""Share of the page's height on which language data are compared."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the page as it lies in the file (of a turned page: as it was turned)."""


@dataclass(frozen=True)
class Line:
    """One line of text."""

    text: str
    box: Box
    confidences: tuple[int, ...]
    """0 to 100 for each word of `text`."""


@dataclass(frozen=True)
class Paragraph:
    """Lines that belong together, in reading order."""

    lines: tuple[Line, ...]

    @property
    def box(self) -> Box:
        boxes = [line.box for line in self.lines]
        return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)

    @property
    def confidence(self) -> float:
        return confidence(self.lines)


@dataclass(frozen=True)
class Reading:
    """What was recognised on one page and how."""

    model: str
    paragraphs: tuple[Paragraph, ...]
    size: tuple[int, int]
    angle: float = 0.0
    """Degrees by which the page was turned."""
    prepared: str = "as it is"
    tried: dict[str, float] = field(default_factory=dict)
    """Mean confidence by language data, and evidence by way of reading."""

    @property
    def lines(self) -> list[Line]:
        return [line for paragraph in self.paragraphs for line in paragraph.lines]

    @property
    def text(self) -> str:
        return "\n\n".join("\n".join(line.text for line in paragraph.lines) for paragraph in self.paragraphs)

    @property
    def confidence(self) -> float:
        return confidence(self.lines)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Reading:
        """The inverse of `as_json`, also of what JSON made lists of."""
        paragraphs = tuple(
            Paragraph(tuple(Line(x["text"], tuple(x["box"]), tuple(x["confidences"])) for x in one["lines"]))
            for one in data["paragraphs"]
        )
        return cls(**{**data, "paragraphs": paragraphs, "size": tuple(data["size"])})


def confidence(lines: Sequence[Line]) -> float:
    """Mean over words, each counted by its characters; 0 without words."""
    weighed = [
        (len(word), sure) for line in lines for word, sure in zip(line.text.split(" "), line.confidences, strict=True)
    ]
    total = sum(length for length, _ in weighed)
    return sum(length * sure for length, sure in weighed) / total if total else 0.0


def read_page(image: Image, models: Sequence[str]) -> Reading:
    """Recognise a page in grey with the language data of `models` that are surest of it.

    The page is read as it is, and in other ways where that promises something: the reading with the most evidence is taken.
    What each way brought on real pages stands in docs/log.md.
    """
    angle = picture.skew(image)
    straight = picture.turned(image, angle)
    model, tried = choose_model(straight, models)
    first = _read(straight, model)
    tried["as it is"] = round(evidence(first.lines))
    best = replace(first, size=image.size, angle=angle, prepared="straightened" if angle else "as it is", tried=tried)
    most = evidence(first.lines)
    for way in _other_ways(straight, first):
        other = _read(way.image, model, way.scale, way.mode)
        found = evidence(other.lines)
        tried[way.name] = round(found)
        if found * way.trust > most:
            most = found * way.trust
            best = replace(other, size=image.size, angle=angle + way.turn, prepared=way.name, tried=tried)
    return best


def evidence(lines: Sequence[Line]) -> float:
    """How much text was surely read: a character counts by how far its word's confidence is above `CHANCE`, or against it.

    A mean would prefer the reading that leaves out what is hard.
    """
    return sum(
        len(word) * (sure - CHANCE) / (100 - CHANCE)
        for line in lines
        for word, sure in zip(line.text.split(" "), line.confidences, strict=True)
    )


def choose_model(image: Image, models: Sequence[str]) -> tuple[str, dict[str, float]]:
    """The language data surest of a piece of the page, and the confidence of each; the first of equals."""
    if len(models) == 1:
        return models[0], {}
    piece = _piece(image)
    found = {model: _read(piece, model) for model in models}
    sure = {model: round(reading.confidence, 1) for model, reading in found.items()}
    return max(models, key=lambda model: sure[model]), sure


@dataclass(frozen=True)
class _Way:
    """A way to prepare and read a page; `trust` below 1 is for ways that are taken only where they show clearly more."""

    name: str
    image: Image
    trust: float
    scale: float = 1.0
    mode: str = "AUTO"
    turn: float = 0.0


def _other_ways(image: Image, first: Reading) -> Iterator[_Way]:
    heights = sorted(line.box[3] - line.box[1] for line in first.lines)
    middle = heights[len(heights) // 2] if heights else LINE_PIXELS
    small = image.width * image.height < SMALL
    doubtful = first.confidence < DOUBTFUL
    if middle < LINE_PIXELS and small:
        # Of a page of few pixels that is read well, more pixels are believed where nothing speaks against them.
        yield _Way("enlarged", picture.enlarged(image, 2.0), 1.0 if doubtful else 1.02, 2.0)
        if doubtful:
            yield _Way("enlarged by half", picture.enlarged(image, 1.5), 1.0, 1.5)
    if not doubtful:
        return
    # Layout analysis takes lines of leaders, numerals and single words for pictures or noise. Columns, though, it alone sees.
    yield _Way("as one block", image, 0.9, mode="SINGLE_BLOCK")
    if small and image.getcolors(2) is None:
        yield _Way("binarised", picture.binarised(image), 1.0)
    turn = _quarter_turn(image)
    if turn:
        yield _Way(f"turned by {turn:.0f} degrees", picture.turned(image, turn), 0.9, turn=turn)


def _piece(image: Image) -> Image:
    """The band of the page with the most ink, wide as the page."""
    import numpy as np

    pixels = np.asarray(image)
    height = max(min(image.height, 200), round(image.height * SAMPLE))
    ink = (pixels < 0.8 * pixels.mean()).sum(axis=1, dtype=np.int64)
    # A dark margin is no text: rows that are nearly all ink count nothing.
    ink[ink > 0.6 * image.width] = 0
    sums = np.concatenate(([0], ink.cumsum()))
    start = int((sums[height:] - sums[:-height]).argmax()) if image.height > height else 0
    return image.crop((0, start, image.width, start + height))


def _read(image: Image, model: str, scale: float = 1.0, mode: str = "AUTO") -> Reading:
    with _engine(model, mode) as engine:
        engine.SetImage(image)
        if not engine.Recognize():
            return Reading(model, (), image.size)
        return Reading(model, tuple(_paragraphs(engine, scale)), image.size)


def _paragraphs(engine: Any, scale: float) -> Iterator[Paragraph]:
    from tesserocr import RIL, iterate_level

    lines: list[Line] = []
    words: list[tuple[str, int, Box]] = []
    for word in iterate_level(engine.GetIterator(), RIL.WORD):
        if words and word.IsAtBeginningOf(RIL.TEXTLINE):
            lines.append(_line(words, scale))
            words = []
        if lines and not words and (word.IsAtBeginningOf(RIL.PARA) or word.IsAtBeginningOf(RIL.BLOCK)):
            yield Paragraph(tuple(lines))
            lines = []
        try:
            text = "".join((word.GetUTF8Text(RIL.WORD) or "").split())
        except RuntimeError:
            # What an iterator says that has no word to show, as on an empty page.
            continue
        box = word.BoundingBox(RIL.WORD)
        if text and box:
            words.append((text, round(word.Confidence(RIL.WORD)), box))
    if words:
        lines.append(_line(words, scale))
    if lines:
        yield Paragraph(tuple(lines))


def _line(words: Sequence[tuple[str, int, Box]], scale: float) -> Line:
    boxes = [box for _, _, box in words]
    edges = min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
    left, top, right, bottom = (round(edge / scale) for edge in edges)
    return Line(" ".join(text for text, _, _ in words), (left, top, right, bottom), tuple(sure for _, sure, _ in words))


def _quarter_turn(image: Image) -> float:
    """Degrees, a multiple of 90, by which a page lies turned; 0 when it is upright or nothing tells."""
    if "osd" not in tesseract.installed():
        return 0.0
    small = image.copy()
    small.thumbnail((2000, 2000))
    with _engine("osd", "OSD_ONLY") as engine:
        engine.SetImage(small)
        found = engine.DetectOrientationScript()
    return float(found["orient_deg"]) if found and found["orient_conf"] > 1 else 0.0


def _engine(model: str, mode: str) -> Any:
    tesserocr = _library()
    here = tesseract.folder()
    if here is None:
        raise MissingError(
            "Tesseract has no language data here", "Install them: sudo apt-get install tesseract-ocr-eng"
        )
    return tesserocr.PyTessBaseAPI(path=f"{here}{os.sep}", lang=model, psm=getattr(tesserocr.PSM, mode))


def _library() -> Any:
    """The library, held to one thread: its four per page only wait for each other and for whatever else computes here.

    OpenMP reads that from the environment when it is loaded; other libraries have their own copy and are to keep theirs.
    """
    import sys

    if "tesserocr" in sys.modules:
        return sys.modules["tesserocr"]
    before = os.environ.get("OMP_THREAD_LIMIT")
    os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        import tesserocr
    except ModuleNotFoundError as error:
        raise MissingError(
            "reading scans needs the Python module 'tesserocr'", "Install it with: pip install 'endonym[ocr]'"
        ) from error
    finally:
        if before is None:
            del os.environ["OMP_THREAD_LIMIT"]
        else:
            os.environ["OMP_THREAD_LIMIT"] = before
    return tesserocr
