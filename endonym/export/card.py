"""Write the model card (README.md) of an export: what it is, where it comes from, how good it is, how to use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from endonym import __version__
from endonym.data.rights import says
from endonym.export.source import Source
from endonym.models.bases import origin


def write_card(model: Source, out: Path, library: str, use: str) -> None:
    """Write `README.md` with the metadata block model hubs read."""
    base = model.base.get("hub") or origin(model.loaded.base).name
    sections = [
        _metadata(model, library),
        f"# {model.name}",
        _summary(model, base),
        "## How to use it\n\n" + use.replace("{base}", base).replace("{{", "{").replace("}}", "}"),
        "## Scores\n\n" + _scores(model.scores),
        "## Where it comes from\n\n" + _provenance(model, base),
        "## Licence\n\n" + _licence(model),
    ]
    (out / "README.md").write_text("\n\n".join(s.strip() for s in sections) + "\n", encoding="utf-8")


def _metadata(model: Source, library: str) -> str:
    lines = ["---", f"library_name: {library}", f"pipeline_tag: {_pipeline(model)}"]
    if model.base.get("hub"):
        lines.append(f"base_model: {model.base['hub']}")
    if model.licence:
        lines.append(f'license: "{model.licence.lower()}"')
    languages = [code for code in (model.language, model.pivot) if code]
    if languages:
        # Quoted, because a bare `no` (Norwegian) is a boolean in YAML.
        lines.append("language: [" + ", ".join(f'"{code}"' for code in languages) + "]")
    results = _results(model.scores)
    if results:
        # JSON is YAML, and needs no care for quotes in names.
        lines.append("model-index: " + json.dumps([{"name": model.name, "results": results}], ensure_ascii=False))
    return "\n".join([*lines, "tags: [endonym]", "---"])


def _pipeline(model: Source) -> str:
    """What hubs call that for which the model is."""
    kind = getattr(model.loaded.model.config, "kind", "")
    return {
        "classify": "text-classification", "tag": "token-classification", "answer": "question-answering", "embed": "feature-extraction",
    }.get(kind, "text-generation")  # fmt: skip


def _results(scores: Any) -> list[dict[str, Any]]:
    """The trained model's own scores in the form model hubs read; their intervals stand in the table of the text."""
    rows = [r for r in (scores.get("rows", []) if isinstance(scores, dict) else []) if r["system"] == "tuned"]
    tasks: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        metric = {"type": row["metric"], "name": row["name"], "value": round(row["value"], 4)}
        tasks.setdefault((row["task"], row["direction"]), []).append(metric)
    sealed = {"type": "sealed-test-set", "name": "sealed test set of the project"}
    return [{"task": {"type": task, "name": direction}, "dataset": sealed, "metrics": metrics}
            for (task, direction), metrics in tasks.items()]  # fmt: skip


def _summary(model: Source, base: str) -> str:
    recipe = model.about.get("recipe", "")
    taught = f" for the language `{model.language}`, through `{model.pivot}`" if model.language else ""
    if model.from_nothing:
        return f"A model over bytes, trained from nothing ({recipe}) with Endonym {__version__}{taught}."
    return f"`{base}`, trained further{f' ({recipe})' if recipe else ''} with Endonym {__version__}{taught}."


def _scores(scores: Any) -> str:
    rows = scores.get("rows", []) if isinstance(scores, dict) else []
    if not rows:
        return "It has not been evaluated on a sealed test set."
    head = "| system | metric | direction | value | 95 % interval | items |\n|---|---|---|---|---|---|\n"
    body = "".join(
        f"| {r['system']} | {r['metric']} | {r['direction']} | {r['value']:.2f} | {r['low']:.2f} to {r['high']:.2f} | {r['n']} |\n"
        for r in rows
    )
    signatures = sorted({f"`{r['signature']}`" for r in rows if r.get("signature")})
    return f"On a sealed test set:\n\n{head}{body}\nSignatures: {', '.join(signatures)}"


def _provenance(model: Source, base: str) -> str:
    about, origin = model.about, model.base
    found = f"`{base}`" + (f", from {origin['source']}" if origin.get("source") else "")
    lines = [f"- base model: {'none' if model.from_nothing else found}"]
    if origin.get("source_sha256"):
        lines.append(f"- SHA-256 of the base file: `{origin['source_sha256']}`")
    if origin.get("note"):
        lines.append(f"- {origin['note']} The certificate in `parity.json` was made with the weights used here.")
    lines.append(f"- chat template and tokenizer (renderer) hash: `{about['renderer']}`")
    lines.append("- `parity.json`: how this export was compared with the trained model before it was published")
    return "\n".join(lines)


def _licence(model: Source) -> str:
    lines = [f"- this model: {model.licence or 'not stated by its makers; ask them before you use it'}"]
    if model.base.get("licence"):
        lines.append(f"- base model: {model.base['licence']}")
    lines += [f"- training data: {licence}" for licence in model.data_licences]
    named = sorted({name for material in model.materials for name in material.get("restrictions", ())})
    lines += [f"- restriction `{name}`: {says(name)}" for name in named]
    consents = dict.fromkeys(str(material["consent"]) for material in model.materials if material.get("consent"))
    lines += [f"- consent: {consent}" for consent in consents]
    return "\n".join(lines)
