"""Ask a judge model for marks, tell how far it agrees with itself and with people."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from endonym.data.agreement import alpha, interval
from endonym.data.statistics import spearman
from endonym.errors import DataError, Problem
from endonym.grade.marks import Question
from endonym.grade.questions import rows_of_file

REFUSED = (400, 404, 415, 422, 501)
"""With these, endpoints refuse a form of reply that they do not know."""
LEAST_RATINGS = 10
"""People's marks needed before a correlation says anything."""


class JudgeError(Exception):
    """The endpoint cannot be used; the words say why."""


class _RefusedError(JudgeError):
    """It does not take the request as it is."""


def beside(name: str) -> Path:
    """A file beside the graders."""
    return Path(__file__).with_name("graders") / name


class Judge:
    """An OpenAI-compatible endpoint with a rubric. The form of the reply is asked for as a JSON schema, too, until the endpoint refuses that."""

    def __init__(self, url: str, model: str, key: str, timeout: int, rubric: Mapping[str, Any]):
        self.url = url.rstrip("/") + "/chat/completions"
        self.model, self.key, self.timeout, self.rubric = model, key, timeout, rubric
        self.asked, self.in_form, self._forced = 0, 0, True
        self.rubric_hash = hashlib.sha256(json.dumps(rubric, sort_keys=True).encode()).hexdigest()[:16]

    def ask(self, question: Question, answer: str, turn: int) -> dict[str, float | None]:
        """Marks of one round by criterion, the criteria turned by `turn` places; empty where the reply is not of the form.

        Raises JudgeError when there is no reply at all.
        """
        names = list(self.rubric["criteria"])
        names = names[turn % len(names) :] + names[: turn % len(names)]
        order = ", ".join(f'"{name}": ...' for name in names)
        system = str(self.rubric["system"]).replace("{{order}}", "{" + order + "}").strip()
        values = {
            "criteria": "\n".join(f"- {name}: {self.rubric['criteria'][name]}" for name in names),
            "question": question.question,
            "reference": " | ".join(question.references) or "none",
            "keywords": "; ".join(question.keywords) or "none",
            "answer": answer or "(empty)",
        }
        text = str(self.rubric["question"]).strip()
        for name in values:
            text = text.replace("{" + name + "}", f"\0{name}\0")
        for name, value in values.items():  # in two rounds, so that an answer cannot name a place of the form
            text = text.replace(f"\0{name}\0", value.replace("\0", " "))
        body = {
            "model": self.model, "temperature": 0, "max_tokens": 200,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": text}],
        }  # fmt: skip
        found = _marks(self._reply(body, names), names)
        self.asked, self.in_form = self.asked + 1, self.in_form + (found is not None)
        return found or {}

    def _reply(self, body: dict[str, Any], names: Sequence[str]) -> str:
        if self._forced:
            try:
                return self._post(body | {"response_format": _schema(names)})
            except _RefusedError:
                self._forced = False
        return self._post(body)

    def _post(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                data = json.load(reply)
            return str(data["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            raise (_RefusedError if error.code in REFUSED else JudgeError)(
                f"the judge at {self.url} answered {error.code} {error.reason}"
            ) from error
        except (OSError, ValueError) as error:
            raise JudgeError(f"the judge at {self.url} cannot be reached: {error}") from error
        except (KeyError, IndexError, TypeError) as error:
            raise JudgeError(f"what answers at {self.url} is no chat endpoint") from error


def _schema(names: Sequence[str]) -> dict[str, Any]:
    """The form of a reply as `response_format` names it."""
    marks = {name: {"type": ["integer", "null"]} for name in names}
    schema = {"type": "object", "properties": marks, "required": list(names), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "marks", "strict": True, "schema": schema}}


def _marks(reply: str, names: Sequence[str]) -> dict[str, float | None] | None:
    """The marks of a reply, without those that are no mark; None where the reply is not of the form."""
    start, end = reply.find("{"), reply.rfind("}")
    try:
        data = json.loads(reply[start : end + 1])
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    fitting = {n: data.get(n) for n in names}
    return {
        name: float(value)
        for name, value in fitting.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    }


def agreement(rounds: Sequence[Sequence[Mapping[str, float | None]]], names: Sequence[str]) -> dict[str, Any]:
    """By criterion how many answers were marked in several rounds, how far apart their rounds are at most on average, and Krippendorff's
    alpha of the rounds: 1 is full agreement, 0 what chance gives, None where all marks are the same."""
    found = {}
    for name in names:
        told = [[v for r in answer if (v := r.get(name)) is not None] for answer in rounds]
        several = [values for values in told if len(values) > 1]
        gaps = [max(values) - min(values) for values in several]
        sure = alpha(several, interval)
        found[name] = {
            "n": len(several),
            "mean_gap": round(sum(gaps) / len(gaps), 2) if gaps else None,
            "alpha": None if sure is None else round(sure, 3),
        }
    return found


def against_people(judge: Judge, file: Path, rounds: int) -> dict[str, Any]:
    """Rank correlation (Spearman) of the judge's marks with people's, and of how many of the ratings it is; None where the judge marked
    fewer than ten of them, or where one side is all alike."""
    people, machine, rated = [], [], list(rows_of_file(file))
    for number, row in rated:
        name = str(row.get("criterion") or "accuracy")
        try:
            rating = float(row["rating"])
            asked, answer = str(row["question"]), str(row["answer"])
        except (KeyError, ValueError) as error:
            what = f"a rating needs question, answer and a number as rating ({error})"
            raise DataError(Problem(file.name, number, "rating", what, "fill them in")) from error
        references = (str(row["reference"]),) if row.get("reference") else ()
        marks = [judge.ask(Question("", asked, (), references), answer, turn).get(name) for turn in range(rounds)]
        values = [v for v in marks if v is not None]
        if values:
            people.append(rating)
            machine.append(sum(values) / len(values))
    found = spearman(people, machine) if len(people) >= LEAST_RATINGS else None
    return {"ratings": len(rated), "n": len(people), "correlation": None if found is None else round(found, 3)}
