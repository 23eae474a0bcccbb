"""What a model has read of conversations, kept so that their next turn reads only what is new."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from endonym.models.decoding import Decoding, begin
from endonym.models.nets.banked import hash_of

MOST = 4
"""Conversations whose states stay in memory, the last used."""
MOST_TOKENS = 8192
"""Of all these together, but for the last one."""


class Dialogues:
    """States of conversations with one model; a conversation is known by how its tokens begin.

    Of networks over bytes a state can be kept in a file as well, so that a dialogue goes on where it was in another process.
    Call inside `torch.inference_mode`.
    """

    def __init__(self, model: Any):
        self._model = model
        self._kept: list[tuple[list[int], Decoding]] = []
        self._hash = ""

    def begin(self, prompt: Sequence[int], file: Path | None = None) -> Decoding:
        """The row of `prompt`, of which only what no kept state holds is computed; that state is given away."""
        prompt = list(prompt)
        known = [one for one in self._kept if prompt[: len(one[0])] == one[0]]
        if known:
            found = max(known, key=lambda one: len(one[0]))
            self._kept.remove(found)
            read, row = found
        else:
            stored = self._stored(file, prompt) if file is not None else None
            if stored is None:
                return begin(self._model, [prompt])
            read, row = stored
        if len(prompt) > len(read):
            row.extend(torch.tensor(prompt[len(read) :], device=row.logits.device))
        return row

    def keep(self, ids: Sequence[int], row: Decoding, file: Path | None = None) -> None:
        """Remember the row that has read `ids`, in `file` too where that is given and possible."""
        self._kept = [one for one in self._kept if one[0] != list(ids)] + [(list(ids), row)]
        while len(self._kept) > 1 and (
            len(self._kept) > MOST or sum(len(read) for read, _ in self._kept) > MOST_TOKENS
        ):
            self._kept.pop(0)
        if file is not None and hasattr(row, "state"):
            state = {name: one.contiguous() for name, one in row.state().items()}
            temporary = file.with_suffix(".part")
            save_file({**state, "ids": torch.tensor(ids)}, temporary, metadata={"model": self._model_hash()})
            temporary.chmod(0o600)
            os.replace(temporary, file)

    def _stored(self, file: Path, prompt: list[int]) -> tuple[list[int], Decoding] | None:
        """The row in `file`; None where it is of another model or another text, or broken: then all is read again."""
        if not hasattr(self._model, "restored") or not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt", device=str(self._model.device)) as opened:
                read = opened.get_tensor("ids").tolist()
                if (opened.metadata() or {}).get("model") != self._model_hash() or prompt[: len(read)] != read:
                    return None
                state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return read, self._model.restored(state)
        except (OSError, SafetensorError, KeyError):
            return None

    def _model_hash(self) -> str:
        """Of the weights and of the settings."""
        if not self._hash:
            settings = json.dumps(self._model.config.to_dict(), sort_keys=True, default=str)
            self._hash = f"{hash_of(self._model)} {hashlib.sha256(settings.encode()).hexdigest()}"
        return self._hash
