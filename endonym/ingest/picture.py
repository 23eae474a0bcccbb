"""Open the pages of scans one by one, and make a page fit to be read: upright, straight, large enough, black on white."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endonym.errors import DataError, Problem
from endonym.ingest.pdfium import opened

if TYPE_CHECKING:
    from PIL.Image import Image

DPI = 300
"""Resolution at which pages of a PDF are drawn."""
MAX_PIXELS = 120_000_000
"""Pixels of one page: A3 at 600 dpi has 70 million. A picture that says more may be made to fill the memory."""


def count(path: Path) -> int:
    """Number of pages. Raises DataError when the file cannot be opened."""
    if is_pdf(path):
        with opened(path) as document:
            return len(document)
    with _opened(path) as image:
        return int(getattr(image, "n_frames", 1))


def pages(path: Path, numbers: range | None = None) -> Iterator[tuple[int, Image]]:
    """Yield (number from 1, page in grey), one page in memory at a time. Raises DataError for a page that is broken."""
    total = count(path)
    for number in numbers or range(1, total + 1):
        if number > total:
            return
        yield number, page(path, number)


def page(path: Path, number: int) -> Image:
    """One page in grey, on white where it is transparent."""
    if is_pdf(path):
        with opened(path) as document:
            return _drawn(path, document, number)
    with _opened(path) as image:
        try:
            image.seek(number - 1)
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path)
            image.load()
        except (EOFError, OSError, SyntaxError, ValueError) as error:
            raise _broken(path, number, str(error)) from error
        return _grey(image)


def is_pdf(path: Path) -> bool:
    """Whether the file starts as a PDF does."""
    with path.open("rb") as file:
        return b"%PDF" in file.read(1024)


def text_pages(path: Path, most: int = 5) -> tuple[int, int]:
    """(pages with a text layer, pages looked at) among up to `most` pages spread over a PDF."""
    with opened(path) as document:
        total = len(document)
        chosen = sorted({round(i * (total - 1) / max(1, most - 1)) for i in range(most)}) if total else []
        with_text = 0
        for index in chosen:
            try:
                text = document[index].get_textpage()
            except RuntimeError:  # the page is damaged; what can be read of it is said when it is read
                continue
            with_text += text.count_chars() >= 20
            text.close()
        return with_text, len(chosen)


def _drawn(path: Path, document: Any, number: int) -> Image:
    try:
        sheet = document[number - 1]
    except RuntimeError as error:
        raise _broken(path, number, str(error)) from error
    try:
        width, height = sheet.get_size()
        # Points are 1/72 inch. A poster is drawn coarser rather than not at all.
        scale = min(DPI / 72, math.sqrt(MAX_PIXELS / max(1.0, width * height)))
        bitmap = sheet.render(scale=scale, grayscale=True)
        return bitmap.to_pil().convert("L")
    except (RuntimeError, ValueError) as error:
        raise _broken(path, number, str(error)) from error
    finally:
        sheet.close()


def _opened(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow only warns at its own bound; ours is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG", "TIFF"))
    except UnidentifiedImageError as error:
        raise DataError(Problem(path.name, 0, "", "this is no PNG, JPEG or TIFF that can be opened",
                                "save the picture again in one of these formats")) from error  # fmt: skip
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _broken(path, 1, str(error)) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise _too_large(path)
    return image


def _too_large(path: Path) -> DataError:
    most = MAX_PIXELS // 1_000_000
    return DataError(
        Problem(path.name, 1, "", f"a page of more than {most} million pixels is too large", "scale it down")
    )


def _broken(path: Path, number: int, why: str) -> DataError:
    return DataError(
        Problem(path.name, number, "", f"the page cannot be read: {why}", "scan the page again, or take it out")
    )


def _grey(image: Image) -> Image:
    from PIL import Image as Pictures
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(image)
    if turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info:
        under = Pictures.new("RGBA", turned.size, "white")
        under.alpha_composite(turned.convert("RGBA"))
        return under.convert("L")
    if turned.mode.startswith("I;16"):
        return turned.point(lambda value: value / 256).convert("L")
    return turned.convert("L")


def skew(image: Image, most: float = 4.0) -> float:
    """Degrees by which to turn a page so that its lines lie level; 0 when nothing is gained.

    Rows of a level page are either dark or light, so the angle is that where neighbouring rows differ most (projection
    profile: Postl 1986). Two passes, of half a degree and of a tenth, on a page of a thousand pixels.
    """
    import numpy as np
    from PIL import Image as Pictures

    small = image.copy()
    small.thumbnail((1000, 1000))
    pixels = np.asarray(small)
    ink = Pictures.fromarray(((pixels < 0.8 * pixels.mean()) * 255).astype(np.uint8))

    def sharpness(angle: float) -> float:
        rows = np.asarray(ink.rotate(angle, resample=Pictures.Resampling.BILINEAR)).sum(axis=1, dtype=np.float64)
        return float(((rows[1:] - rows[:-1]) ** 2).sum())

    coarse = max((step / 2 for step in range(-int(2 * most), int(2 * most) + 1)), key=sharpness)
    best = max((coarse + step / 10 for step in range(-4, 5)), key=sharpness)
    return round(best, 1) if sharpness(best) > 1.1 * sharpness(0.0) else 0.0


def turned(image: Image, angle: float) -> Image:
    """The page turned by degrees around its middle, white coming in at the corners; quarter turns keep all pixels."""
    from PIL import Image as Pictures

    if not angle:
        return image
    if angle % 90 == 0:
        return image.rotate(angle, expand=True)
    return image.rotate(angle, resample=Pictures.Resampling.BICUBIC, fillcolor=255)


def enlarged(image: Image, scale: float) -> Image:
    """The page with more pixels."""
    from PIL import Image as Pictures

    if scale == 1:
        return image
    return image.resize((round(image.width * scale), round(image.height * scale)), Pictures.Resampling.LANCZOS)


def binarised(image: Image, sensitivity: float = 0.2) -> Image:
    """Black and white by a threshold of its own around every pixel: Sauvola and Pietikäinen, Adaptive document image binarization (2000)."""
    import numpy as np
    from PIL import Image as Pictures

    pixels = np.asarray(image, dtype=np.float32)
    half = max(7, image.width // 60)
    side = 2 * half + 1

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.pad(values, half, mode="edge").cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
        sums = np.pad(sums, ((1, 0), (1, 0)))
        return (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2

    around = mean(pixels)
    spread = np.sqrt(np.maximum(mean(pixels * pixels) - around * around, 0))
    dark = pixels <= around * (1 + sensitivity * (spread / 128 - 1))
    return Pictures.fromarray(np.where(dark, 0, 255).astype(np.uint8))
