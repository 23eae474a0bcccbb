"""The official client, unchanged: files, fine-tuning, events, checkpoints, and a chat with what was learned."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from conftest import Studio

SETTINGS = {
    "maxSteps": 3, "evalSteps": 3, "saveSteps": 3, "warmupSteps": 1, "loggingSteps": 1, "maxTokens": 6, "languageQuestions": 2,
    "testItems": 2, "testSamples": 0, "exports": ["adapter"], "rank": 2,
}  # fmt: skip

HYPERPARAMETERS: Any = {"n_epochs": 1, "batch_size": 4, "learning_rate_multiplier": 100}
"""So much that three steps change what is answered: equal answers are not rated."""


@pytest.fixture
def client(studio: Studio) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{studio.base}/v1", api_key=studio.token, max_retries=0, timeout=600)


@pytest.fixture
def conversations(tmp_path: Path, tseltal: list[tuple[str, str]]) -> Path:
    """Real sentences as conversations, in the file format of OpenAI."""
    lines = [
        json.dumps({"messages": [{"role": "user", "content": source}, {"role": "assistant", "content": target}]})
        for source, target in tseltal[:80]
    ]
    path = tmp_path / "conversations.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def wait(client: openai.OpenAI, ident: str, *states: str) -> Any:
    until = time.monotonic() + 900
    while time.monotonic() < until:
        job = client.fine_tuning.jobs.retrieve(ident)
        if job.status in states:
            return job
        assert job.status not in ("failed", "cancelled", "succeeded"), job.error
        time.sleep(0.3)
    raise AssertionError(f"still {job.status}")


def test_files_are_kept_listed_and_removed(client: openai.OpenAI, conversations: Path):
    file = client.files.create(file=conversations, purpose="fine-tune")
    assert (file.filename, file.bytes, file.purpose) == (
        "conversations.jsonl",
        conversations.stat().st_size,
        "fine-tune",
    )
    assert file.id in [one.id for one in client.files.list(purpose="fine-tune")]
    assert client.files.retrieve(file.id).id == file.id
    assert client.files.content(file.id).read() == conversations.read_bytes()
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=conversations, purpose="assistants")


def test_from_a_file_to_a_chat(client: openai.OpenAI, conversations: Path, tiny_model: Path, studio: Studio):
    file = client.files.create(file=conversations, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=str(tiny_model), training_file=file.id, suffix="mi tseltal", seed=3, metadata={"language": "tzh"},
        method={"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}},
        extra_body={"endonym": SETTINGS},
    )  # fmt: skip
    assert job.id in [one.id for one in client.fine_tuning.jobs.list()]
    assert client.fine_tuning.jobs.pause(job.id).id == job.id
    wait(client, job.id, "paused")
    client.fine_tuning.jobs.resume(job.id)
    done = wait(client, job.id, "succeeded")
    assert done.method.supervised.hyperparameters.n_epochs == 1
    assert done.trained_tokens > 0
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=10))
    assert len({one.id for one in events}) == len(events) > 20
    assert {one.type for one in events} == {"message", "metrics"}
    numbers = [int(one.id.rpartition("-")[2]) for one in events]
    assert numbers == sorted(numbers, reverse=True)
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert checkpoint.fine_tuned_model_checkpoint == done.fine_tuned_model
    assert checkpoint.metrics.valid_loss > 0
    assert done.fine_tuned_model in [one.id for one in client.models.list()]
    assert client.models.retrieve(done.fine_tuned_model).id == done.fine_tuned_model
    chat: list[Any] = [{"role": "user", "content": "agua"}]
    whole = client.chat.completions.create(model=done.fine_tuned_model, messages=chat, max_tokens=8)
    assert 1 <= whole.usage.completion_tokens <= 8
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model=done.fine_tuned_model, messages=chat, max_tokens=8, stream=True, stream_options=options
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    shown_and_rated(studio, done.fine_tuned_model)


def shown_and_rated(studio: Studio, model: str) -> None:
    """The same job as the studio shows it: nine steps, and answers to be rated that become preferences."""
    _, _, project, trained = model.split(":")
    with studio.program() as program:
        program.base_url = f"{studio.base}/api/v1/projects/{project}"
        (lesson,) = program.get("/jobs", params={"verb": "teach"}).json()["jobs"]
        states = {one["verb"]: one["state"] for one in program.get("/jobs").json()["jobs"]}
        assert set(states.values()) == {"succeeded"}, states
        steps = program.get(f"/jobs/{lesson['id']}/steps").json()["steps"]
        assert [one["n"] for one in steps] == list(range(9))
        assert {one["state"] for one in steps} <= {"completed", "skipped"}
        assert set(lesson["children"]) >= {one["job"] for one in steps if one["job"]}
        shown = program.get("/ratings/next", params={"rater": "Ana", "b": trained}).json()
        program.post("/ratings", json={"id": shown["id"], "choice": "right"})
        lines = program.get("/ratings/preferences.jsonl").text.splitlines()
        (made,) = map(json.loads, lines)
        assert (made["chosen"], made["rejected"]) == (shown["right"]["text"], shown["left"]["text"])


def test_a_job_can_be_ended(client: openai.OpenAI, conversations: Path, tiny_model: Path):
    file = client.files.create(file=conversations, purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=str(tiny_model), training_file=file.id, extra_body={"endonym": SETTINGS})
    client.fine_tuning.jobs.cancel(job.id)
    assert wait(client, job.id, "cancelled").fine_tuned_model is None
    assert list(client.fine_tuning.jobs.checkpoints.list(job.id)) == []


def test_what_cannot_be_done_is_said(client: openai.OpenAI, conversations: Path, tiny_model: Path, tmp_path: Path):
    file = client.files.create(file=conversations, purpose="fine-tune")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "user", "content": "x"}]}\n{"no": 1}\n')
    wrong = client.files.create(file=bad, purpose="fine-tune")
    base: Any = {"model": str(tiny_model), "training_file": file.id}
    for changed, error in (
        ({"training_file": wrong.id}, openai.BadRequestError), ({"training_file": "file-0"}, openai.NotFoundError),
        ({"model": "gpt-4o-mini"}, openai.BadRequestError), ({"validation_file": file.id}, openai.UnprocessableEntityError),
        ({"method": {"type": "dpo"}}, openai.UnprocessableEntityError), ({"extra_body": {"endonym": {"rnak": 1}}}, openai.UnprocessableEntityError),
    ):  # fmt: skip
        with pytest.raises(error):
            client.fine_tuning.jobs.create(**{**base, **changed})
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="ft:x:nothing:1", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.retrieve("ftjob-0")
