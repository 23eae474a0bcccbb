"""Domain modules against their goals: what 37 of them cost a forward pass, and whether they route, help their own, and leave the others alone.

    python benchmarks/modules.py cost [--base smollm2-135m] [--json]
    python benchmarks/modules.py domains [--domains 37] [--json]

`cost` times a forward pass of 2 rows of 128 tokens, in CPU seconds of one thread, on a random network of DistilGPT2's shape (rank 64) or on
a base (rank 8), without a bank and with 37 modules, while 1, 4 or all of them take part.

`domains` makes texts of synthetic domains that share their words and a grammar (which word follows which, in a quarter of the places) and
differ in how often each word is used and in what follows it in another quarter. General text has the grammar in half of its places. A base
that is to be the base of anything must have learned something: it is trained on general texts and on other texts of all domains, one part
of five, until it knows the grammar. Then the router is fitted, the modules are trained until texts kept apart for that get worse, and all
is measured on texts that were used for none of it. The peer in routing is TF-IDF with logistic regression, scikit-learn's where it is
installed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from endonym.models.load import Loaded, load_model
from endonym.models.nets.banked import attach
from endonym.models.nets.domain_bank import About, DomainBank, Shape
from endonym.models.nets.worth import read
from endonym.models.render import Example
from endonym.train.batches import micro_batches, pack
from endonym.train.domains import learn_general, learn_router
from endonym.train.losses import next_token
from endonym.train.network import ready

WORDS, SHORTEST, TOKENS = 240, 32, 64
HELD = 48
"""Texts of each domain that are measured on: of twelve, one that goes another way moves the mean by more than a goal allows."""
RATE = 3e-3
"""Learning rate of the synthetic base; of its modules it is twice that, chosen with --seed 7."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was measured, a line a number."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["cost", "domains"])
    parser.add_argument(
        "--base", default="", help="For cost: a base model; else a random network of DistilGPT2's shape."
    )
    parser.add_argument("--domains", type=int, default=37)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    found = cost(options.base) if options.what == "cost" else domains(options.domains, options.epochs, options.seed)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(f"{name:42} {value}" for name, value in found.items()))
    return 0


