"""Decide by measuring whether to keep the tokenizer, extend it, train a new one, or read bytes.

Each candidate gets a short training run of the same computing on the training text, and is scored in bits per byte on the validation
text, which does not depend on how text is cut. Another tokenizer is advised only when its gain is certain and the pivot language
does not pay for it; of those as good as the best, the one with the fewest new tokens.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.store.tokens import Needs

PRODUCES = "decision"
REQUIRES = {"torch": "train", "transformers": "train"}


class Config(BaseModel):
    """What is compared, and how long each is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: list[int] = Field([1000, 4000, 8000], description="Extensions to try, in added tokens.")
    others: list[Literal["new", "bytes"]] = Field(["new", "bytes"], description="What else to try.")
    new_size: int = Field(8000, ge=300, description="Tokens of the new tokenizer.")
    steps: int = Field(
        40, ge=1, description="Training steps of the tokenizer as it is; the others get the same computing."
    )
    batch_tokens: int = Field(2048, ge=256, description="Tokens in a step.")
    learning_rate: float = Field(3e-4, gt=0, description="Highest learning rate.")
    rows: Literal["mean", "weighted"] = Field("mean", description="How the rows of new tokens begin.")
    held: int = Field(100, ge=2, description="Validation texts to score, of the language and of the pivot.")
    pivot_loss: float = Field(0.05, ge=0, description="Bits per byte the pivot may lose against keeping the tokenizer.")
    seed: int = Field(20, description="Seed of the order of texts.")


def needs(cfg: Config, base: str | Path) -> Needs:
    """All weights are trained, of one candidate after the other; nothing of that is saved."""
    from endonym.models.needs import to_train

    return replace(to_train(base, cfg.batch_tokens, 0, 0), disk_bytes=0)


def run(cfg: Config, data: Dataset, job: Job) -> Path:
    """Write `output/decision.json` and the table as `output/decision.txt`; what was tried before an interruption is not repeated."""
    from endonym.store.files import write_json
    from endonym.tokenizer.trials import advise, candidates, compressed, table, try_one

    names = candidates(cfg)
    results: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        job.log(f"{number + 1} of {len(names)}: {name}")
        found = try_one(name, cfg, data, job, results[0] if results else None)
        if job.cancelled():
            return job.output
        if found is not None:
            results.append(found)
    decision = {**advise(results, cfg), "ppm": compressed(cfg, data, job)}
    text = table(results, decision)
    write_json(job.output / "decision.json", decision)
    (job.output / "decision.txt").write_text(text, encoding="utf-8")
    job.log(text)
    job.summary(advice=decision["choice"], bits_per_byte=decision["bits_per_byte"], kept=decision["kept_bits_per_byte"])
    return job.output
