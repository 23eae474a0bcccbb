"""Translate text that has no translation with the project's own model, and learn to translate back from there.

What a person wrote is always the side that is learned; the model's translation is only asked about. A translation is used when it
is neither much shorter nor longer than translations are, when the lexicon finds enough of the text's words in it, and when the
model, asked to translate it back, comes near enough to the text.
Sennrich, Haddow and Birch, Improving Neural Machine Translation Models with Monolingual Data (ACL 2016).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym.augment.material import Context, made_pair
from endonym.data.lexicon import Lexicon, words
from endonym.data.near_dup import normalise
from endonym.data.sentences import sentences
from endonym.types import Doc, Pair, Record

if TYPE_CHECKING:
    from endonym.models.load import Loaded
    from endonym.retrieve.context import Context as Prompts

REQUIRES = {"torch": "train", "transformers": "train"}
INPUTS = {"model": "model"}
BATCHES = 4
"""Of so many batches the sentences are translated in the order of their length, so that few wait for a longer one."""


class Config(BaseModel):
    """Settings of back-translation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: int = Field(500, ge=1, description="Sentences that are translated, spread over both languages, at most.")
    shortest: int = Field(3, ge=1, description="Words a sentence has at least.")
    longest: int = Field(30, ge=1, description="Words a sentence has at most.")
    deviations: float = Field(2.0, gt=0, description="How unusual the ratio of lengths may be, in standard deviations.")
    coverage: float = Field(
        0.3, ge=0, le=1, description="Share of the text's known words whose translation must be in the translation."
    )
    round_trip: float = Field(
        20.0,
        ge=0,
        le=100,
        description="Least chrF++ between the text and its translation translated back; 0 asks nothing.",
    )
    max_new_tokens: int = Field(96, ge=1, description="Longest translation, in tokens.")
    batch_size: int = Field(16, ge=1, description="Sentences translated together.")


