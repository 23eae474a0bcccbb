"""Steps 4 to 8: train, save and verify, validate, test, and measure what has become better."""

from __future__ import annotations

import json
from typing import Any

from endonym.data import grades
from endonym.data.dataset import Dataset
from endonym.errors import JobError, ParityError
from endonym.models import weights
from endonym.store import events
from endonym.store import jobs as rows
from endonym.store.files import file_hash, hash_folder
from endonym.teach.before import Done, grades_of
from endonym.teach.checklist import Skip
from endonym.teach.lesson import Lesson, means
from endonym.teach.told import Part, Told


def train(lesson: Lesson) -> Done:
    """Step 4: run the recipe."""
    kept, made = lesson.list.kept, lesson.made
    inputs = {"dataset": made["compose"], "split": made["split"]}
    row = lesson.child(4, "model", "train", kept["recipe"], kept["settings"], inputs)
    about = _model(lesson)
    curve = events.curve(lesson.project.db, row.id, "loss")
    evidence = {
        "steps": about["steps"], "rows": about["rows"], "tokens": about["tokens"],
        "first_loss": round(curve[0][1], 4) if curve else None, "last_loss": round(curve[-1][1], 4) if curve else None,
        "tokens_per_second": round(about["tokens_per_second"], 1), "peak_memory_bytes": about["peak_memory_bytes"],
        "trained_parameters": about["trained_parameters"], "training_seconds": round(about["seconds"], 2),
        "rows_passed_over": row.summary.get("rows_passed_over"),
    }  # fmt: skip
    done = {"steps": about["steps"], "tokens": about["tokens"], "parameters": about["trained_parameters"]}
    fell = ("trained_loss", {"first": round(curve[0][1], 2), "last": round(curve[-1][1], 2)}) if len(curve) > 1 else ""
    return Told.of(("trained", done), fell, "end"), evidence


def _model(lesson: Lesson) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((lesson.output("model") / "model.json").read_text(encoding="utf-8"))
    return found


def save(lesson: Lesson) -> Done:
    """Step 5: compare the saved files with the hashes they were written with, and export what is to be shipped, certified."""
    model_hash = verified(lesson)
    evidence: dict[str, Any] = {"model_hash": model_hash, "exports": {}}
    exports: list[dict[str, Any]] = []
    for name in lesson.cfg.exports:
        inputs = {"model": lesson.made["model"], "chats": lesson.made["compose"]}
        row = lesson.child(5, f"export_{name}", "export", name, inputs=inputs)
        folder = lesson.output(f"export_{name}")
        certificate = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
        wrong = [f for f, wanted in certificate["files"].items() if file_hash(folder / f) != wanted]
        if wrong:
            raise ParityError(
                f"the exported files {', '.join(wrong)} are not those that were certified",
                f"Delete the run folder {folder.parent.name} and resume this job: it exports again.",
            )
        short = {k: v for k, v in row.summary.items() if isinstance(v, str | int | float)}
        evidence["exports"][name] = {"job": row.id, "files": len(certificate["files"]), **short}
        exports.append({"job": row.id, "format": name, "parity": short | {"result": certificate["result"]}})
    lesson.list.kept["exports"] = exports
    shipped = ("saved_exported", {"formats": ", ".join(lesson.cfg.exports)}) if exports else "saved_alone"
    return Told.of("saved", shipped), evidence


def verified(lesson: Lesson) -> str:
    """Hash of the model, which must be what the training recorded, on the base it was trained on; raises JobError when it is not."""
    number, folder = lesson.made["model"], lesson.output("model")
    recorded = rows.artifact_hash(lesson.project.db, number)
    if hash_folder(folder) != recorded:
        raise JobError(
            f"the model of job {number} is not what was saved: its files were changed or damaged",
            f"Delete the run folder {folder.parent.name} and resume this job: it trains again.",
        )
    base = weights.get(lesson.project.base)
    if hash_folder(base) != _model(lesson)["base_hash"]:
        raise JobError(
            f"the base model {lesson.project.base} is not what the model was trained on any more",
            f"Put it back as it was: endonym models get {lesson.project.base}",
        )
    return recorded


