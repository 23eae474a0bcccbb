"""What the modules of a bank come to on texts that none has seen: where the router sends each text, and what is lost without a module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from endonym.data.statistics import interval, ratio
from endonym.models.adopt import arithmetic
from endonym.models.generate import alike, answer_nll, decoder, lowest
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.models.load import Loaded
    from endonym.models.nets.domain_bank import DomainBank

SHORT = 8
"""Tokens of a short prompt."""
FEW = 5
"""Texts of its own below which nothing is said of a module: an interval over so few is none."""
DEAD = 0.1
"""A module that gets less than this part of an equal share of all tokens is dead."""


@dataclass(frozen=True)
class Text:
    """A text and the module it is of, `""` where nobody says."""

    chat: Chat
    module: str


@torch.no_grad()
def read(loaded: Loaded, rows: Sequence[Sequence[int]], batch_tokens: int = 4096) -> list[torch.Tensor]:
    """What the router is given at every token of each row of ids, (tokens, D + N + 1); only the layers below it are computed."""
    network: Any = loaded.model
    bank: DomainBank = network.bank
    found: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    was_training = network.training
    network.eval()
    bank.tap = []
    try:
        with lowest(network, bank.shape.router_layer + 1):
            for some in alike([len(row) for row in rows], batch_tokens, loaded.device):
                longest = len(rows[some[-1]])
                ids = torch.tensor([[*rows[i], *[0] * (longest - len(rows[i]))] for i in some], device=loaded.device)
                decoder(network)(input_ids=ids, use_cache=False)
                for i, whole in zip(some, bank.tap.pop().view(len(some), longest, -1), strict=True):
                    found[i] = whole[: len(rows[i])].clone()
    finally:
        bank.tap = None
        network.train(was_training)
    return found


def measure(loaded: Loaded, texts: Sequence[Text]) -> dict[str, Any]:
    """Gates, routing and worth of every module on `texts`, as plain data, in the arithmetic that models answer in; see `tables`.

    Worth is what is lost in bits a UTF-8 byte of the answers when a module is switched off and the router, as it is, chooses among the
    others; 95 % bootstrap intervals over texts.
    """
    with torch.no_grad(), arithmetic(loaded.device):
        return _measured(loaded, texts)


def _measured(loaded: Loaded, texts: Sequence[Text]) -> dict[str, Any]:
    network: Any = loaded.model
    bank: DomainBank = network.bank
    network.eval()
    rows = [loaded.renderer.example(t.chat).ids for t in texts]
    features = read(loaded, rows)
    gates = _gates(bank, features)
    nats = answer_nll(loaded, [t.chat for t in texts])
    with bank.without(*bank.names, refit=False):
        plain = answer_nll(loaded, [t.chat for t in texts])
    sizes = np.array([size for _, size in nats], dtype=np.float64)
    bits = np.array([n for n, _ in nats]) / math.log(2)
    shares = torch.stack([g.mean(0) for g in gates]).cpu().numpy() if gates else np.zeros((0, len(bank.names)))
    domains = [name for name in bank.names if any(t.module == name for t in texts)]
    return {
        "texts": len(texts),
        "bits_per_byte": float(bits.sum() / sizes.sum()),
        "bits_per_byte_without_modules": float(sum(n for n, _ in plain) / math.log(2) / sizes.sum()),
        "routing": _routing(bank, loaded, texts, rows, features),
        "gates": {d: dict(zip(bank.names, _of(shares, texts, d).mean(0).round(4).tolist(), strict=True)) for d in domains},
        "modules": [_worth(bank, name, loaded, texts, features, gates, bits, sizes, shares) for name in bank.names],
    }  # fmt: skip


def _gates(bank: DomainBank, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Gates (tokens, N) of each text, the modules that are switched off left out."""
    here = torch.tensor([name not in bank.off for name in bank.names], device=bank.router.weight.device)
    if not here.any():
        return [torch.zeros(len(f), len(bank.names)) for f in features]
    return [bank.router.gates(f, bank.shape.top_k, here) for f in features]


def _of(values: Any, texts: Sequence[Text], module: str) -> Any:
    return values[[t.module == module for t in texts]]


def _worth(
    bank: DomainBank, name: str, loaded: Loaded, texts: Sequence[Text], features: Sequence[torch.Tensor],
    gates: Sequence[torch.Tensor], bits: Any, sizes: Any, shares: Any,
) -> dict[str, Any]:  # fmt: skip
    """What is lost without the module `name`; texts whose gates stay as they were are not computed again."""
    with bank.without(name, refit=False):
        other = _gates(bank, features)
        changed = [i for i, (a, b) in enumerate(zip(gates, other, strict=True)) if not a.equal(b)]
        off = answer_nll(loaded, [texts[i].chat for i in changed])
    lost = np.zeros(len(texts))
    for i, (nats, _) in zip(changed, off, strict=True):
        lost[i] = nats / math.log(2) - bits[i]
    stats = np.column_stack([lost, sizes])
    own = np.array([t.module == name for t in texts], dtype=bool)
    inside, outside = (dict(zip(("value", "low", "high"), interval(stats[w], ratio), strict=True)) for w in (own, ~own))
    about = bank.member(name).about
    share = float(shares[:, bank.names.index(name)].mean()) if len(texts) else 0.0
    return {
        **about.model_dump(exclude={"held"}), "parameters": sum(p.numel() for p in bank.member(name).parameters()),
        "texts": int(own.sum()), "share": share, "dead": share < DEAD / len(bank.names), "worth": inside, "worth_elsewhere": outside,
        "ratio": inside["value"] / abs(outside["value"]) if outside["value"] else None, "verdict": _verdict(int(own.sum()), inside),
    }  # fmt: skip


