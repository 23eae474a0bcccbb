"""Try one vocabulary after the other with the same computing, and say which of them pays."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from endonym.data.ppm import Compressor
from endonym.data.statistics import SIGNIFICANT, Difference, holm, interval, paired, ratio
from endonym.errors import DataError, Problem, UsageError
from endonym.models.adopt import Material, adopt, arithmetic
from endonym.models.compute import flops_per_token
from endonym.models.distil import Distilling
from endonym.models.generate import answer_nll
from endonym.models.load import Loaded, load_model
from endonym.models.trial import Trial, run_trial
from endonym.store.files import write_json
from endonym.tokenizer.build import base_bpe, bytes_only, extended, pre_tokens, trained
from endonym.tokenizer.corpus import Texts, evenly, texts_of
from endonym.tokenizer.measure import measure
from endonym.tokenizer.merges import learn
from endonym.types import Chat, Message, Pair

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job

KEEP = "keep"
LEAST = 5
"""A pair must stand this often to be merged, as in `tokenizer extend`."""


def candidates(cfg: Any) -> list[str]:
    """Names of what is compared, the tokenizer as it is first."""
    return [KEEP, *(f"extend {size}" for size in sorted(set(cfg.sizes))), *dict.fromkeys(cfg.others)]


def try_one(name: str, cfg: Any, data: Dataset, job: Job, kept: dict[str, Any] | None) -> dict[str, Any] | None:
    """Make a tokenizer, measure it, train with it, score it; None when the base or the text cannot give it or on cancelling."""
    done = job.folder / "candidates" / f"{name.replace(' ', '-')}.json"
    if done.is_file():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    loaded = load_model(job.project.base, dtype="float32")
    language, pivot = job.project.language, job.project.pivot
    texts = texts_of(data, language, pivot)
    for code, split in ((language, texts.split), (pivot, texts.pivot_split)):
        if split != "valid":
            repair = "give validation some texts: endonym split --valid-size"
            what = f"no validation text in '{code}': what was learned by heart would win"
            raise DataError(Problem(str(data.folder), 0, "language", what, repair))
    try:
        tokenizer = _tokenizer(name, loaded.tokenizer, texts, cfg, job)
    except UsageError as error:
        job.log(f"left out: {error.message}")
        return None
    per_token = flops_per_token(loaded.model)
    budget = cfg.steps * cfg.batch_tokens * per_token
    if tokenizer is not None:
        loaded = adopt(
            loaded, tokenizer, cfg.rows, _material(data, texts, job), Distilling(seed=cfg.seed), job.log
        ).loaded
    fit = measure(loaded.tokenizer, texts.held, language)
    at_start = _score(loaded, texts.held, cfg.held)
    started = time.monotonic()
    tried = run_trial(
        loaded, [*texts.target, *texts.pivot], Trial(budget, cfg.batch_tokens, cfg.learning_rate, cfg.seed),
        lambda step, total, loss: job.tick(step, total, f"steps of {name}", loss=round(loss, 4)), job.cancelled,
    )  # fmt: skip
    if tried.cancelled:
        return None
    context = int(getattr(loaded.model.config.get_text_config(), "max_position_embeddings", 0) or 0)
    cost = fit.tokens * flops_per_token(loaded.model) / max(1, fit.bytes)
    result = {
        "name": name,
        "vocabulary": len(loaded.tokenizer),
        "tokens_per_word": fit.tokens_per_word,
        "bytes_per_token": fit.bytes_per_token,
        "flops_per_byte": cost,
        "cost": cost / kept["flops_per_byte"] if kept else 1.0,
        "context_share": fit.tokens_per_text / context if context else None,
        "steps": tried.steps,
        "tokens": tried.tokens,
        "epochs": tried.epochs,
        "seconds": time.monotonic() - started,
        "bits_per_byte_at_start": _value(at_start),
        "target": _score(loaded, texts.held, cfg.held),
        "pivot": _score(loaded, texts.held_pivot, cfg.held),
    }
    done.parent.mkdir(parents=True, exist_ok=True)
    write_json(done, result)
    return result


def advise(results: Sequence[dict[str, Any]], cfg: Any) -> dict[str, Any]:
    """Choose among the results, the first of which is the tokenizer as it is; every difference with its interval.

    Each is compared with the first, and what counts as better is corrected for their number (Holm 1979).
    """
    kept = results[0]
    changes = [_difference(result, kept, "target") for result in results]
    p_values = [1.0, *holm([found.p_value for found in changes[1:]])]
    rows = []
    for result, change, p_value in zip(results, changes, p_values, strict=True):
        value, low, high = interval(np.array(result["target"]), ratio)
        better = change.value < 0 and p_value < SIGNIFICANT
        pivot = _difference(result, kept, "pivot")
        rows.append(
            {
                **{k: v for k, v in result.items() if k not in ("target", "pivot")},
                "bits_per_byte": value,
                "interval": [low, high],
                "change": [change.value, change.low, change.high],
                "p_adjusted": p_value,
                "better": better,
                "pivot_bits_per_byte": _value(result["pivot"]),
                "pivot_change": [pivot.value, pivot.low, pivot.high],
                "pays": better and pivot.value <= cfg.pivot_loss,
            }
        )
    paying = [i for i, row in enumerate(rows) if row["pays"]]
    choice = 0
    if paying:
        best = min(paying, key=lambda i: rows[i]["bits_per_byte"])
        as_good = [i for i in paying if i == best or _difference(results[i], results[best], "target").low <= 0]
        choice = min(as_good, key=lambda i: rows[i]["vocabulary"])
    return {
        "choice": rows[choice]["name"],
        "advice": _advice(rows, choice, cfg.new_size),
        "bits_per_byte": rows[choice]["bits_per_byte"],
        "kept_bits_per_byte": rows[0]["bits_per_byte"],
        "candidates": rows,
        "signature": f"tokenizer-decide|v:3|bits/byte|split:valid|texts:{len(kept['target'])}|pivot:{len(kept['pivot'])}|steps:{cfg.steps}"
        f"|batch:{cfg.batch_tokens}|lr:{cfg.learning_rate:g}|rows:{cfg.rows}|seed:{cfg.seed}|bs:paired|holm:{len(results) - 1}",
    }


def compressed(cfg: Any, data: Dataset, job: Job) -> dict[str, float]:
    """Bits per byte that a text compressor needs for the same texts after reading all training text, of the language and the pivot."""
    texts = texts_of(data, job.project.language, job.project.pivot)
    found = {}
    for side, read, held in (("target", texts.target, texts.held), ("pivot", texts.pivot, texts.held_pivot)):
        compressor, asked = Compressor(read), evenly(held, cfg.held)
        if asked:
            found[side] = sum(map(compressor.bits, asked)) / sum(len(text.encode()) for text in asked)
    return found


def table(results: Sequence[dict[str, Any]], decision: dict[str, Any]) -> str:
    """The comparison for a terminal, with the advice below it."""
    head = f"{'':14}{'tokens/word':>12}{'cost':>7}{'context':>9}{'start':>8}{'bits/byte':>11}{'change to keeping':>26}{'pivot':>8}"
    lines = [head]
    for row in decision["candidates"]:
        value, low, high = row["change"]
        change = "" if row["name"] == KEEP else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
        share = "" if row["context_share"] is None else f"{row['context_share']:.2%}"
        lines.append(
            f"{row['name']:14}{row['tokens_per_word']:>12.2f}{row['cost']:>7.2f}{share:>9}{row['bits_per_byte_at_start']:>8.3f}"
            f"{row['bits_per_byte']:>11.3f}{change:>26}{row['pivot_bits_per_byte']:>8.3f}"
        )
    if "target" in (ppm := decision.get("ppm", {})):
        pivot = f"{ppm['pivot']:>8.3f}" if "pivot" in ppm else ""
        lines.append(f"{'(ppm)':14}{'':12}{'':7}{'':9}{'':8}{ppm['target']:>11.3f}{'':26}{pivot}")
    return "\n".join([*lines, "", decision["advice"], ""])


def _advice(rows: Sequence[dict[str, Any]], choice: int, new_size: int) -> str:
    kept, chosen = rows[0], rows[choice]
    if choice:
        value, low, high = chosen["change"]
        command = {"new": f"train {new_size}", "bytes": "train --model bytes"}.get(chosen["name"], chosen["name"])
        return (
            f"{chosen['name'].capitalize()} pays: after the same computing it needs {chosen['bits_per_byte']:.3f} bits per byte, "
            f"{-value:.3f} [{-high:.3f}, {-low:.3f}] fewer than the tokenizer as it is, at {chosen['cost']:.0%} of its cost a text. Next: endonym tokenizer {command}, then endonym train embeddings."
        )
    if len(rows) == 1:
        return "There was nothing to compare the tokenizer with."
    best = min(rows[1:], key=lambda row: row["bits_per_byte"])
    value, low, high = best["change"]
    if best["better"]:
        return (
            f"Keep the tokenizer: {best['name']} is better in the language by {-value:.3f} bits per byte, but the pivot loses "
            f"{best['pivot_change'][0]:.3f}."
        )
    return (
        f"Keep the tokenizer: no other pays. The best, {best['name']}, differs by {value:+.3f} [{low:+.3f}, {high:+.3f}] bits per "
        f"byte from {kept['bits_per_byte']:.3f} after the same computing."
    )


def _tokenizer(name: str, base: Any, texts: Texts, cfg: Any, job: Job) -> Any:
    """The tokenizer of a candidate, None for the one there is. Raises UsageError when it cannot be made."""
    folder = job.folder / "candidates" / name.replace(" ", "-")
    kind, _, size = name.partition(" ")
    if kind == "extend":
        bpe = base_bpe(base, job.project.base)
        special = [str(token) for token in base.added_tokens_decoder.values()]
        words, protected = pre_tokens(base, texts.target), pre_tokens(base, texts.pivot)
        merges = learn(words, protected, bpe, int(size), LEAST, special)
        smaller = [n for n in cfg.sizes if n < int(size)]
        if not merges.tokens or (smaller and len(merges.tokens) <= max(smaller)):
            raise UsageError(f"the text has pairs for only {len(merges.tokens)} new tokens", "Add more text.")
        return extended(base, merges, folder)
    if kind == "new":
        return trained(base, [*texts.target, *texts.pivot], "bpe", cfg.new_size, "words", folder)
    return bytes_only(base, folder) if kind == "bytes" else None


def _material(data: Dataset, texts: Texts, job: Job) -> Material:
    language, pivot = job.project.language, job.project.pivot
    found = [r.between(language, pivot) for r in data.records("train") if isinstance(r, Pair)]
    return Material(texts.target, [sides for sides in found if sides], [])


def _score(loaded: Loaded, texts: Sequence[str], number: int) -> list[list[float]]:
    """Bits and bytes of up to `number` texts, evenly chosen."""
    chats = [Chat(str(i), (Message("assistant", text),), "") for i, text in enumerate(evenly(texts, number))]
    with arithmetic(loaded.device):
        found = answer_nll(loaded, chats)
    return [[nats / math.log(2), float(size)] for nats, size in found]


def _value(table: Sequence[Sequence[float]]) -> float:
    return float(ratio(np.array(table).sum(axis=0))) if table else 0.0


def _difference(one: dict[str, Any], other: dict[str, Any], side: str) -> Difference:
    """Bits per byte of `one` less those of `other`; no difference where there is no text."""
    if not one[side]:
        return Difference(0.0, 0.0, 0.0, 1.0, 0)
    return paired(np.array(one[side]), np.array(other[side]), ratio)
