"""Steps 0 to 3: measure the base, refine the material, prepare the model, and settle how it is trained."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from endonym.data import experience
from endonym.data.dataset import Dataset
from endonym.errors import JobError, MissingError
from endonym.jobs.plan import inputs_from, read_plan
from endonym.jobs.submit import resolve_job
from endonym.models import weights
from endonym.store.files import hash_folder
from endonym.teach import apart
from endonym.teach.lesson import Lesson, means
from endonym.teach.mapping import composing
from endonym.teach.told import Part, Told

REFINING = ("ingest", "clean", "align", "split", "augment", "compose")

Done = tuple[Told, dict[str, Any]]
"""The sentence of a step and its evidence."""


def capture(lesson: Lesson) -> Done:
    """Step 0: ask the base the general questions and the user's."""
    lesson.child(0, "before", "grade", settings=lesson.grading("base", ["general", "own"]))
    found = grades_of(lesson, "before")
    total = found["summary"]["total"]["value"]
    evidence = {
        "questions_hash": found["questions_hash"], "model_hash": found["model_hash"], "seed": lesson.cfg.seed,
        **means(found["summary"]),
    }  # fmt: skip
    marked = "asked_unmarked" if total is None else ("asked_total", {"total": round(total, 1)})
    return Told.of(("asked", {"n": found["summary"]["questions"]}), marked), evidence


def grades_of(lesson: Lesson, name: str) -> dict[str, Any]:
    """What a grading wrote."""
    found: dict[str, Any] = json.loads((lesson.output(name) / "grades.json").read_text(encoding="utf-8"))
    return found


def refine(lesson: Lesson) -> Done:
    """Step 1: run the plan's steps up to the chats, and say what was kept."""
    kinds: dict[str, int] = {}
    for verb, plugin in read_plan(lesson.project)[0]:
        if verb in REFINING:
            settings = composing(lesson.cfg) if verb == "compose" else {}
            resolved = resolve_job(lesson.project, verb, plugin, settings, None)
            row = lesson.child(1, verb, verb, plugin, settings, inputs_from(resolved.inputs, kinds))
            kinds[resolved.produces] = row.id
    if "compose" not in lesson.made:
        raise MissingError(
            "the plan has no step 'compose', so there is nothing to learn", "Add it to steps in endonym.toml."
        )
    chats, split = (Dataset(lesson.output(name), "teach").manifest for name in ("compose", "split"))
    raw = Dataset(lesson.output("ingest"), "teach")
    refined = Dataset(lesson.output("clean"), "teach") if "clean" in lesson.made else raw
    earned = experience.of_records(refined.records())
    lesson.list.kept["experience"] = earned.as_json()
    counts = {name: part["records"] for name, part in chats["files"].items()}
    characters = {
        key: sum(block[key] for block in refined.manifest["characters"].values())
        for key in ("in", "kept", "dropped", "changed")
    }
    evidence = {
        "read": raw.manifest["files"]["records"]["records"], "kept": earned.items, "quality": earned.quality,
        "dropped": refined.manifest["dropped"] if refined is not raw else {}, "characters": characters, "repairs": repairs(lesson),
        "splits": {name: part["records"] for name, part in split["files"].items()},
        "chats": counts, "chats_hash": chats["hash"],
    }  # fmt: skip
    quality = "" if earned.quality is None else ("refined_quality", {"quality": round(earned.quality)})
    kept = ("refined", {"read": evidence["read"], "kept": earned.items})
    return Told.of(kept, quality, ("refined_chats", {"train": counts.get("train", 0)})), evidence


def repairs(lesson: Lesson) -> dict[str, Any]:
    """How many texts each filter repaired or offers to, and some of them as they stood and as they are."""
    if "clean" not in lesson.made:
        return {}
    facts = json.loads((lesson.output("clean") / "filters.json").read_text(encoding="utf-8"))
    found = {name: fact for name, fact in facts.items() if "texts" in fact and "applied" in fact}
    file, samples = lesson.output("clean") / "repairs.jsonl", []
    if file.is_file():
        with file.open(encoding="utf-8") as lines:
            samples = [json.loads(line) for line in islice(lines, 3)]
    return {
        "applied": {name: fact["texts"] for name, fact in found.items() if fact["applied"]},
        "offered": {name: fact["texts"] for name, fact in found.items() if not fact["applied"]},
        "samples": [{key: one[key] for key in ("before", "after", "applied", "origin")} for one in samples],
    }


