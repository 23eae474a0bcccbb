"""Measure how well the base model's tokenizer fits the language, and say what that costs.

Compares with the pivot language on parallel training sentences, so both sides say the same. The verdict rests on the cost
factor: tokens for a text in the language over tokens for its translation in the pivot (the tokenization premium of Petrov et
al., NeurIPS 2023); without sentence pairs, tokens a character are compared, and without text in the pivot there is no verdict.
Below 2 is fine, 2 to 3 is slower, above 3 the vocabulary should be extended first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from endonym.data import languages
from endonym.data.dataset import Dataset
from endonym.errors import DataError, Problem
from endonym.store.files import write_json
from endonym.tokenizer.corpus import evenly
from endonym.tokenizer.measure import Measure, dearest_words, measure
from endonym.tokenizer.plot import plot
from endonym.types import Pair

if TYPE_CHECKING:
    from endonym.jobs.job import Job


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        "", description="Model whose tokenizer is measured: alias or folder; empty for the project's base."
    )
    max_texts: int = Field(4000, ge=10, description="Measure at most this many training sentences, evenly chosen.")
    fine_below: float = Field(2.0, gt=1, description="Cost factor below which the tokenizer is fine.")
    extend_above: float = Field(3.0, gt=1, description="Cost factor above which extending the vocabulary is advised.")

    @model_validator(mode="after")
    def _ordered(self) -> Config:
        if self.fine_below > self.extend_above:
            raise ValueError("fine_below must not be more than extend_above")
        return self


def run(cfg: Config, data: Dataset, job: Job) -> Path:
    """Write `report.json`, `report.svg` and `report.txt` into the job's output; reads the training split only."""
    from transformers import AutoTokenizer

    from endonym.models.weights import get

    base = cfg.base or job.project.base
    language, pivot = job.project.language, job.project.pivot
    target, other, parallel = gather(data, language, pivot, cfg.max_texts)
    if not target:
        raise DataError(
            Problem(
                str(data.folder),
                0,
                "language",
                f"no training text in '{language}'",
                "check [project] language in endonym.toml",
            )
        )
    tokenizer = AutoTokenizer.from_pretrained(get(base))
    report = compare(tokenizer, target, other, language, pivot, parallel, cfg)
    report.update(base=base, parallel=parallel, data_hash=data.hash, vocabulary=len(tokenizer))
    limit = int(getattr(tokenizer, "model_max_length", 0) or 0)
    report["context"] = limit if 0 < limit < 10_000_000 else None
    report["context_share"] = report["target"]["tokens_per_text"] / limit if report["context"] else None
    report["tokenizer_hash"] = tokenizer_hash(tokenizer)
    names = {code: languages.name(code) for code in (language, pivot)}
    write_json(job.output / "report.json", report)
    (job.output / "report.svg").write_text(plot(report, names), encoding="utf-8")
    (job.output / "report.txt").write_text(table(report), encoding="utf-8")
    job.log(table(report))
    factor = report["cost_factor"]
    job.summary(**({} if factor is None else {"cost_factor": round(factor, 2)}), verdict=report["verdict"])
    return job.output


def gather(data: Dataset, language: str, pivot: str, limit: int) -> tuple[list[str], list[str], bool]:
    """Training texts of both languages: the two sides of the same pairs where there are any, otherwise any text."""
    pairs: list[tuple[str, str]] = []
    loose: dict[str, list[str]] = {language: [], pivot: []}
    for record in data.records("train"):
        if isinstance(record, Pair) and (sides := record.between(language, pivot)):
            pairs.append(sides)
        else:
            for code, text in record.texts():
                loose.get(code, []).append(text)
    if pairs:
        chosen = evenly(pairs, limit)
        return [a for a, _ in chosen], [b for _, b in chosen], True
    return evenly(loose[language], limit), evenly(loose[pivot], limit), False


