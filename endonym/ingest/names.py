"""What a file's name says: `udhr.tzh.txt` is the document `udhr` in Tseltal, and `udhr.spa.txt` is the same one in Spanish."""

from __future__ import annotations

import re
from pathlib import Path

from endonym.data import languages
from endonym.ingest.packing import bare_name


def split_name(path: Path, language: str = "", pivot: str = "") -> tuple[str, str]:
    """Return (name without language, language code); the code is `""` when the name holds none.

    A code stands before the extension after a dot, hyphen or underscore. `language` and `pivot` are accepted as written
    also when the table of languages lacks them; two-letter codes only after a dot (`notes-de` may be a word), or where they are
    of these two and the same name stands beside it with the other (`film-en`, `film-fr`). A folder named after one of the two says the language of the files in it: `spa/kap1.txt` beside `tzh/kap1.txt`.
    """
    folder = path.parent.name.lower()
    stem = bare_name(path).stem
    match = re.fullmatch(r"(.+?)([._-])([A-Za-z]{2,3})", stem)
    if match is None:
        return stem, folder if folder and folder in (language, pivot) else ""
    name, mark, code = match.groups()
    if code.lower() in (language, pivot):
        return name, code.lower()
    if languages.known(code) and (mark == "." or len(code) == 3):
        return name, languages.language(code).code
    own = languages.language(code).code
    if own in (language, pivot) and _beside(path, len(code), pivot if own == language else language):
        return name, own
    return stem, folder if folder and folder in (language, pivot) else ""


def _beside(path: Path, length: int, other: str) -> bool:
    """Whether a file whose name ends in a code of this length stands beside the same name with another language's."""
    name, rest = bare_name(path).stem[:-length], path.name[len(bare_name(path).stem) :]
    codes = [other, *(alias for alias in languages.aliases() if languages.language(alias).code == other)]
    return bool(other) and any(path.with_name(f"{name}{code}{rest}").is_file() for code in codes)


def home(path: Path, language: str, pivot: str) -> Path:
    """The folder that a file and its translations share: above the one that is named after a language."""
    return path.parent.parent if path.parent.name.lower() in (language, pivot) else path.parent


def split_ending(path: Path, language: str = "", pivot: str = "") -> tuple[str, str]:
    """The same for names that end in a language, as `corpus.de` or `corpus.de.gz`: (`corpus`, `deu`)."""
    bare = bare_name(path)
    code = bare.suffix[1:]
    if code.lower() in (language, pivot):
        return bare.stem, code.lower()
    return (bare.stem, languages.language(code).code) if re.fullmatch(r"[A-Za-z]{2,3}", code) else (bare.name, "")
