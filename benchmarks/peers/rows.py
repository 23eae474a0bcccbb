"""The rows that all systems train on: short translations out of a dictionary's examples, or conversations from a file."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from endonym import plugins
from endonym.retrieve.context import Context, read_prompts
from endonym.types import Pair

Messages = list[dict[str, str]]


def tseltal(folder: Path, train: int, valid: int, seed: int) -> tuple[list[Messages], list[Messages]]:
    """`train` and `valid` translation chats without hints, both directions of each sentence pair; no pair is on both sides.

    `folder` is a project whose first source is a dictionary with examples. Raises SystemExit when it has too few.
    """
    project = tomllib.loads((folder / "endonym.toml").read_text(encoding="utf-8"))
    source = project["sources"][0]
    reader = plugins.load("reader", source["reader"])
    about = project["project"]
    cfg = reader.Config(**{"language": about["language"], "pivot": about["pivot"], **source["settings"]})
    read = (record for name in source["files"] for record in reader.read(folder / name, cfg))
    pairs, met = [], set()
    for record in read:
        if isinstance(record, Pair) and record.source and record.target and not met & {record.source, record.target}:
            pairs.append(record)
            met |= {record.source, record.target}
    random.Random(seed).shuffle(pairs)
    task = plugins.load("task", "translate")
    context = Context(
        folder, about["language"], about["pivot"], {"translate": (task, task.Config(hints="none"))},
        {"translate": read_prompts("translate", task, folder)},
    )  # fmt: skip
    chats = [
        [{"role": m.role, "content": m.content} for m in chat.messages]
        for pair in pairs
        for chat in context.compose(pair, "translate")
    ]
    # Each pair gives two rows, so an odd number of training rows leaves one out before the validation rows begin.
    begin = train + train % 2
    return enough(chats[:train], chats[begin : begin + valid], train, valid)


def from_file(path: Path, train: int, valid: int, seed: int) -> tuple[list[Messages], list[Messages]]:
    """`train` and `valid` different conversations of a JSONL file of `{"messages": [...]}` lines, in random order."""
    with path.open(encoding="utf-8") as file:
        # Not splitlines(), which also divides at U+2028 and U+0085: JSON may have them inside a text.
        lines = list(dict.fromkeys(line.strip() for line in file if line.strip()))
    random.Random(seed).shuffle(lines)
    chats: list[Messages] = [json.loads(line)["messages"] for line in lines]
    for chat in chats:
        said = [message["role"] for message in chat]
        if said.count("assistant") != 1 or said[-1] != "assistant" or said[:-1] not in (["user"], ["system", "user"]):
            raise SystemExit(f"{path}: a row has the turns {said}; systems agree only on one question with one answer")
    return enough(chats[:train], chats[train : train + valid], train, valid)


def enough(
    train: list[Messages], valid: list[Messages], num_train: int, num_valid: int
) -> tuple[list[Messages], list[Messages]]:
    if len(train) < num_train or len(valid) < num_valid:
        have = len(train) + len(valid)
        raise SystemExit(f"there are {have} rows, {num_train + num_valid} are asked for: lower --rows or --valid-rows")
    return train, valid


def repeated(rows: Sequence[Messages], number: int, seed: int) -> list[Messages]:
    """`number` rows: all of them in random order, again and again. Systems see this list once, in whatever order they like."""
    dice, drawn = random.Random(seed), []
    while len(drawn) < number:
        drawn += dice.sample(list(rows), len(rows))
    return drawn[:number]


def write(path: Path, rows: Sequence[Any]) -> None:
    """Write rows as `{"messages": [...]}` lines."""
    path.write_text("".join(json.dumps({"messages": r}, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
