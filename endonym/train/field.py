"""What the recipe `modules` is made of: the base with its bank, the labelled rows, and what the modules came to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from endonym.data.dataset import Dataset
from endonym.errors import ConfigError, JobError, UsageError, did_you_mean
from endonym.models.adopt import arithmetic
from endonym.models.load import Loaded, lay_out, load_artifact, load_model, weights_of
from endonym.models.nets.banked import attach, hash_of, write_down
from endonym.models.nets.domain_bank import About, DomainBank, Shape
from endonym.models.nets.worth import Text, measure, read, tables
from endonym.models.render import Example
from endonym.models.weights import weights_hash
from endonym.store.files import write_json
from endonym.train.domains import (
    ENDS,
    Declared,
    Labels,
    data_hash,
    declared,
    label,
    learn_general,
    learn_router,
    lines_of,
    plain,
    seeds_of,
)
from endonym.train.fit import Rows
from endonym.train.growth import folder_of
from endonym.train.judged import Judged
from endonym.train.recipe import Prepared
from endonym.train.rows import chats_of, evenly, prepare
from endonym.types import Chat

if TYPE_CHECKING:
    from endonym.jobs.job import Job
    from endonym.project import Project
    from endonym.train.recipes.modules import Config

PART = 5
"""The router reads at one part in so many of the way up where nobody says: there dev texts were told apart best (docs/log.md)."""


@dataclass(frozen=True)
class Assembled:
    """A bank with its router, and the rows its modules learn from."""

    prepared: Prepared
    loss: Judged
    held: Sequence[Text]
    """Validation texts with the modules they are of."""
    kept: dict[str, str]
    """Hashes of what must not change: of modules by name, of the base by `""`."""


def begin(cfg: Config, project: Project) -> Loaded:
    """The base, or the model with modules that is named, with a bank that has the new modules too."""
    if cfg.model:
        folder = folder_of(cfg.model, project)
        whole = (folder / "model.json").is_file()
        loaded = load_artifact(folder, "float32") if whole else load_model(folder, dtype="float32")
        if not hasattr(loaded.model, "bank"):
            raise UsageError(f"the model in {folder} has no modules", "Leave --model out to begin with the base.")
    else:
        loaded = load_model(project.base, dtype="float32")
    _furnish(cfg, loaded, project)
    return loaded


def outline(cfg: Config, project: Project) -> Loaded:
    """What `begin` makes, without numbers."""
    loaded = lay_out(weights_of(folder_of(cfg.model, project)) if cfg.model else project.base, "float32")
    with torch.device("meta"):
        _furnish(cfg, loaded, project)
    return loaded


def _furnish(cfg: Config, loaded: Loaded, project: Project) -> None:
    """Give the model of `loaded` a bank, if it has none, and the declared modules that are not there yet."""
    model: Any = loaded.model
    depth = model.config.get_text_config().num_hidden_layers
    if not hasattr(model, "bank"):
        lowest = depth // PART if cfg.router_layer < 0 else cfg.router_layer
        shape = Shape(
            base_hash=weights_hash(loaded.base), router_layer=lowest, targets=cfg.targets, top_k=cfg.top_k,
            ridge=cfg.ridge, unknown=cfg.unknown, passed=cfg.passed,
        )  # fmt: skip
        attach(model, shape)
    bank: DomainBank = model.bank
    for module in declared(cfg.declared, project.path):
        if module.name not in bank.names:
            bank.add(_about(module, bank.shape.router_layer, depth), cfg.seed)
            bank.fresh.add(module.name)
    write_down(model)


def _about(module: Declared, lowest: int, depth: int) -> About:
    first, last = (module.layers[0], module.layers[-1]) if module.layers else (lowest, depth - 1)
    layers = list(range(first, last + 1))
    told = {"name": module.name, "group": module.group, "description": module.description}
    return About(**told, rank=module.rank, layers=layers)


def to_train(cfg: Config, bank: DomainBank) -> list[str]:
    """Names of the modules that learn. Raises ConfigError for a name that no module has, and when nothing would learn."""
    for name in cfg.only:
        if name not in bank.names:
            hint = f"{did_you_mean(name, bank.names)} Name them with --only."
            raise ConfigError(f"there is no module '{name}' to train", hint)
    names = cfg.only or bank.fresh
    if not (names or cfg.train_base or cfg.tune_router):
        raise ConfigError("all modules are trained already, so nothing would learn", "Name some with --only.")
    return sorted(names)


def assemble(cfg: Config, loaded: Loaded, data: Dataset, job: Job) -> Assembled:
    """Label the chats, fit the router, let it label what is left, and take the rows of the modules that learn."""
    model: Any = loaded.model
    bank: DomainBank = model.bank
    names = to_train(cfg, bank)
    modules = declared(cfg.declared, job.project.path)
    learned, held = chats_of(data, "train"), [c for c in chats_of(data, "valid") if c.answer]
    labels = label([*learned, *held], modules)
    job.log(f"labels of {len(learned)} training and {len(held)} validation texts: {labels.counted()}")
    own = [c for c in held if labels.module.get(c.id) in names] or held
    rows, valid, shown = prepare(learned, own, loaded.renderer, cfg, job)
    shares = _fit_router(cfg, loaded, rows, labels, modules, job.project.path)
    job.log(f"the router is fitted; where it reads layer {bank.shape.router_layer}, what scores below "
            f"{float(bank.router.threshold):.3f} is of no module")  # fmt: skip
    labels = _guess(cfg, loaded, rows, labels, job)
    rows = _of_modules(rows, labels, bank, bank.names if cfg.train_base or cfg.tune_router else names, job)
    for name in names:
        bank.note(name, data_hash=data_hash(c for c in learned if labels.module.get(c.id) == name))
    if cfg.tune_router:
        bank.shape = bank.shape.model_copy(update={"router": "tuned"})
    write_down(model)
    _tell_sizes(model, names, job)
    kept = {n: hash_of(bank.member(n)) for n in bank.names if n not in names}
    if not cfg.train_base:
        kept[""] = hash_of(model)
    judged = Judged(cfg.alignment, cfg.balance, cfg.z, shares, cfg.tune_router)
    return Assembled((rows, valid, shown), judged, _to_measure(held, labels, cfg.measured), kept)


def _to_measure(held: Sequence[Chat], labels: Labels, number: int) -> list[Text]:
    """At most `number` validation texts, in turn from each module and from those that are of none, in a fixed order."""
    groups: dict[str, list[Chat]] = {}
    for chat in sorted(held, key=lambda c: c.id):
        groups.setdefault(labels.module.get(chat.id, ""), []).append(chat)
    longest = max(map(len, groups.values()), default=0)
    turns = [Text(group[n], name) for n in range(longest) for name, group in sorted(groups.items()) if n < len(group)]
    return turns[:number]


def _fit_router(
    cfg: Config, loaded: Loaded, rows: Rows, labels: Labels, modules: Sequence[Declared], folder: Path
) -> torch.Tensor:
    """Give the modules that are new their evidence and solve; returns the share of the labelled rows that each module has, (N,).

    A module that was there keeps what it knows, so that adding one needs no text of the others.
    """
    model: Any = loaded.model
    bank: DomainBank = model.bank
    of = [labels.module.get(chat, "") for chat in rows.chats]
    for name in bank.names:
        if name not in bank.fresh:
            continue
        own = evenly([e for e, module in zip(rows.examples, of, strict=True) if module == name], cfg.router_rows)
        seeds = [loaded.renderer.example(c) for m in modules if m.name == name for c in seeds_of(m)]
        learn_router(bank, name, *_seen(cfg, loaded, [*own, *seeds]))
    if cfg.general and not bank.shape.general:
        texts = evenly(lines_of(cfg.general, folder), cfg.router_rows)
        examples = [e for t in texts if len((e := loaded.renderer.example(plain(t))).ids) <= cfg.max_length]
        learn_general(bank, *_seen(cfg, loaded, examples))
    bank.solve()
    counts = Counter(of)
    return torch.tensor([counts[name] for name in bank.names]) / max(1, sum(counts[name] for name in bank.names))


def _seen(cfg: Config, loaded: Loaded, examples: Sequence[Example]) -> tuple[list[list[int]], list[torch.Tensor]]:
    """Rows as far as the router learns from them, and what it is given of them; in bf16 where that is faster, for a mean of tokens rounds little."""
    rows = [e.ids[: ENDS[-1]] for e in examples]
    with arithmetic(loaded.device):
        return rows, read(loaded, rows, cfg.batch_tokens)


def _guess(cfg: Config, loaded: Loaded, rows: Rows, labels: Labels, job: Job) -> Labels:
    """Labels with those that the router is sure of, for training rows that have none."""
    model: Any = loaded.model
    bank: DomainBank = model.bank
    module, found = dict(labels.module), dict(labels.found)
    open_rows = [(e, chat) for e, chat in zip(rows.examples, rows.chats, strict=True) if chat not in labels.module]
    known = torch.ones(len(bank.names), dtype=torch.bool)
    for (_, chat), whole in zip(open_rows, read(loaded, [e.ids for e, _ in open_rows], cfg.batch_tokens), strict=True):
        gates = bank.router.gates(whole[-1].to(loaded.device), 1, known.to(loaded.device))
        if gates.any():
            module[chat], found[chat] = bank.names[int(gates.argmax())], "router"
    if open_rows:
        guessed = sum(way == "router" for way in found.values())
        job.log(f"of {len(open_rows)} rows without a label the router is sure of {guessed}; the others teach no module")
    return Labels(module, found)


def _of_modules(rows: Rows, labels: Labels, bank: DomainBank, names: Sequence[str], job: Job) -> Rows:
    """The rows that teach one of the modules `names`, told so; the rest is named in the ledger."""
    number = {name: n for n, name in enumerate(bank.names)}
    kept = []
    with (job.output / "ledger.jsonl").open("a", encoding="utf-8") as ledger:
        for i, chat in enumerate(rows.chats):
            module = labels.module.get(chat, "")
            if module in names:
                kept.append((i, number[module]))
                continue
            detail = f"of the module {module}, which does not learn" if module else "of no module"
            line = {"reason": "train.no_module", "detail": detail, "origin": rows.origins[i]}
            ledger.write(json.dumps(line, ensure_ascii=False) + "\n")
    if not kept:
        raise UsageError(
            "no training row is of a module that learns", "See what is declared: sources, keywords and seeds."
        )
    per = Counter(bank.names[n] for _, n in kept)
    job.log(f"{len(kept)} of {len(rows.chats)} rows teach: " + ", ".join(f"{name} {per[name]}" for name in sorted(per)))
    picked = [i for i, _ in kept]
    return replace(
        rows, examples=[replace(rows.examples[i], domain=n) for i, n in kept], weights=[rows.weights[i] for i in picked],
        origins=[rows.origins[i] for i in picked], chats=[rows.chats[i] for i in picked],
    )  # fmt: skip


def _tell_sizes(model: Any, names: Sequence[str], job: Job) -> None:
    bank: DomainBank = model.bank
    base = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("bank."))
    share = bank.num_weights / (base + bank.num_weights)
    job.log(
        f"base of {base / 1e6:.1f} million parameters, {len(bank.names)} modules of {bank.num_weights / 1e6:.1f} million together, "
        f"{share:.1%} of all; {len(names)} of them learn: {', '.join(names)}"
    )
    job.summary(modules=len(bank.names), module_parameters=bank.num_weights, module_share=round(share, 4))


def report(made: Assembled, loaded: Loaded, job: Job) -> None:
    """Check that what was frozen is as it was, and write what each module is worth on the validation texts to `modules.json`.

    Raises JobError when a frozen part has changed.
    """
    model: Any = loaded.model
    bank: DomainBank = model.bank
    for name, was in made.kept.items():
        if hash_of(bank.member(name) if name else model) != was:
            raise JobError(f"{name or 'the base'} changed though it was frozen", "This is a fault in Endonym.")
    same = [name or "the base" for name in made.kept]
    job.log(f"unchanged, by their hashes: {', '.join(same) or 'nothing was frozen'}")
    found = measure(loaded, made.held)
    write_json(job.output / "modules.json", found)
    idle = [m["name"] for m in found["modules"] if m["verdict"] == "earns nothing"]
    if idle:
        job.event("warning", text=f"modules that earn nothing on validation texts: {', '.join(idle)}")
    job.summary(tables=tables(found), top1=found["routing"]["labelled"]["top1"], earn_nothing=idle)