def validate(lesson: Lesson) -> Done:
    """Step 6: what the run itself measured on the validation split, and the checks that it passed before step 1."""
    about = _model(lesson)
    curve = events.curve(lesson.project.db, lesson.made["model"], "valid_loss")
    checks = [{"name": c["name"], "passed": c["passed"]} for c in about["checks"]]
    failed = [c["name"] for c in checks if not c["passed"]]
    if failed:
        raise JobError(f"checks failed before training: {'; '.join(failed)}", "See the log of the training job.")
    first, best = (curve[0][1] if curve else None), about["best_valid_loss"]
    evidence = {
        "valid_rows": Dataset(lesson.output("compose"), "teach").count("valid"), "first_valid_loss": first,
        "best_valid_loss": best, "best_step": about["best_step"], "train_loss": about["train_loss"],
        "improved": bool(about["best_step"]), "checks": checks,
    }  # fmt: skip
    if not about["best_step"]:
        return Told.of("validated_no_better"), evidence
    went = {"first": round(first or 0.0, 3), "best": round(best, 3), "step": about["best_step"]}
    return Told.of(("validated", went)), evidence


def test(lesson: Lesson) -> Done:
    """Step 7: base, tuned model and baselines on the sealed test."""
    if not Dataset(lesson.output("split"), "teach").count("test"):
        raise Skip(Told.of("tested_nothing"))
    cfg, made = lesson.cfg, lesson.made
    asked = {"max_items": cfg.test_items, "samples": cfg.test_samples}
    settings = {name: value for name, value in asked.items() if value is not None}
    inputs = {"dataset": made["split"], "chats": made["compose"], "model": made["model"]}
    lesson.child(7, "scores", "evaluate", settings=settings, inputs=inputs)
    found = scores_of(lesson)
    chief = [r for r in found["rows"] if r["metric"] == "chrf" and r["system"] in ("base", "tuned")]
    shown = [
        {
            key: r[key]
            for key in ("system", "task", "direction", "metric", "value", "low", "high", "num_items")
            if key in r
        }
        for r in chief
    ]
    evidence = {"items": found["items"], "data_hash": found["data_hash"], "models": found["models"], "scores": shown}
    told = ", ".join(f"{r['direction']} {r['system']} {r['value']:.1f}" for r in chief if r["task"] == "translate")
    chrf = ("tested_chrf", {"scores": told}) if told else "tested_no_chrf"
    return Told.of(("tested", {"items": found["items"]}), chrf), evidence


def scores_of(lesson: Lesson) -> dict[str, Any]:
    """What the evaluation wrote."""
    found: dict[str, Any] = json.loads((lesson.output("scores") / "scores.json").read_text(encoding="utf-8"))
    return found


def capture(lesson: Lesson) -> Done:
    """Step 8: ask the trained model what the base was asked, and say what has changed, with intervals."""
    made = lesson.made
    sets = ["general", "own", *(["language"] if "before_language" in made else [])]
    inputs = {"model": made["model"], **({"chats": made["compose"]} if "before_language" in made else {})}
    lesson.child(8, "after", "grade", settings=lesson.grading("tuned", sets), inputs=inputs)
    earlier, later = before_rows(lesson), grades_of(lesson, "after")["rows"]
    missing = {row["id"] for row in earlier} ^ {row["id"] for row in later}
    if missing:
        raise JobError(
            f"before and after were not asked the same: {', '.join(sorted(missing)[:3])}", "Start the job again."
        )
    found = {
        "before": grades.summary(earlier), "after": grades.summary(later),
        "improvements": grades.improvements(earlier, later, lesson.cfg.seed),
    }  # fmt: skip
    lesson.list.kept["grades"] = found
    report = _report(lesson)
    total = found["improvements"]["total"]
    evidence = {
        "before": means(found["before"]), "after": means(found["after"]), "improvements": found["improvements"],
        "report": report,
    }  # fmt: skip
    return Told.of(("again", {"n": len(later)}), *_said(total)), evidence


def before_rows(lesson: Lesson) -> list[dict[str, Any]]:
    """The graded answers of the base: general and own questions of step 0, those in the languages of step 2."""
    names = [name for name in ("before", "before_language") if name in lesson.made]
    return [row for name in names for row in grades_of(lesson, name)["rows"]]


def _report(lesson: Lesson) -> int | None:
    """Number of the job with the report; None, with a note, where there is nothing to report on."""
    row = lesson.child_or_note(8, "report", "report", "compare") if "scores" in lesson.made else None
    return row.id if row else None


def _said(total: dict[str, Any]) -> list[str | Part]:
    """The change of the weighted total in words that do not say more than its interval."""
    if not total["n"]:
        return ["again_unmarked"]
    went = {"before": round(total["before"], 1), "after": round(total["after"], 1), "points": f"{total['points']:+.1f}"}
    said: list[str | Part] = [("again_total", went)]
    if total["unit"] == "percent":
        said.append(("again_percent", {key: f"{total[key]:+.0f}" for key in ("percent", "low", "high")}))
    sure = total["low"] > 0 or total["high"] < 0
    return [*said, "end"] if sure else [*said, "again_chance", "end"]
