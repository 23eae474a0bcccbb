"""Write the trained model as files to ship, and publish them only when they answer as the model does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym.data.dataset import Dataset
from endonym.data.rights import closed, learned_from, says
from endonym.errors import ParityError, UsageError
from endonym.export.parity import Tolerance, certify
from endonym.export.source import Source
from endonym.jobs.job import Job
from endonym.jobs.stage import Resolved
from endonym.store.files import file_hash, write_json
from endonym.store.tokens import Needs
from endonym.types import Chat, Message

if TYPE_CHECKING:
    from endonym.project import Project

KIND = "format"
CHOICE = "one"
DEFAULT = "gguf"
INPUTS = {"model": "model", "chats": "chats", "scores": "scores?"}
PRODUCES = "export"


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    parity_rows: int = Field(16, ge=1, description="Held-out rows the export is compared on.")
    parity_tokens: int = Field(24, ge=1, description="Greedy tokens generated per row for the comparison.")
    despite_restrictions: bool = Field(
        False,
        description="Export a model though a source it learned from forbids publication: for use at home, or once its owners agreed.",
    )


def needs(resolved: Resolved, inputs: Mapping[str, Path | list[Path]], project: Project) -> Needs:
    """What this takes of the machine: the model in full precision, what is made of it, and what is read back."""
    from endonym.models.needs import to_answer

    return to_answer(project.base, models=3)


def run(cfg: Config, job: Job) -> None:
    """Export into a temporary folder, certify it in a fresh process, then move it into the job's output."""
    from endonym.models.heads import has_head
    from endonym.models.load import load_artifact

    name, (module, settings) = next(iter(job.plugins.items()))
    chats = Dataset.of(job, "chats")
    materials = learned_from(job.project, Path(str(job.inputs["model"])))
    check_restrictions(materials, cfg.despite_restrictions, job)
    model = Path(str(job.inputs["model"]))
    if has_head(model):
        _head(cfg, job, name, settings, chats, materials)
        return
    rows, split = held_out(chats, cfg.parity_rows)
    source = _source(job, load_artifact(model, dtype="float32"), chats, materials)
    draft = job.folder / "uncertified"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        job.tick(0, 3, "steps")
        shipped = module.export(source, settings, draft)
        job.log(f"written as {name}, {_size(draft) / 1e6:.1f} MB; now reloading it in a fresh process")
        job.tick(1, 3, "steps")
        runtime = getattr(module, "RUNTIME", "transformers")
        tolerance = module.tolerance(settings) if hasattr(module, "tolerance") else Tolerance(1e-3, 1e-3)
        certificate = certify(source.loaded, shipped, runtime, tolerance, rows, cfg.parity_tokens)
        job.tick(2, 3, "steps")
        publish(
            draft,
            job.output,
            {"format": name, "settings": settings.model_dump(mode="json"), "split": split, **certificate},
        )
        job.tick(3, 3, "steps")
    except ParityError as error:
        job.log(error.message)
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    job.summary(format=name, megabytes=round(_size(job.output) / 1e6, 1), **in_short(certificate))


def _head(cfg: Config, job: Job, name: str, settings: Any, chats: Dataset, materials: Sequence[dict[str, Any]]) -> None:
    """The same for a model with a head, which judges and does not write."""
    from endonym.export import headed
    from endonym.models.heads import judge_of, load_headed

    loaded = load_headed(Path(str(job.inputs["model"])))
    live: Any = loaded.model
    headed.refuse(name, live.config.kind)
    rows, split = headed.held_out(chats, live.config.kind, cfg.parity_rows)
    source = headed.source_of(_source(job, loaded, chats, materials))
    draft = job.folder / "uncertified"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        shipped = headed.export(source, settings.type, draft)
        job.log(f"written as {name}, {_size(draft) / 1e6:.1f} MB; now reloading it in a fresh process")
        certificate = headed.certify(judge_of(loaded), shipped, settings.type, rows)
        about = {"format": name, "settings": settings.model_dump(mode="json"), "split": split}
        publish(draft, job.output, {**about, **certificate})
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    job.summary(
        format=name, megabytes=round(_size(job.output) / 1e6, 1), max_logit_gap=certificate["max_logit_gap"],
        same_verdicts=f"{certificate['verdicts']['identical']}/{certificate['num_rows']}",
    )  # fmt: skip


