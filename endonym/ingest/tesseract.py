"""Find Tesseract's language data on this computer, and the data that suit a project's languages."""

from __future__ import annotations

import os
import sys
import tomllib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from endonym.data.languages import language, name
from endonym.errors import MissingError

PLACES = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
    "/opt/local/share/tessdata",
    "C:/Program Files/Tesseract-OCR/tessdata",
)
SUFFIX = ".traineddata"


def folder() -> Path | None:
    """The folder of language data: `$TESSDATA_PREFIX` or where packages put it; None when there is none."""
    given = os.environ.get("TESSDATA_PREFIX")
    places = [Path(given), Path(given) / "tessdata"] if given else [Path(place) for place in PLACES]
    return next((place for place in places if any(place.glob(f"*{SUFFIX}"))), None)


def ready() -> bool:
    """Whether a page can be recognised here: the Python module is there, and language data."""
    return find_spec("tesserocr") is not None and folder() is not None


def installed() -> set[str]:
    """Names of the language data there are; those of scripts may lie in a folder `script`."""
    here = folder()
    if here is None:
        return set()
    return {path.relative_to(here).as_posix().removesuffix(SUFFIX) for path in here.rglob(f"*{SUFFIX}")}


def candidates(codes: list[str]) -> list[str]:
    """Language data that may read these languages, the likeliest first; raises MissingError when the first has none.

    Data of another language are never taken for a language that has its own and merely lacks them here: `eng` reads an
    Amharic page without complaint.
    """
    here, found = installed(), []
    for code in codes:
        own = [model for model in models_of(code) if model in here]
        found += own + [model for model in map(_script_here, language(code).scripts) if model]
    found = [model for model in dict.fromkeys(found) if model]
    first = codes[0]
    if models_of(first) and not any(model in here for model in models_of(first)):
        lacks = True
    else:
        # A language that Tesseract does not know is read with the data of its script, else those of the pivot.
        lacks = not found
    if lacks:
        raise MissingError(
            f"Tesseract has no language data for {name(first)} here", f"Install them: {command([first])}"
        )
    return found


def models_of(code: str) -> list[str]:
    """Names of Tesseract's data for a language, installed or not; empty when it has none."""
    table = _table()
    key = language(code).code
    named = table["of"].get(code) or table["of"].get(key)
    return named or ([key] if key in table["models"] else [])


def script_model(script: str) -> str:
    """Name of the data for all languages of a script, `""` when there are none."""
    return str(_table()["scripts"].get(script, {}).get("model", ""))


def packages(codes: list[str]) -> list[str]:
    """Debian packages with the data for languages: their own, else those of their script."""
    wanted = []
    for code in codes:
        own = models_of(code)[:1]
        scripts = [_table()["scripts"][s]["package"] for s in language(code).scripts[:1] if s in _table()["scripts"]]
        wanted += [f"tesseract-ocr-{part.replace('_', '-')}" for part in own or scripts or ["script-latn"]]
    return list(dict.fromkeys(wanted))


def command(codes: list[str]) -> str:
    """The command that installs the data for languages on this system."""
    if sys.platform == "darwin":
        return "brew install tesseract-lang"
    if sys.platform == "win32":
        return "install Tesseract with its additional language data, and set TESSDATA_PREFIX to its tessdata folder"
    return f"sudo apt-get install {' '.join(packages(codes))}"


def missing(codes: list[str]) -> list[str]:
    """Those of the languages that could not be read here."""
    lacking = []
    for code in codes:
        try:
            candidates([code])
        except MissingError:
            lacking.append(code)
    return lacking


def _script_here(script: str) -> str:
    model, here = script_model(script), installed()
    return next((found for found in (model, f"script/{model}") if model and found in here), "")


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    data = tomllib.loads(Path(__file__).with_name("tesseract.toml").read_text(encoding="utf-8"))
    return {**data, "models": data["models"].split()}
