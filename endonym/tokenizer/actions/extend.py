"""Learn more merges on the training text behind the base tokenizer's own, so that the language needs fewer tokens.

The pivot's tokenisation stays byte for byte what it was: a pair that stands anywhere in the pivot's training text is never merged.
Every new token is checked to be what the tokenizer makes of its letters; none is matched ahead of the words around it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.errors import UsageError
    from endonym.jobs.job import Job
    from endonym.tokenizer.corpus import Texts
    from endonym.tokenizer.merges import Merges

PRODUCES = "vocabulary"
ARGUMENT = "size"
"""The setting that may stand behind the name: `endonym tokenizer extend 4000`."""


class Config(BaseModel):
    """Settings of an extension."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(4000, ge=1, description="Tokens to add at most.")
    least: int = Field(5, ge=1, description="A pair must stand this often in the training text to be merged.")
    protect: Literal["pivot", "none"] = Field("pivot", description="Text whose tokenisation must not change.")


def run(cfg: Config, data: Dataset, job: Job) -> Path:
    """Write `output/tokenizer/` and `output/report.json`; learns from the training split only.

    Raises UsageError for a base whose tokenizer has no byte-level merges and where no token can be added, JobError when a promise
    does not hold.
    """
    from endonym.models.load import load_tokenizer
    from endonym.store.files import write_json
    from endonym.tokenizer.corpus import broken_words, texts_of

    base = load_tokenizer(job.project.base).tokenizer
    texts = texts_of(data, job.project.language, job.project.pivot)
    made, learned = extend(base, job.project.base, texts, cfg, job.output / "tokenizer", job)
    broken = broken_words(base, texts.target)
    report = {"size": len(made), **learned, "broken_words": broken, **fit_of(base, made, texts, job)}
    write_json(job.output / "report.json", report)
    before, after = report["before"]["tokens_per_word"], report["after"]["tokens_per_word"]
    job.log(
        f"{learned['added']} tokens by {learned['merges']} merges; {before:.2f} -> {after:.2f} tokens a word on {texts.split} text"
    )
    if broken["share"] > 0.01:
        job.log(
            f"{broken['share']:.1%} of the words are cut by the base before any merge, so no token can hold them whole, as in "
            f"{broken['examples'][0][1]}; only a new tokenizer changes that: endonym tokenizer train"
        )
    job.summary(added=learned["added"], tokens_per_word_before=round(before, 2), tokens_per_word=round(after, 2))
    return job.output


def extend(base: Any, name: str, texts: Texts, cfg: Config, folder: Path, job: Job) -> tuple[Any, dict[str, Any]]:
    """Learn merges, drop tokens that cannot be reached, write the tokenizer and hold it against its promises."""
    from endonym.tokenizer.build import base_bpe, extended, pre_tokens
    from endonym.tokenizer.merges import learn

    bpe = base_bpe(base, name)
    protected = texts.pivot if cfg.protect == "pivot" else []
    merges = learn(
        pre_tokens(base, texts.target), pre_tokens(base, protected), bpe, cfg.size, cfg.least,
        [str(token) for token in base.added_tokens_decoder.values()],
        lambda done, total: job.tick(done, total, "tokens"),
    )  # fmt: skip
    lost: list[str] = []
    if not merges.tokens:
        raise _nothing(merges, lost, cfg)
    made = extended(base, merges, folder)
    while gone := unreachable(made, merges.tokens):
        lost += gone
        merges = merges.without(gone, max(bpe.vocabulary.values()) + 1)
        made = extended(base, merges, folder)
    if not merges.tokens:
        raise _nothing(merges, lost, cfg)
    if len(merges.tokens) < cfg.size:
        job.log(
            f"the text has pairs for {len(merges.tokens)} tokens, not {cfg.size}: the others stand in fewer than {cfg.least} "
            "places or in the pivot's text"
        )
    used = _hold(base, made, texts, protected)
    facts = {
        "base": name,
        "action": "extend",
        "added": len(merges.tokens),
        "merges": len(merges.pairs),
        "least_count": merges.least,
        "unreachable_removed": lost,
        "unused_in_training": sum(number not in used for number in merges.tokens.values()),
        "pairs_kept_for_the_pivot": merges.protected,
        "pivot_texts_identical": len(protected),
    }
    return made, facts


def _nothing(merges: Merges, lost: list[str], cfg: Config) -> UsageError:
    """Why no token could be added: a tokenizer that changes nothing must not be the newest, which training takes."""
    from endonym.errors import UsageError

    pivot = f"; {merges.protected} more pairs stand in the pivot's text" if merges.protected else ""
    gone = f"; {len(lost)} tokens could not be reached from their letters" if lost else ""
    return UsageError(
        f"the extension would add no token: no pair that may be merged stands {cfg.least} times in the training text{pivot}{gone}",
        "Lower --least"
        + (", allow --protect none" if merges.protected else "")
        + ", or add more text in the language.",
    )


def unreachable(tokenizer: Any, tokens: Any) -> list[str]:
    """The tokens that the tokenizer does not make of their own letters."""
    model = tokenizer.backend_tokenizer.model
    return [token for token in tokens if [piece.value for piece in model.tokenize(token)] != [token]]


def fit_of(base: Any, made: Any, texts: Texts, job: Job) -> dict[str, Any]:
    """How both tokenizers fit the language, on text the merges were not learned from where there is any."""
    from endonym.tokenizer.measure import measure

    language = job.project.language
    return {
        "measured_on": texts.split,
        "before": measure(base, texts.held, language).as_json(),
        "after": measure(made, texts.held, language).as_json(),
    }


def _hold(base: Any, made: Any, texts: Texts, protected: list[str]) -> set[int]:
    """The ids that the training texts use.

    Raises JobError where protected text is tokenised otherwise than before, or a training line comes back otherwise.
    """
    from endonym.errors import JobError
    from endonym.tokenizer.corpus import encoded, there_and_back

    hint = "This is a fault of Endonym's; please report it with the line."
    kept = list(dict.fromkeys(protected))
    for text, before, after in zip(kept, encoded(base, kept), encoded(made, kept), strict=True):
        if before != after:
            raise JobError(f"the extended tokenizer cuts {text!r} otherwise than the base", hint)
    used: set[int] = set()
    changed: dict[str, str] = {}
    for text, ids, back in there_and_back(made, texts.target):
        used.update(ids)
        if back != text:
            changed[text] = back
    # A base that changes text, as one that composes letters does, does so still.
    for text, _, back in there_and_back(base, changed):
        if back != changed[text]:
            raise JobError(f"{text!r} comes back from the extended tokenizer as {changed[text]!r}", hint)
    return used