def cost(base: str) -> dict[str, Any]:
    """Seconds of a forward pass without modules, and how many times that with 37 resident."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model: Any = load_model(base, dtype="float32").model if base else GPT2LMHeadModel(GPT2Config(n_layer=6)).eval()
    rank, depth = (8 if base else 64), model.config.num_hidden_layers
    ids = torch.randint(1000, (2, 128))

    def once() -> None:
        model(input_ids=ids, use_cache=False)

    with torch.no_grad():
        plain = fastest(once)
        numbers = sum(p.numel() for p in model.parameters())
        bank = attach(model, Shape(router_layer=depth // 5))
        for n in range(37):
            member = bank.add(About(name=f"m{n:02}", layers=list(range(depth // 5, depth)), rank=rank))
            member.evidence.learn(torch.randn(8, bank.width), torch.randn(2, bank.width))
            for p in member.parameters():
                p.normal_(0, 0.01)
        began = time.process_time()
        bank.solve()
        found = {"parameters of the base": numbers, "of 37 modules": bank.num_weights, "seconds to solve the router": time.process_time() - began,
                 "seconds a forward pass": plain}  # fmt: skip
        for number in (1, 4, 37):
            taking = torch.zeros(256, 37)
            taking[torch.arange(256), torch.arange(256) * number // 256] = 1
            bank.router.gates = lambda *given, gates=taking: gates  # type: ignore[method-assign]
            found[f"times that, {number} taking part"] = fastest(once) / plain
    return found


def fastest(work: Callable[[], object], times: int = 7) -> float:
    """CPU seconds of the fastest of several runs after a first one."""
    work()
    best = math.inf
    for _ in range(times):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


class Domain:
    """A way of writing: how often each word is used, and what follows each beside what the grammar has follow it."""

    def __init__(self, dice: torch.Generator, grammar: torch.Tensor, plain: bool = False):
        self.dice, self.grammar = dice, grammar
        weights = torch.rand(WORDS, generator=dice).pow(1 if plain else 6) + 0.02
        self.often = weights / weights.sum()
        self.next = grammar if plain else torch.randint(WORDS, (WORDS,), generator=dice)

    def texts(self, number: int, domain: int = -1) -> list[Example]:
        """Rows of `SHORTEST` to `TOKENS` words."""
        rows = []
        for _ in range(number):
            length = int(torch.randint(SHORTEST, TOKENS, (), generator=self.dice))
            free = torch.multinomial(self.often, length, replacement=True, generator=self.dice).tolist()
            bound = torch.rand(length, generator=self.dice).tolist()
            ids = [free[0]]
            for t in range(1, length):
                table = self.grammar if bound[t] < 0.25 else self.next
                ids.append(int(table[ids[-1]]) if bound[t] < 0.5 else free[t])
            rows.append(Example(ids, list(ids), domain=domain))
        return rows


def domains(number: int, epochs: int, seed: int) -> dict[str, Any]:
    """Route, train and take away `number` modules, then add one more."""
    dice = torch.Generator().manual_seed(seed)
    grammar = torch.randint(WORDS, (WORDS,), generator=dice)
    general = Domain(dice, grammar, plain=True)
    kinds = [Domain(dice, grammar) for _ in range(number + 1)]
    began = time.process_time()
    loaded = base_on(general.texts(1500) + [row for kind in kinds for row in kind.texts(20)])
    model: Any = loaded.model
    bank = attach(model, Shape(router_layer=1))
    names = [f"d{n:02}" for n in range(number + 1)]
    learned = {name: kind.texts(60, n) for n, (name, kind) in enumerate(zip(names, kinds, strict=True))}
    held = {name: kind.texts(HELD, n) for n, (name, kind) in enumerate(zip(names, kinds, strict=True))}
    unseen = general.texts(200)
    found: dict[str, Any] = {"base, CPU seconds to train": time.process_time() - began}
    found["base, nats a token of general text (it knows nothing at)"] = [nats(loaded, unseen), math.log(WORDS)]
    began = time.process_time()
    for name in names[:-1]:
        add(loaded, bank, name, learned[name])
    shown = [row.ids for row in general.texts(200)]
    learn_general(bank, shown, read(loaded, shown))
    checked = {name: kind.texts(8, n) for n, (name, kind) in enumerate(zip(names, kinds, strict=True))}
    bank.solve()
    found["router, CPU seconds to fit"] = time.process_time() - began
    own = [(row, n) for n, name in enumerate(names[:-1]) for row in held[name]]
    labels = torch.tensor([n for _, n in own])
    for what, cut in (("whole texts", TOKENS), ("16 tokens", 16), ("8 tokens", 8)):
        ends = torch.stack([f[-1] for f in read(loaded, [r.ids[:cut] for r, _ in own])])
        right = bank.router.scores(ends).argmax(-1) == labels
        found[f"router, right module, {what}"] = float(right.float().mean())
        found[f"router, told to be of no module, {what}"] = none(bank, ends)
        found[f"TF-IDF with logistic regression, {what}"] = tfidf([learned[n] for n in names[:-1]], own, cut)
        found[f"general texts told to be of no module, {what}"] = none(
            bank, torch.stack([f[-1] for f in read(loaded, [r.ids[:cut] for r in unseen])])
        )
    halves = [
        (own[i][0].ids[: TOKENS // 3] + own[-1 - i][0].ids[-TOKENS // 3 :], {own[i][1], own[-1 - i][1]})
        for i in range(len(own) // 2)
    ]
    two = [bank.router.scores(f[-1]).topk(2).indices.tolist() for f in read(loaded, [ids for ids, _ in halves])]
    found["router, mixed texts, the first is one of the two"] = mean(
        t[0] in w for t, (_, w) in zip(two, halves, strict=True)
    )
    found["router, mixed texts, both"] = mean(set(t) == w for t, (_, w) in zip(two, halves, strict=True))

    before = {name: nats(loaded, held[name]) for name in names}
    plain = nats(loaded, unseen)
    learn(loaded, bank, names[:-1], learned, checked, epochs)
    after = {name: nats(loaded, held[name]) for name in names}
    found["nats a token of own texts, base"] = mean(before[n] for n in names[:-1])
    found["nats a token of own texts, with modules"] = mean(after[n] for n in names[:-1])
    found["texts of no domain get worse by"] = nats(loaded, unseen) / plain - 1
    ratios, earning = [], 0
    for name in names[:-1]:
        with bank.without(name, refit=False):
            lost = {n: nats(loaded, held[n]) - after[n] for n in names[:-1]}
        elsewhere = mean(lost[n] for n in names[:-1] if n != name)
        earning += lost[name] > 0
        ratios.append(lost[name] / abs(elsewhere) if elsewhere else math.inf)
    found[f"modules of {number} that earn"] = earning
    found[f"modules of {number} worth 3 times as much to their own"] = sum(r >= 3 for r in ratios)
    found["own to other, the middle one"] = sorted(ratios)[number // 2]

    add(loaded, bank, names[-1], learned[names[-1]])
    bank.solve()
    learn(loaded, bank, names[-1:], learned, checked, epochs)
    moved = [nats(loaded, held[n]) / after[n] - 1 for n in names[:-1]]
    found["one module more moves the others by, mean"] = mean(moved)
    found["one module more moves the others by, most"] = max(moved)
    found["and its own texts from, to"] = [after[names[-1]], nats(loaded, held[names[-1]])]
    return found


def base_on(rows: Sequence[Example]) -> Loaded:
    """A small network trained on general texts, and some of all domains."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=192, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=128, attn_implementation="sdpa",
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    nothing: Any = None
    loaded = ready(Loaded(model, nothing, nothing, Path(), torch.device("cpu")), model)
    descend(model, list(model.parameters()), rows, 5, RATE)
    return loaded


