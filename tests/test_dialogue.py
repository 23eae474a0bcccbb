"""A conversation goes on without being read again, in the same process and in another, and says what it would have said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_families import FAMILY
from transformers import AutoConfig, AutoModelForCausalLM

from endonym.models import dialogue
from endonym.models.dialogue import Dialogues
from endonym.models.generate import Sampling, stream
from endonym.models.load import Loaded, load_model, on_bytes
from endonym.models.nets.hierarchical import HierarchicalConfig, HierarchicalForCausalLM
from endonym.types import Message

FEW = Sampling(max_new_tokens=6)


def over_bytes(seed: int = 3) -> HierarchicalForCausalLM:
    torch.manual_seed(seed)
    shape = HierarchicalConfig(hidden_size=32, head_size=16, trunk=1, trunk_size=32, chunks="dynamic", ngram_rows=64)
    return HierarchicalForCausalLM(shape).eval()


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return replace(on_bytes(tmp_path), model=over_bytes())


def talk(loaded: Loaded, turns: int, file: Path | None = None, dialogues: Dialogues | None = None) -> list[list[int]]:
    """Answers to some questions, each prompt with all that was said before; with `file` and no `dialogues`, each in a new process."""
    said: list[Message] = []
    answers = []
    for turn in range(turns):
        said.append(Message("user", f"ask {turn}: ሰላም"))
        now = dialogues or (Dialogues(loaded.model) if file else None)
        ids = list(stream(loaded, loaded.renderer.prompt_ids(said), FEW, dialogues=now, file=file))
        answers.append(ids)
        said.append(Message("assistant", loaded.renderer.decode(ids)))
    return answers


def read_in_vain(loaded: Loaded, monkeypatch) -> list[int]:
    """How many tokens each beginning read that was computed whole."""
    lengths: list[int] = []
    whole = dialogue.begin
    monkeypatch.setattr(
        dialogue, "begin", lambda model, prompts: lengths.append(len(prompts[0])) or whole(model, prompts)
    )
    return lengths


@pytest.mark.parametrize("where", ["memory", "file"])
def test_only_the_first_turn_is_read_whole(loaded, tmp_path, monkeypatch, where):
    alone = talk(loaded, 3)
    lengths = read_in_vain(loaded, monkeypatch)
    file = tmp_path / "talk.safetensors" if where == "file" else None
    assert talk(loaded, 3, file, None if file else Dialogues(loaded.model)) == alone
    assert lengths == [len(loaded.renderer.prompt_ids([Message("user", "ask 0: ሰላም")]))]
    assert file is None or (file.stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize("what", ["another model", "other settings", "another text", "broken"])
def test_a_state_that_does_not_fit_is_passed_over(loaded, tmp_path, monkeypatch, what):
    file = tmp_path / "talk.safetensors"
    alone = talk(loaded, 2)
    talk(loaded, 1, file)
    prompt = [
        Message("user", "ask 0: ሰላም"),
        Message("assistant", loaded.renderer.decode(alone[0])),
        Message("user", "x"),
    ]
    if what == "another model":
        loaded = replace(loaded, model=over_bytes(4))
    if what == "other settings":
        loaded.model.config.ngrams = [2, 3, 4, 7]
    if what == "another text":
        prompt[0] = Message("user", "bsk 0: ሰላም")
    if what == "broken":
        file.write_bytes(file.read_bytes()[:200])
    lengths = read_in_vain(loaded, monkeypatch)
    ids = loaded.renderer.prompt_ids(prompt)
    found = list(stream(loaded, ids, FEW, dialogues=Dialogues(loaded.model), file=file))
    assert lengths == [len(ids)]
    assert found == list(stream(loaded, ids, FEW))


def test_few_conversations_stay_in_memory_and_an_answer_that_failed_is_not_kept(loaded, monkeypatch):
    dialogues = Dialogues(loaded.model)
    for number in range(dialogue.MOST + 2):
        list(stream(loaded, loaded.renderer.prompt_ids([Message("user", str(number))]), FEW, dialogues=dialogues))
    assert len(dialogues._kept) == dialogue.MOST
    monkeypatch.setattr(dialogue, "MOST_TOKENS", 20)
    list(stream(loaded, loaded.renderer.prompt_ids([Message("user", "long " * 9)]), FEW, dialogues=dialogues))
    assert len(dialogues._kept) == 1
    row = dialogues._kept[0][1]
    monkeypatch.setattr(type(row), "feed", lambda *unused: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(stream(loaded, [*dialogues._kept[0][0], 9], FEW, dialogues=dialogues))
    assert not dialogues._kept


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_a_decoder_with_keys_and_values_reads_the_rest_at_once(tiny_model, family, monkeypatch):
    """Also where attention looks at a window, which the conversation outgrows."""
    loaded = load_model(tiny_model, dtype="float32")
    if family != "llama":
        torch.manual_seed(1)
        config = AutoConfig.for_model(family, **FAMILY | {"vocab_size": len(loaded.tokenizer)}, sliding_window=16)
        loaded = replace(loaded, model=AutoModelForCausalLM.from_config(config).eval())
    lengths = read_in_vain(loaded, monkeypatch)
    dice = torch.Generator().manual_seed(2)
    ids = torch.randint(len(loaded.tokenizer), (9,), generator=dice).tolist()
    dialogues = Dialogues(loaded.model)
    for several in (1, 5, 40, 2):
        answer = list(stream(loaded, ids, FEW, dialogues=dialogues))
        assert answer == list(stream(loaded, ids, FEW))
        ids = [*ids, *answer, *torch.randint(len(loaded.tokenizer), (several,), generator=dice).tolist()]
    assert lengths == [9]
