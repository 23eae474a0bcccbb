"""Named low-rank modules on a base network, one bank evaluated in one pass: each token is changed by the modules of its text alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers.pytorch_utils import Conv1D

from endonym.errors import UsageError, did_you_mean
from endonym.models.nets.pooling import of_pack, of_rows
from endonym.models.nets.router import Evidence, Router

SCALE = 2.0
"""What a module's change is multiplied by, as adapters do by alpha over rank."""


class About(BaseModel):
    """What is known of one module beside its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Its name.")
    group: str = Field("", description="The group it belongs to.")
    description: str = Field("", description="What it is for.")
    rank: int = Field(8, ge=1, description="Rank of its changes.")
    layers: list[int] = Field(description="The layers it changes, counted from 0.")
    held: int = Field(0, ge=0, description="How many held features its evidence has.")
    data_hash: str = Field("", description="Hash of the texts it was trained on.")


class Shape(BaseModel):
    """How a bank stands on its base: kept in the model's `config.json` as `domain_bank`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[2] = Field(2, description="Of what a bank keeps; in the first its router read no words.")

    base_hash: str = Field(
        "", description="Hash of the base's weight files, or of its tensors where they were trained too."
    )
    router_layer: int = Field(
        ge=0, description="The router reads what this layer is given; no layer below has modules."
    )
    targets: list[str] = Field(["all-linear"], description="Names of the linear layers that modules change.")
    top_k: int = Field(1, ge=1, description="Modules that may take part in one token.")
    ridge: float = Field(0.1, gt=0, description="Ridge of the router's regression.")
    unknown: float = Field(0.05, ge=0, lt=1, description="Share of the modules' own texts that may count as of none.")
    passed: float = Field(0.02, gt=0, le=1, description="Share of the general texts shown that may go to a module.")
    general: int = Field(
        0, ge=0, description="How many held features of general texts there are; 0 where the router was shown none."
    )
    router: Literal["closed form", "tuned"] = Field("closed form", description="Where the router's weights come from.")
    modules: list[About] = Field([], description="The modules.")