def _verdict(texts: int, worth: dict[str, float]) -> str:
    """Whether a module earns its place: more is lost without it than chance would have."""
    if texts < FEW:
        return f"not told: {texts} texts are its own"
    return "earns" if worth["low"] > 0 else "earns nothing"


def _routing(
    bank: DomainBank, loaded: Loaded, texts: Sequence[Text], rows: Sequence[Sequence[int]], features: Sequence[torch.Tensor]
) -> dict[str, Any]:  # fmt: skip
    """How often the router is right: on labelled texts, on their first tokens, on their prompts alone, on halves of two texts put together; and what it does else."""
    known = [i for i, t in enumerate(texts) if t.module in bank.names]
    rest = [i for i, t in enumerate(texts) if t.module not in bank.names]
    number = {name: n for n, name in enumerate(bank.names)}

    def top1(at: Sequence[int], states: Sequence[torch.Tensor]) -> dict[str, Any]:
        right = [_choice(bank, f) == number[texts[i].module] for i, f in zip(at, states, strict=True)]
        unsure = sum(_choice(bank, f) < 0 for f in states)
        value, low, high = interval(np.column_stack([np.array(right, float), np.ones(len(right))]), ratio)
        return {"texts": len(right), "top1": value, "low": low, "high": high, "unknown": unsure / max(1, len(right))}

    # Where an answer begins: so far the router has read what was asked, and nothing of what it is to write.
    ends = {i: len(loaded.renderer.prompt_ids(texts[i].chat.prompt)) - 1 for i in known if texts[i].chat.prompt}
    pairs = []
    for place, i in enumerate(known):
        follower = next((j for j in known[place + 1 :] + known[:place] if texts[j].module != texts[i].module), None)
        if follower is not None:
            pairs.append((i, follower))
    mixed = read(loaded, [[*rows[i][: len(rows[i]) // 2], *rows[j][len(rows[j]) // 2 :]] for i, j in pairs])
    best = [(-bank.router.scores(f[-1])).argsort()[:2].tolist() for f in mixed]
    wanted = [{number[texts[i].module], number[texts[j].module]} for i, j in pairs]
    return {
        "labelled": top1(known, [features[i][-1] for i in known]),
        "short": top1(known, [features[i][min(SHORT, len(features[i])) - 1] for i in known]),
        "prompts": top1(list(ends), [features[i][end] for i, end in ends.items()]),
        "unlabelled": {
            "texts": len(rest),
            "unknown": sum(_choice(bank, features[i][-1]) < 0 for i in rest) / max(1, len(rest)),
        },
        "mixed": {
            "texts": len(pairs),
            "first_of_the_two": sum(b[0] in w for b, w in zip(best, wanted, strict=True)) / max(1, len(pairs)),
            "both": sum(set(b) == w for b, w in zip(best, wanted, strict=True)) / max(1, len(pairs)),
        },
    }


def _choice(bank: DomainBank, feature: torch.Tensor) -> int:
    """Number of the module that a feature (D + N + 1,) is sent to, -1 for none."""
    scores = bank.router.scores(feature)
    return int(scores.argmax()) if float(scores.max()) >= float(bank.router.floor(feature)) else -1


def tables(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What `measure` found, as tables to be read: routing, then a line a module."""
    routing = found["routing"]
    lines = [
        [name, routing[name]["texts"], f"{routing[name]['top1']:.1%}", f"{routing[name]['unknown']:.1%}"]
        for name in ("labelled", "short", "prompts")
        if routing[name]["texts"]
    ]
    lines.append(["unlabelled", routing["unlabelled"]["texts"], "-", f"{routing['unlabelled']['unknown']:.1%}"])
    lines.append(["mixed", routing["mixed"]["texts"], f"{routing['mixed']['first_of_the_two']:.1%}", "-"])

    def bits(worth: dict[str, float]) -> str:
        return f"{worth['value']:+.4f} ({worth['low']:+.4f} to {worth['high']:+.4f})"

    modules = [
        [
            m["name"], m["group"], m["texts"], f"{m['share']:.1%}", bits(m["worth"]), bits(m["worth_elsewhere"]),
            "-" if m["ratio"] is None else f"{m['ratio']:.1f}", m["verdict"] + (", dead" if m["dead"] else ""),
        ]
        for m in found["modules"]
    ]  # fmt: skip
    total = f"{found['bits_per_byte']:.4f} bits a byte, {found['bits_per_byte_without_modules']:.4f} without any module"
    return [
        {"title": "Where texts go", "header": ["texts", "number", "right module", "no module"], "rows": lines},
        {
            "title": f"What is lost without a module, in bits a byte of its own texts and of others ({total})",
            "header": ["module", "group", "texts", "share", "own texts", "other texts", "own / other", ""],
            "rows": modules,
        },
    ]