def add(loaded: Loaded, bank: DomainBank, name: str, rows: Sequence[Example]) -> None:
    """A new module that the router knows by these rows."""
    bank.add(About(name=name, layers=[1, 2], rank=4))
    ids = [row.ids for row in rows]
    learn_router(bank, name, ids, read(loaded, ids))


def learn(
    loaded: Loaded,
    bank: DomainBank,
    names: Sequence[str],
    learned: Mapping[str, Sequence[Example]],
    checked: Mapping[str, Sequence[Example]],
    epochs: int,
) -> None:
    """Train these modules on their rows, everything else frozen, and leave them as they were after the epoch in which further rows of
    theirs were told best, as a run does with its validation texts."""
    model: Any = loaded.model
    model.requires_grad_(False)
    bank.taught = True
    weights = [p for name in names for p in bank.member(name).requires_grad_(True).parameters()]
    held = [row for name in names for row in checked[name]]
    found: list[tuple[float, list[torch.Tensor]]] = []

    def check() -> None:
        found.append((nats(loaded, held), [w.detach().clone() for w in weights]))

    descend(model, weights, [row for name in names for row in learned[name]], epochs, 2 * RATE, check)
    for weight, best in zip(weights, min(found, key=lambda pair: pair[0])[1], strict=True):
        weight.data.copy_(best)


def descend(
    model: Any,
    weights: list[Any],
    rows: Sequence[Example],
    epochs: int,
    rate: float,
    check: Callable[[], object] = lambda: None,
) -> None:
    """AdamW over the rows in random order, 64 a step; `check` is called after every epoch."""
    optimizer = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.99))
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(epoch)).tolist()
        for start in range(0, len(order), 64):
            batch = pack([rows[i] for i in order[start : start + 64]], torch.device("cpu"))
            (next_token(model, batch) / batch.num_learned).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        model.eval()
        check()


@torch.no_grad()
def nats(loaded: Loaded, rows: Sequence[Example]) -> float:
    """Nats a token, each text going where the router sends it."""
    packs = [pack(part, torch.device("cpu")) for part in micro_batches(rows, 2048)]
    return sum(float(next_token(loaded.model, p)) for p in packs) / sum(p.num_learned for p in packs)


def none(bank: DomainBank, features: torch.Tensor) -> float:
    """Share of features (texts, D) that go to no module."""
    return float((bank.router.scores(features).amax(-1) < bank.router.floor(features)).float().mean())


def mean(values: Any) -> float:
    """Their mean."""
    found = list(values)
    return sum(found) / len(found)


def tfidf(learned: Sequence[Sequence[Example]], own: Sequence[tuple[Example, int]], cut: int) -> float:
    """Share of texts that logistic regression on TF-IDF gives to their domain."""

    def counts(rows: Sequence[Example]) -> torch.Tensor:
        return torch.stack([torch.bincount(torch.tensor(row.ids[:cut]), minlength=WORDS) for row in rows]).float()

    # Fitted to whole texts, and asked about these and about their beginnings.
    known = torch.cat([counts(rows) for rows in learned])
    labels = torch.cat([torch.full((len(rows),), n) for n, rows in enumerate(learned)])
    rarity = torch.log((1 + len(known)) / (1 + (known > 0).sum(0))) + 1
    features = torch.nn.functional.normalize(known * rarity, dim=-1)
    asked = torch.nn.functional.normalize(counts([row for row, _ in own]) * rarity, dim=-1)
    right = torch.tensor(logistic(features, labels, asked)) == torch.tensor([n for _, n in own])
    return float(right.float().mean())


def logistic(features: torch.Tensor, labels: torch.Tensor, asked: torch.Tensor) -> list[int]:
    """Labels of `asked` by logistic regression, of scikit-learn where it is there, else by the same loss (its C = 10)."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        pass
    else:
        made = LogisticRegression(C=10, max_iter=300).fit(features.numpy(), labels.numpy())
        return [int(n) for n in made.predict(asked.numpy())]
    number = int(labels.max()) + 1
    weight = torch.zeros(number, features.shape[-1], requires_grad=True)
    bias = torch.zeros(number, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(features @ weight.T + bias, labels)
        value = value + 0.05 * weight.square().sum() / len(labels)
        value.backward()
        return value

    solver.step(loss)
    return [int(n) for n in (asked @ weight.T + bias).argmax(-1)]


if __name__ == "__main__":
    raise SystemExit(main())