def grow(records: Sequence[Record], cfg: Config, context: Context) -> Iterator[Pair]:
    """Pairs of a real sentence and the model's translation of it, asked from the translation to the sentence."""
    found = {code: _sentences(records, code, cfg, context) for code in (context.language, context.pivot)}
    each = {code: texts[: cfg.most] for code, texts in found.items()}
    if all(each.values()):
        each = {code: texts[: cfg.most // 2 or 1] for code, texts in each.items()}
    if not any(each.values()):
        context.log("back_translate: no training text is without a translation")
        return
    translator = Translator(cfg, context)
    for code, docs in each.items():
        if not docs:
            continue
        other = context.pivot if code == context.language else context.language
        yield from _translated(docs, code, other, records, translator, cfg, context)


def _sentences(records: Sequence[Record], code: str, cfg: Config, context: Context) -> list[tuple[Doc, str]]:
    """Sentences of the language that stand in no pair, in random order."""
    known = {
        normalise(text) for r in records if isinstance(r, Pair) for language, text in r.texts() if language == code
    }
    found: dict[str, tuple[Doc, str]] = {}
    for record in records:
        if isinstance(record, Doc) and record.language == code:
            for sentence in sentences(record.text):
                text, key = " ".join(sentence.split()), normalise(sentence)
                if key not in known and cfg.shortest <= len(words(text)) <= cfg.longest:
                    found.setdefault(key, (record, text))
    # By a number of its own for each, so that one text more or less leaves the others where they are.
    return [found[key] for key in sorted(found, key=lambda key: context.random(f"back_translate:{key}").random())]


def _translated(
    docs: Sequence[tuple[Doc, str]],
    code: str,
    other: str,
    records: Sequence[Record],
    translator: Translator,
    cfg: Config,
    context: Context,
) -> Iterator[Pair]:
    """Translate sentences from `code` into `other`, leave out what is not adequate, and give the rest as `other>code`."""
    adequate = Adequate([sides for r in records if isinstance(r, Pair) and (sides := r.between(code, other))], cfg)
    refused = {"length": 0, "lexicon": 0, "round trip": 0}
    made = 0
    context.tick(0, len(docs))
    for start in range(0, len(docs), BATCHES * cfg.batch_size):
        part = docs[start : start + BATCHES * cfg.batch_size]
        answers = translator.ask([text for _, text in part], f"{code}>{other}")
        if context.cancelled():
            return
        kept = []
        for (doc, text), answer in zip(part, answers):
            reason = adequate.why_not(text, answer)
            refused |= {reason: refused[reason] + 1} if reason else {}
            kept += [] if reason else [(doc, text, answer)]
        if cfg.round_trip and kept:
            returned = translator.ask([answer for *_, answer in kept], f"{other}>{code}")
            if context.cancelled():
                return
            near = [_chrf(back, text) >= cfg.round_trip for back, (_, text, _) in zip(returned, kept)]
            refused["round trip"] += near.count(False)
            kept = [one for one, good in zip(kept, near) if good]
        for doc, text, answer in kept:
            made += 1
            like = Pair("", "", "", other, code, doc.origin)
            said = [{"from": [text], "to": [answer]}]
            yield made_pair("back_translate", like, {code: text, other: answer}, [doc], said, f"{other}>{code}")
        context.tick(start + len(part), len(docs))
    left = ", ".join(f"{number} for {why}" for why, number in refused.items())
    context.log(
        f"back_translate: of {len(docs)} sentences in '{code}' {made} were translated well enough; left out: {left}"
    )


class Translator:
    """The project's model, asked in both directions.

    What it answered stays in a file beside it, for another trial and for what follows an interruption.
    """

    def __init__(self, cfg: Config, context: Context):
        from endonym.models.load import load_artifact
        from endonym.retrieve.context import Context as Prompts

        assert context.model is not None and context.chats is not None
        self.loaded = load_artifact(context.model)
        self.prompts = Prompts.load(context.chats, context.project)
        self.cfg, self.known = cfg, context.memory
        self.file = context.model.parent / f"translations-{context.chats.parent.name}-{cfg.max_new_tokens}.jsonl"
        if self.file.is_file():
            for line in self.file.read_bytes().split(b"\n"):
                try:
                    direction, text, answer = json.loads(line)
                except ValueError:
                    continue  # Empty, or cut by the interruption.
                self.known[direction, text] = answer

    def ask(self, texts: Sequence[str], direction: str) -> list[str]:
        """The translation of every text, each only translated once."""
        new = [text for text in dict.fromkeys(texts) if (direction, text) not in self.known]
        if new:
            answers = _answers(self.loaded, self.prompts, new, direction, self.cfg)
            self.known.update(zip([(direction, text) for text in new], answers, strict=True))
            rows = [json.dumps([direction, *row], ensure_ascii=False) for row in zip(new, answers)]
            with self.file.open("a", encoding="utf-8") as file:
                file.write("\n" + "\n".join(rows))
        return [self.known[direction, text] for text in texts]


class Adequate:
    """Tells translations that can be right from those that cannot, by the training pairs' lengths and lexicon."""

    def __init__(self, pairs: Sequence[tuple[str, str]], cfg: Config):
        ratios = [math.log(len(b) / len(a)) for a, b in pairs if a and b] or [0.0]
        self.middle, self.width = fmean(ratios), max(pstdev(ratios), 0.1)
        self.lexicon = Lexicon.learn([(a.casefold(), b.casefold()) for a, b in pairs])
        self.cfg = cfg

    def why_not(self, text: str, translation: str) -> str:
        """`length` or `lexicon` where a translation is not credible, else an empty text."""
        ratio = math.log(max(1, len(translation)) / len(text))
        if abs(ratio - self.middle) > self.cfg.deviations * self.width:
            return "length"
        if normalise(text) == normalise(translation):
            return "lexicon"
        there = set(words(translation.casefold()))
        known = [word for word in words(text.casefold()) if word in self.lexicon]
        hits = sum(any(other in there for other, _ in self.lexicon.best(word, 5)) for word in known)
        return "lexicon" if known and hits / len(known) < self.cfg.coverage else ""


def _answers(loaded: Loaded, prompts: Prompts, texts: Sequence[str], direction: str, cfg: Config) -> list[str]:
    from endonym.models.generate import Sampling, generate_batch

    asked = [loaded.renderer.prompt_ids(prompts.chat_for("translate", text, direction).prompt) for text in texts]
    found = generate_batch(loaded, asked, Sampling(max_new_tokens=cfg.max_new_tokens), batch_size=cfg.batch_size)
    return [" ".join(answers[0].split()) for answers in found]


def _chrf(text: str, reference: str) -> float:
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF(word_order=2).sentence_score(text, [reference]).score)