class Member(torch.nn.Module):
    """One module: for each linear layer it changes a pair A (layers, rank, in) and B (layers, out, rank), and its evidence."""

    def __init__(self, about: About, sizes: Mapping[str, tuple[int, int]], width: int):
        super().__init__()
        self.about = about
        depth = len(about.layers)
        self.a = torch.nn.ParameterDict({t: torch.empty(depth, about.rank, i) for t, (i, _) in sizes.items()})
        self.b = torch.nn.ParameterDict({t: torch.empty(depth, o, about.rank) for t, (_, o) in sizes.items()})
        self.evidence = Evidence(width, about.held)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Begin as nothing: B is zero, and A the same whatever other modules there are."""
        dice = torch.Generator().manual_seed(
            int(hashlib.sha256(f"{seed}:{self.about.name}".encode()).hexdigest()[:12], 16)
        )
        for target in self.a:
            a = self.a[target]
            a.copy_(torch.rand(a.shape, generator=dice) * 2 - 1).mul_(a.shape[-1] ** -0.5)
            self.b[target].zero_()

    def pairs(self) -> dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]]:
        """A and B of each target and layer; one operation a target, so that the way back is one as well."""
        found = {}
        for target in self.a:
            parts = zip(self.about.layers, self.a[target].unbind(0), self.b[target].unbind(0), strict=True)
            found.update({(target, layer): (a, b) for layer, a, b in parts})
        return found


Plan = list[tuple[dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]], torch.Tensor | None, torch.Tensor | None]]
"""For each module that takes part: its pairs, the tokens it changes (None: all, where it is the only one, or so with all), and how strongly (None: wholly)."""


class DomainBank(torch.nn.Module):
    """The modules of a network and their router.

    While it is taught (`taught`), a text goes to the module it is labelled with where gradients are wanted of a pack; everywhere else, where
    the router sends it.

    The router reads the mean of all tokens so far, as the layer `router_layer` is given them, and the tokens themselves: no module stands
    below, so these are the frozen base's, and one pass is enough.
    """

    def __init__(self, model: Any, shape: Shape):
        super().__init__()
        self.shape = shape
        self.layers = blocks(model)
        self.width = int(model.config.get_text_config().hidden_size)
        self.sizes = self._sizes()
        self.members = torch.nn.ModuleDict({a.name: Member(a, self.sizes, self.width) for a in in_order(shape.modules)})
        self.router = Router(len(self.members), self.width)
        self.general = Evidence(self.width, shape.general)
        self.off: frozenset[str] = frozenset()
        self.fresh: set[str] = set()
        """Names of the modules that have not learned yet."""
        self.taught = False
        self.tap: list[torch.Tensor] | None = None
        """While it is a list, the features of every pass are put there."""
        self.seen: tuple[torch.Tensor, torch.Tensor] | None = None
        """Of the last pass: features (tokens, D + N + 1), and labels (tokens,) where texts went by them, else gates (tokens, N)."""
        self._plan: Plan = []
        self._ids: list[torch.Tensor] = []
        """Of the pass that is under way: its ids."""
        model.get_input_embeddings().register_forward_pre_hook(self._remember)
        self.layers[shape.router_layer].register_forward_pre_hook(self._route, with_kwargs=True)
        for number, layer in enumerate(self.layers[shape.router_layer :], shape.router_layer):
            for target, module in linears(layer).items():
                if target in self.sizes:
                    module.register_forward_hook(partial(self._change, (target, number)))

    def __getstate__(self) -> dict[str, Any]:
        """Without what the last pass left behind, so that a copy can be made at any time."""
        return {**self.__dict__, "_plan": [], "_ids": [], "seen": None}

    def __setattr__(self, name: str, value: Any) -> None:
        # The base's layers are looked at, not owned: as a part of the bank they would be saved twice.
        if name == "layers":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def names(self) -> list[str]:
        """Names of the modules in the order of the router's rows."""
        return list(self.members)

    def member(self, name: str) -> Member:
        """The module of that name; raises UsageError when there is none."""
        if name not in self.members:
            raise UsageError(
                f"there is no module '{name}'", f"{did_you_mean(name, self.names)} See: endonym modules ls"
            )
        found = self.members[name]
        assert isinstance(found, Member)
        return found

    @property
    def idle_weights(self) -> int:
        """Weights of the modules that take no part in a token, on average."""
        return self.num_weights - self.num_weights * min(self.shape.top_k, len(self.members)) // max(
            1, len(self.members)
        )

    @property
    def num_weights(self) -> int:
        """Weights of all modules."""
        return sum(p.numel() for p in self.members.parameters())

    def add(self, about: About, seed: int = 0) -> Member:
        """Put a new module beside the others, which stay as they are; it changes nothing until it has learned. `solve` must follow."""
        if about.name in self.members:
            raise UsageError(f"there is a module '{about.name}' already", "Give the new one another name.")
        low, high = self.shape.router_layer, len(self.layers)
        if not about.layers or min(about.layers) < low or max(about.layers) >= high:
            raise UsageError(
                f"the module '{about.name}' wants layers {about.layers}, and there are {low} to {high - 1} to change",
                "Name layers from the router's on, or give the router a lower one.",
            )
        kept = next(self.layers[0].parameters())
        member = Member(about, self.sizes, self.width).to(kept.device)
        if kept.device.type != "meta":
            member.reset(seed)
        self._take({**dict(self.members.items()), about.name: member})
        return member

    def remove(self, name: str) -> Member:
        """Take a module out, as if it had never been there; a tuned router only loses its row. `solve` must follow."""
        member = self.member(name)
        self._take({n: m for n, m in self.members.items() if n != name})
        return member

    def _take(self, members: Mapping[str, torch.nn.Module]) -> None:
        before = self.names
        self.members = torch.nn.ModuleDict({name: members[name] for name in sorted(members)})
        row = {name: n for n, name in enumerate(before)}
        for own in (self.router.weight, self.router.bias):
            rows = [own.data[row[n]] if n in row else torch.zeros_like(own.data[:1].sum(0)) for n in self.names]
            own.data = torch.stack(rows) if rows else own.data[:0]
        table = self.router.table
        words = [table[:, row[n]] if n in row else table.new_zeros(len(table)) for n in self.names]
        self.router.table = torch.stack([*words, table[:, -1]], dim=-1)
        self.shape = self.shape.model_copy(update={"modules": [self.member(name).about for name in self.names]})

    def note(self, name: str, **values: Any) -> None:
        """Write down what has become of a module's texts and evidence."""
        self.member(name).about = self.member(name).about.model_copy(update=values)
        self._take(dict(self.members.items()))

    def solve(self) -> None:
        """Fit the router to the modules there are, those switched off left out; one that was tuned stays as it is."""
        if self.shape.router == "tuned":
            return
        here = [n for n in self.names if n not in self.off]
        general = self.general if self.shape.general else None
        self.router.solve(
            [self.member(n).evidence for n in here], self.shape.ridge, self.shape.unknown, general, self.shape.passed
        )
        for name in ("weight", "bias"):
            own: torch.Tensor = getattr(self.router, name).data
            whole = own.new_zeros(len(self.names), *own.shape[1:])
            whole[[self.names.index(n) for n in here]] = own
            getattr(self.router, name).data = whole
        table = self.router.table
        self.router.table = table.new_zeros(len(table), len(self.names) + 1)
        self.router.table[:, [*(self.names.index(n) for n in here), -1]] = table

    @contextmanager
    def without(self, *names: str, refit: bool = True) -> Iterator[None]:
        """Switch modules off inside the block: the network is the one that never had them, or, without `refit`, its router stays as it
        is and chooses among the others."""
        for name in names:
            self.member(name)
        before, numbers = self.off, {key: value.clone() for key, value in self.router.state_dict().items()}
        self.off = self.off | set(names)
        if refit:
            self.solve()
        try:
            yield
        finally:
            self.off = before
            self.router.load_state_dict(numbers)

    def _remember(self, table: torch.nn.Module, args: tuple[Any, ...]) -> None:
        """Keep the ids that are embedded."""
        self._ids[:] = args[:1]

    def _route(self, layer: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Say which modules change which tokens of this pass; called with what the router's layer is given."""
        states = (args[0] if args else kwargs["hidden_states"]).detach()
        ids = self._ids[0] if self._ids else states[:0]
        if ids.shape != states.shape[:2]:
            raise UsageError("the router reads words, and was given none", "Give the model input_ids.")
        pieces = kwargs.get("pieces")
        if pieces:
            sums, counts = of_pack(states, ids, self.router.words, pieces)
        else:
            past = kwargs.get("past_key_values", args[1] if len(args) > 1 else None)
            sums, counts = of_rows(states, ids, self.router.words, kwargs.get("position_ids"), past, len(self.layers))
        features = self.router.features(sums, counts)
        flat = features.flatten(0, 1)
        if self.tap is not None:
            self.tap.append(flat)
        if pieces and self.taught and torch.is_grad_enabled():
            labels = [-1] * len(flat)
            for piece in pieces:
                labels[piece.start : piece.end] = [piece.domain] * (piece.end - piece.start)
            self._plan = self._taught(labels, flat.device)
            self.seen = flat, torch.tensor(labels, device=flat.device)
            return
        self._plan = []
        if torch.compiler.is_exporting():
            # A graph has no branches: every module takes part in every token, most of them with strength 0.
            every = torch.ones(len(self.names), dtype=torch.bool, device=flat.device)
            gates = self.router.gates(flat, self.shape.top_k, every)
            self._plan = [(self.member(name).pairs(), None, gates[:, n]) for n, name in enumerate(self.names)]
            return
        if type(flat) is not torch.Tensor:
            # What a run needs is foretold with tensors that hold no numbers: as if all texts were of one module.
            self._plan = [(member.pairs(), None, None) for member in list(self.members.values())[:1]]  # type: ignore[operator,misc]
            return
        here = torch.tensor([name not in self.off for name in self.names], dtype=torch.bool, device=flat.device)
        if here.any():
            gates = self.router.gates(flat, self.shape.top_k, here)
            self.seen = flat, gates
            self._plan = self._routed(gates)

    def _taught(self, labels: Sequence[int], device: torch.device) -> Plan:
        """Each token to the module its text is labelled with."""
        where: dict[int, list[int]] = {}
        for token, label in enumerate(labels):
            where.setdefault(label, []).append(token)
        if set(where) == {-1} and self.members:
            # Before labels are known, what a run needs is told as if all texts were of one module.
            where = {next((n for n, name in enumerate(self.names) if learns(self.member(name))), 0): where[-1]}
        return [
            (self.member(self.names[label]).pairs(), None if len(where) == 1 else torch.tensor(tokens, device=device), None)
            for label, tokens in where.items() if label >= 0
        ]  # fmt: skip

    def _routed(self, gates: torch.Tensor) -> Plan:
        """Each token to the modules that `gates` (tokens, N) open."""
        plan: Plan = []
        taking = gates.any(0).nonzero()[:, 0].tolist()
        for number in taking:
            column = gates[:, number]
            tokens = column.nonzero()[:, 0]
            strength = column[tokens]
            whole = bool((strength == 1).all())
            member = self.member(self.names[number])
            plan.append(
                (
                    member.pairs(),
                    None if len(taking) == 1 and len(tokens) == len(gates) else tokens,
                    None if whole else strength,
                )
            )
        return plan

    def _change(
        self, place: tuple[str, int], module: torch.nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor
    ) -> torch.Tensor:
        """Add to the output `y` of a linear layer what the modules of this pass make of its input."""
        here = [(pairs[place], tokens, strength) for pairs, tokens, strength in self._plan if place in pairs]
        if not here:
            return y
        x = args[0].reshape(-1, args[0].shape[-1])
        order = None if here[0][1] is None else torch.cat([tokens for _, tokens, _ in here if tokens is not None])
        # Gathered and put back once for all modules: each of them for itself would write the whole output anew.
        parts = (
            [x] * len(here)
            if order is None
            else x[order].split([len(tokens) for _, tokens, _ in here if tokens is not None])
        )
        changes = []
        for part, ((a, b), _, strength) in zip(parts, here, strict=True):
            inner = torch.nn.functional.linear(part, a.to(x.dtype))
            inner = inner * (SCALE if strength is None else SCALE * strength[:, None].to(inner.dtype))
            changes.append(torch.nn.functional.linear(inner, b.to(inner.dtype)))
        if order is None:
            return y + sum(changes[1:], changes[0]).to(y.dtype).view(y.shape)
        flat = y.reshape(-1, y.shape[-1])
        return flat.index_add(0, order, torch.cat(changes).to(y.dtype)).view(y.shape)

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the linear layers that modules change, by their names within a layer."""
        known = linears(self.layers[self.shape.router_layer])
        wanted = self.shape.targets
        for target in wanted:
            if target != "all-linear" and not any(name.endswith(target) for name in known):
                hint = f"{did_you_mean(target, [*known, 'all-linear'])} Name them with --targets."
                raise UsageError(f"the layers have no part named '{target}'", hint)
        chosen = {n: m for n, m in known.items() if "all-linear" in wanted or any(n.endswith(t) for t in wanted)}
        return {
            n: (m.weight.shape[0], m.weight.shape[1]) if isinstance(m, Conv1D) else (m.weight.shape[1], m.weight.shape[0])
            for n, m in chosen.items()
        }  # fmt: skip


def blocks(model: Any) -> torch.nn.ModuleList:
    """The decoder layers of a network."""
    from endonym.models.generate import decoder, layers_name

    inner = decoder(model)
    found: torch.nn.ModuleList = getattr(inner, layers_name(inner))
    return found


def linears(layer: torch.nn.Module) -> dict[str, Any]:
    """The linear parts of a decoder layer by name, `self_attn_q_proj`; parameter names may hold no dot."""
    return {n.replace(".", "_"): m for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)}


def in_order(modules: Sequence[About]) -> list[About]:
    """Modules in the order of their names, so that none depends on when it came."""
    return sorted(modules, key=lambda about: about.name)


def learns(member: torch.nn.Module) -> bool:
    """Whether a module is being trained."""
    return any(p.requires_grad for p in member.parameters())