def check_restrictions(materials: Sequence[dict[str, Any]], despite: bool, job: Job) -> None:
    """Raise UsageError when the owners of a material that the model learned from forbid to pass it on; warn of other restrictions."""
    forbidden = closed(materials)
    if forbidden and not despite:
        told = "; ".join(f"{files} is '{name}' ({says(name)})" for name, files in forbidden.items())
        files = next(iter(forbidden.values())).split(", ")[0]
        raise UsageError(
            f"this model learned from material that may not be published: {told}",
            "For use at home, or when its owners agreed: add --despite-restrictions. Else take it out and train again: "
            f"endonym sources remove {files}",
        )
    named = sorted({name for material in materials for name in material.get("restrictions", ())})
    if named:
        asked = "; ".join(f"{name}: {says(name)}" for name in named)
        job.event("warning", text=f"who gets this model must know its restrictions, which are in its card: {asked}")


def held_out(chats: Dataset, num_rows: int) -> tuple[list[Chat], str]:
    """Evenly spread rows with a prompt and an answer from `valid`, from `train` when `valid` has none; of plain texts alone, these cut in two.

    Also the split's name.
    """
    splits = [split for split in ("valid", "train") if split in chats.splits]
    for made in (lambda chat: chat, _in_two):
        for split in splits:
            rows = [made(r) for r in chats.records(split) if isinstance(r, Chat) and r.answer]
            rows = [r for r in rows if r.prompt and r.answer]
            if rows:
                step = max(1, len(rows) // num_rows)
                return rows[::step][:num_rows], split
    raise ParityError("there is no chat row to compare the export on", "Make some with: endonym compose")


def _in_two(chat: Chat) -> Chat:
    """A plain text as a question and its answer: cut at a space before its middle, or in its middle."""
    text, middle = chat.answer, len(chat.answer) // 2
    cut = max(0, text.rfind(" ", 0, middle)) or middle
    parts = [Message(*part) for part in (("user", text[:cut].strip()), ("assistant", text[cut:].strip())) if part[1]]
    return replace(chat, messages=tuple(parts))


def publish(draft: Path, output: Path, certificate: dict[str, Any]) -> None:
    """Add `parity.json` with the hash of every file, then move everything into `output`."""
    files = {p.name: file_hash(p) for p in sorted(draft.iterdir()) if p.is_file()}
    write_json(draft / "parity.json", {"result": "certified", **certificate, "files": files})
    for path in sorted(draft.iterdir()):
        target = output / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.rename(target)


def in_short(certificate: dict[str, Any]) -> dict[str, Any]:
    """The certificate's headline numbers."""
    greedy, text = certificate["greedy"], certificate["text"]
    return {
        "same_text": f"{text['identical']}/{certificate['num_rows']}",
        "greedy_agreement": round(greedy["agree"] / max(1, greedy["positions"]), 4),
        "near_ties": len(greedy["near_ties"]),
        "bits_per_byte_difference": round(certificate["bits_per_byte"]["difference"], 5),
    }


def _source(job: Job, loaded: Any, chats: Dataset, materials: Sequence[dict[str, Any]]) -> Source:
    about = job.project.about
    return Source(
        loaded=loaded,
        folder=Path(str(job.inputs["model"])),
        name=job.project.name,
        language=job.project.language,
        pivot=job.project.pivot,
        licence=str(about.get("licence", "")),
        data_licences=_licences(chats, materials or job.project.sources),
        materials=tuple(materials),
        scores=_scores(job),
    )


def _licences(chats: Dataset, sources: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    named = [*chats.manifest.get("licences", {}), *(str(s["licence"]) for s in sources if s.get("licence"))]
    credits = [str(s["attribution"]) for s in sources if s.get("attribution")]
    return tuple(dict.fromkeys([*named, *credits]))


def _scores(job: Job) -> dict[str, Any]:
    """The newest scores, when it is this very model they are about."""
    folder = job.inputs.get("scores")
    if not isinstance(folder, Path) or not (folder / "scores.json").is_file():
        return {}
    if job.project.ancestry(folder).get("model") != job.inputs["model"]:
        return {}
    return dict(json.loads((folder / "scores.json").read_text(encoding="utf-8")))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