def compare(
    tokenizer: Any, target: list[str], other: list[str], language: str, pivot: str, parallel: bool, cfg: Config
) -> dict[str, Any]:
    """Measure both sides and derive the cost factor and the verdict."""
    ours, theirs = measure(tokenizer, target, language), measure(tokenizer, other, pivot)
    factor = cost_factor(ours, theirs, parallel)
    if factor is None:
        verdict = "unknown"
    elif factor < cfg.fine_below:
        verdict = "fine"
    elif factor <= cfg.extend_above:
        verdict = "slower"
    else:
        verdict = "extend"
    return {
        "target": ours.as_json(),
        "pivot": theirs.as_json(),
        "cost_factor": factor,
        "fertility_ratio": ours.tokens_per_word / theirs.tokens_per_word if theirs.tokens_per_word else None,
        "verdict": verdict,
        "advice": advice(verdict, factor, ours, theirs, parallel),
        "thresholds": {"fine_below": cfg.fine_below, "extend_above": cfg.extend_above},
        "dearest_words": dearest_words(tokenizer, target),
        "signature": f"tokenizer-report|v:2|texts:{ours.texts}|split:train|parallel:{'yes' if parallel else 'no'}|words:script-aware|special:no",
    }


def cost_factor(ours: Measure, theirs: Measure, parallel: bool) -> float | None:
    """Tokens for the same content in both languages; without parallel text, tokens per character; None without the pivot."""
    if theirs.tokens == 0:
        return None
    if parallel:
        return ours.tokens / theirs.tokens
    return ours.tokens_per_character / theirs.tokens_per_character


def advice(verdict: str, factor: float | None, ours: Measure, theirs: Measure, parallel: bool) -> str:
    """The verdict as one sentence with its number."""
    if factor is None:
        return (
            f"No verdict: there is no training text in {theirs.language} to compare with. {ours.language} needs "
            f"{ours.tokens_per_word:.2f} tokens a word; endonym tokenizer decide measures whether another tokenizer pays."
        )
    each = "for the same content" if parallel else "a character, on texts that do not translate each other"
    pair = f"{ours.language} needs {factor:.2f} times the tokens of {theirs.language} {each}"
    if verdict == "fine":
        return f"Fine: {pair}. No change to the tokenizer is needed."
    if verdict == "slower":
        return (
            f"Usable but slower: {pair}, so training and answers take about that much longer and context fills sooner."
        )
    return f"Extend the vocabulary before serious training: {pair}."


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 of the tokenizer's full definition."""
    import hashlib

    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()


def table(report: dict[str, Any]) -> str:
    """The report as a plain table for a terminal."""
    ours, theirs = report["target"], report["pivot"]
    rows = [
        ("tokens per word", f"{ours['tokens_per_word']:.2f}", f"{theirs['tokens_per_word']:.2f}"),
        ("tokens per character", f"{ours['tokens_per_character']:.3f}", f"{theirs['tokens_per_character']:.3f}"),
        ("bytes per token", f"{ours['bytes_per_token']:.2f}", f"{theirs['bytes_per_token']:.2f}"),
        ("tokens per sentence", f"{ours['tokens_per_text']:.1f}", f"{theirs['tokens_per_text']:.1f}"),
        ("95 % need at most", str(ours["tokens_per_text_95"]), str(theirs["tokens_per_text_95"])),
        ("broken tokens", f"{ours['fragment_rate']:.2%}", f"{theirs['fragment_rate']:.2%}"),
        ("characters covered", f"{ours['covered']:.2%}", f"{theirs['covered']:.2%}"),
    ]
    rows.insert(0, ("", ours["language"], theirs["language"]))
    lines = [f"{name:22}{a:>10}" + (f"{b:>10}" if theirs["texts"] else "") for name, a, b in rows]
    if report.get("context_share"):
        lines.append(f"{'share of context':22}{report['context_share']:>10.2%}")
    return "\n".join([*lines, "", report["advice"], ""])
