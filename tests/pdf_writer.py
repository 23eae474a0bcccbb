"""Writes small PDF files for the tests: lines of any script at given places, pictures, and as many pages as are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT = 420.0, 595.0
CMAP = (
    "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /U def /CMapType 2 def\n"
    "1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
    "1 beginbfrange <0000> <FFFF> <0000> endbfrange endcmap end end"
)
"""PDF 1.7 (ISO 32000-1), 9.10.3: each code stands for the character of the same number."""


def line(text: str, x: float, y: float, size: float = 10.0) -> str:
    """The operators that show a text; every character is half as wide as it is high."""
    return f"BT /F {size} Tf 1 0 0 1 {x} {y} Tm <{text.encode('utf-16-be').hex()}> Tj ET\n"


def picture() -> str:
    """The operators that show a grey picture over the whole page."""
    return f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /I Do Q\n"


def write_pdf(path: Path, pages: Sequence[str], unicode: bool = True) -> Path:
    """Write a file of one content stream a page; `unicode` is whether its font tells which characters its codes are."""
    kids = " ".join(f"{8 + 2 * n} 0 R" for n in range(len(pages)))
    tells = "/ToUnicode 6 0 R" if unicode else ""
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(pages)}/MediaBox[0 0 {WIDTH} {HEIGHT}]/Kids[{kids}]>>",
        f"<</Type/Font/Subtype/Type0/BaseFont/Test/Encoding/Identity-H/DescendantFonts[4 0 R]{tells}>>",
        "<</Type/Font/Subtype/CIDFontType2/BaseFont/Test/DW 500/FontDescriptor 5 0 R"
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>",
        "<</Type/FontDescriptor/FontName/Test/Flags 4/FontBBox[0 -200 500 800]/Ascent 800/Descent -200/ItalicAngle 0"
        "/CapHeight 700/StemV 80>>",
        stream(CMAP),
        stream("\x80", "/Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray"),
    ]
    for number, content in enumerate(pages):
        objects.append(
            f"<</Type/Page/Parent 2 0 R/Contents {9 + 2 * number} 0 R/Resources<</Font<</F 3 0 R>>/XObject<</I 7 0 R>>>>>>"
        )
        objects.append(stream(content))
    with path.open("wb") as file:
        file.write(b"%PDF-1.7\n")
        places = []
        for number, body in enumerate(objects, 1):
            places.append(file.tell())
            file.write(
                f"{number} 0 obj\n".encode() + (body if isinstance(body, bytes) else body.encode()) + b"\nendobj\n"
            )
        start = file.tell()
        table = "".join(f"{place:010d} 00000 n \n" for place in places)
        file.write(f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}".encode())
        file.write(f"trailer\n<</Size {len(places) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n".encode())
    return path


def stream(content: str, entries: str = "") -> bytes:
    """A stream object, packed."""
    packed = zlib.compress(content.encode("latin-1"))
    return f"<</Length {len(packed)}/Filter/FlateDecode{entries}>>stream\n".encode() + packed + b"\nendstream"
