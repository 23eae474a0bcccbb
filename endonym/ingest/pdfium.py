"""Open a PDF for a moment; one that is locked or broken is named with its repair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from endonym.errors import DataError, MissingError, Problem


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a PDF. Raises DataError when it needs a password or is broken, MissingError without pypdfium2."""
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        raise MissingError(
            "reading PDF needs the Python module 'pypdfium2'", "Run: pip install 'endonym[documents]'"
        ) from error
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DataError(Problem(path.name, 0, "", "the PDF is protected by a password",
                                    "open it, and print or save it to a PDF without one")) from error  # fmt: skip
        raise DataError(Problem(path.name, 0, "", f"not a PDF that can be read: {error}",
                                "copy the file again, or open it in a viewer and print it to a new PDF")) from error  # fmt: skip
    try:
        if not len(document):
            raise DataError(
                Problem(path.name, 0, "", "the PDF has no pages", "save it again from the program that made it")
            )
        yield document
    finally:
        document.close()