def prepare(lesson: Lesson) -> Done:
    """Step 2: check the base's files, measure its tokenizer, and ask it in the languages it will learn."""
    base, base_hash = checked_base(lesson)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    # Chats alone have no text that the report can measure.
    split = {"dataset": lesson.made["split"]}
    row = lesson.child_or_note(2, "tokenizer", "report on the tokenizer", "tokenizer", "report", inputs=split)
    told = {k: v for k, v in row.summary.items() if isinstance(v, str | int | float)} if row else {}
    evidence: dict[str, Any] = {
        "base": lesson.project.base, "folder_hash": base_hash, "parameters": weights.num_parameters(base),
        "context": config.get("max_position_embeddings"),
        "tokenizer": told,
    }  # fmt: skip
    asked: str | Part = ""
    verdict = told.get("verdict")
    if lesson.cfg.language_questions and Dataset(lesson.output("compose"), "teach").count("valid"):
        settings, chats = lesson.grading("base", ["language"]), {"chats": lesson.made["compose"]}
        lesson.child(2, "before_language", "grade", settings=settings, inputs=chats)
        found = grades_of(lesson, "before_language")
        evidence["language"] = {"questions_hash": found["questions_hash"], **means(found["summary"])}
        asked = ("prepared_asked", {"n": found["summary"]["questions"]})
    whole = ("prepared", {"base": Path(lesson.project.base).name, "parameters": evidence["parameters"]})
    cost = ("prepared_tokenizer", {"verdict": verdict}) if isinstance(verdict, str) else ""
    return Told.of(whole, cost, asked, "end"), evidence


def checked_base(lesson: Lesson) -> tuple[Path, str]:
    """Folder and hash of the base, its files compared with the hashes they were stored with; damaged ones are made anew where that is possible.

    Raises MissingError that names the damaged files and the command that gets them again.
    """
    alias = lesson.project.base
    base = weights.get(alias)
    if not (base / weights.MANIFEST).is_file():
        return base, hash_folder(base)
    damaged, hashes = weights.verify(base)
    if not damaged:
        return base, hash_folder(base, hashes)
    said = f"the base model {alias} is damaged ({', '.join(damaged)})"
    try:
        base = weights.again(alias)
    except MissingError as error:
        raise MissingError(f"{said}, and there is no copy to make it anew from", error.hint) from error
    lesson.list.working(2, recovery=f"{said}; it was made anew and is whole")
    return base, hash_folder(base)


def configure(lesson: Lesson) -> Done:
    """Step 3: turn the settings into those of a recipe, say what cannot be honoured, and forecast what it takes."""
    if not Dataset(lesson.output("compose"), "teach").count("train"):
        raise JobError("no training row was made of the material", "Add more material: endonym add FILE")
    inputs = {"dataset": lesson.made["compose"], "split": lesson.made["split"]}
    asked = apart.request(lesson.cfg, lesson.project, inputs)
    chosen = apart.ask(asked)
    settings, needed, notes = chosen["settings"], chosen["forecast"], chosen["notes"]
    for note in notes:
        lesson.note(note)
    lesson.list.kept.update(recipe=chosen["recipe"], settings=settings, forecast=needed)
    evidence = {
        "recipe": chosen["recipe"], "settings": settings, "rows": round(asked["rows"], 2), "notes": notes, **needed,
    }  # fmt: skip
    fits = {True: "configured_fits", False: "configured_too_large", None: "configured_unknown"}[needed["fits"]]
    planned = {
        "steps": settings["steps"], "rows": settings["batch_size"], "recipe": chosen["recipe"], "device": needed["device"],
        "minutes": round(needed["seconds"] / 60, 1), "gigabytes": round(needed["memory_bytes"] / 1e9, 1),
    }  # fmt: skip
    noted = ("configured_notes", {"n": len(notes)}) if notes else ""
    return Told.of(("configured", planned), fits, noted), evidence
