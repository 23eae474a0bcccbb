"""Train a new tokenizer on the training text, with the base model's special tokens and chat template.

Words are cut so that letters hold together with their marks and joiners, in any script. Text is read as bytes, so nothing is unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job

PRODUCES = "vocabulary"
ARGUMENT = "size"


class Config(BaseModel):
    """Settings of a new tokenizer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(8000, ge=300, description="Tokens at most, the 256 bytes and the special tokens among them.")
    model: Literal["bpe", "unigram", "bytes"] = Field(
        "bpe", description="Byte-pair encoding, a unigram language model, or nothing but the 256 bytes."
    )
    languages: Literal["target", "both"] = Field(
        "both", description="Learn from the language alone, or from the pivot too."
    )
    cut: Literal["words", "base"] = Field(
        "words", description="Cut words script by script, or as the base does, which GGUF export may ask for."
    )


def run(cfg: Config, data: Dataset, job: Job) -> Path:
    """Write `output/tokenizer/` and `output/report.json`; every training text must come back byte for byte.

    BPE after Sennrich, Haddow and Birch (ACL 2016), unigram after Kudo (ACL 2018). Raises DataError naming a text that does not
    come back.
    """
    from endonym.models.load import load_tokenizer
    from endonym.store.files import write_json
    from endonym.tokenizer.build import bytes_only, must_round_trip, trained
    from endonym.tokenizer.corpus import broken_words, texts_of
    from endonym.tokenizer.measure import measure

    base = load_tokenizer(job.project.base).tokenizer
    language, pivot = job.project.language, job.project.pivot
    texts = texts_of(data, language, pivot)
    learned = texts.target if cfg.languages == "target" else [*texts.target, *texts.pivot]
    folder = job.output / "tokenizer"
    made = (
        bytes_only(base, folder)
        if cfg.model == "bytes"
        else trained(base, learned, cfg.model, cfg.size, cfg.cut, folder)
    )
    must_round_trip(made, [*texts.target, *texts.pivot], str(data.folder))
    before, after = (measure(tokenizer, texts.held, language) for tokenizer in (base, made))
    report = {
        "base": job.project.base,
        "action": "train",
        "size": len(made),
        "model": cfg.model,
        "round_trips": len(texts.target) + len(texts.pivot),
        "broken_words": broken_words(made, texts.target),
        "measured_on": texts.split,
        "before": before.as_json(),
        "after": after.as_json(),
        "pivot_measured_on": texts.pivot_split,
        "pivot_before": measure(base, texts.held_pivot, pivot).as_json(),
        "pivot_after": measure(made, texts.held_pivot, pivot).as_json(),
    }
    write_json(job.output / "report.json", report)
    job.log(
        f"{len(made)} tokens; {before.tokens_per_word:.2f} -> {after.tokens_per_word:.2f} tokens a word on {texts.split} text"
    )
    job.summary(
        size=len(made),
        tokens_per_word_before=round(before.tokens_per_word, 2),
        tokens_per_word=round(after.tokens_per_word, 2),
    )
    return job.output
