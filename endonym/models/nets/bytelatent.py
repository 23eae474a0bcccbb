"""The Byte Latent Transformer of transformers, computed on rows laid end to end: patches by rule or by entropy, no padding, a byte at a time.

Pagnoni and others, Byte Latent Transformer: Patches Scale Better Than Tokens, 2024. The weights and their meaning are those of
`transformers.BltForCausalLM`; ours are the hashes of n-grams, which never overflow, and where patches end.

Shapes: T bytes of R rows laid end to end, M patches, k states a patch, D width of a byte's state, H heads of width d.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from transformers import AttentionInterface, AutoConfig, AutoModel, AutoModelForCausalLM, BltConfig, BltForCausalLM
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.blt.modeling_blt import BltModel

from endonym.models.nets.chunks import BACK, Cut, by_rule, completes, counted
from endonym.models.nets.dropout import dropped
from endonym.models.nets.ngrams import further, hashed, history, summed
from endonym.models.nets.over_bytes import OverBytes
from endonym.models.nets.rows import Laid, Memory, More, Places, Step, filled, rows_of

INSIDE = "endonym_inside_rows"
"""Name of the attention under which its layers are called."""


def _inside(
    module: Any,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: None,
    places: Places,
    dropout: float = 0.0,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes (1, H, T, d); returns (1, T, H, d)."""
    q, k, v = (x[0].transpose(0, 1) for x in (q, k, v))
    return places.attend(module.layer_idx, q, k, v, 0, dropout)[None], None


AttentionInterface.register(INSIDE, _inside)


class ByteLatentConfig(BltConfig):
    """As BLT's. `patching_mode` is `entropy`, `space`, `char` or `fixed`; `patch_size` the wanted bytes a patch."""

    model_type = "endonym_bytelatent"


class ByteLatent(BltModel):
    """The network without its output layer."""

    config_class = ByteLatentConfig

    def __init__(self, config: ByteLatentConfig):
        super().__init__(config)
        for part in (self.local_encoder, self.global_transformer, self.local_decoder, self.patcher):
            if part is not None:
                part.config._attn_implementation = INSIDE
        for layer in self.local_decoder.layers:
            # Encoder and decoder keep keys and values of the same bytes in one memory.
            layer.self_attn.layer_idx += len(self.local_encoder.layers)
        self.back = max(BACK, *config.encoder_hash_byte_group_size)
        self.cut: Cut | None = None
        """Where the last rows that were computed were cut."""
        self.learns_patches = False
        """Whether the patcher is what is trained: `forward` then gives its states instead."""

    @property
    def layers(self) -> torch.nn.ModuleList:
        return self.global_transformer.layers

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pieces: Sequence[Any] = (),
        **unused: Any,
    ) -> BaseModelOutput:
        """Shapes: `input_ids`, `attention_mask` (B, S), padded on either side; or `pieces` of one pack (1, S)."""
        rows = rows_of(input_ids, attention_mask, pieces)
        laid = Laid(rows.lengths, rows.ids.device)
        hidden = self.foresee(rows.ids, laid) if self.learns_patches else self.compute(rows.ids, laid)[0]
        return BaseModelOutput(last_hidden_state=rows.given(hidden))

    def compute(
        self, ids: torch.Tensor, laid: Laid, inner: Memory | None = None, watch: Memory | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Whole rows: states (T, D); of each row's bytes, how many patches of the row ended before them (T,); and the patches (M, k, D)."""
        recent = history(ids, laid.positions, self.back)
        h = self.encode(recent, laid)
        ends = self.ends(ids, recent, laid.positions, Laid(laid.lengths, ids.device, watch) if watch else laid)
        last, counts = counted(ends, laid.lengths, self.config.patch_size)
        self.cut = Cut(ends, None, laid.row, len(laid.lengths))
        before = (ends.cumsum(0) - ends.long()).clamp(max=len(last) - 1)
        # What stands behind the last patch of its row is in none yet; it goes to one that is left out.
        inside = laid.positions <= laid.positions[last[torch.tensor(counts, device=ids.device).cumsum(0) - 1]][laid.row]
        patch = torch.where(inside, before, len(last))
        rows = filled(counts, ids.device, inner)
        made = self.think(self.patches(h, patch, sum(rows) + 1)[:-1], Laid(rows, ids.device, inner))[: len(last)]
        return self.decode(h, made, (ends.cumsum(0) - 1).clamp(max=len(last) - 1), laid), inside, made

    def encode(self, recent: torch.Tensor, places: Places) -> torch.Tensor:
        """States of bytes (T, D) before patches; `recent` is their `history`."""
        local, rows = self.local_encoder, self.config.encoder_hash_byte_group_vocab
        grams = [
            hashed(recent, length, rows) + n * rows for n, length in enumerate(self.config.encoder_hash_byte_group_size)
        ]
        # Looked up at once: each look-up has a gradient as large as the whole table.
        embedded = self.encoder_hash_tok_embedding(torch.stack(grams, dim=1))
        h = local.embed_tokens(recent[:, 0]) + summed(embedded, local.config.dropout, self.training)
        h = dropped(h, local.config.dropout, self.training)
        return _through(local, h, places)

    def ends(self, ids: torch.Tensor, recent: torch.Tensor, positions: torch.Tensor, places: Places) -> torch.Tensor:
        """Which bytes end a patch, (T,): the first of a row, and those after which something new begins, as far as one can tell there."""
        kind = self.config.patching_mode
        if kind == "entropy":
            return (positions == 0) | (self.surprise(self.foresee(ids, places)) > self.config.patching_threshold)
        if kind == "char":
            return (positions == 0) | completes(recent)
        return by_rule(kind, recent, positions, self.config.patch_size)

    def foresee(self, ids: torch.Tensor, places: Places) -> torch.Tensor:
        """States of the patcher (T, width), normed; its output layer makes them the logits of the next byte. Without gradient unless it
        is what learns, and in float32, for a patch must not depend on how numbers are rounded."""
        patcher = self.patcher
        with (
            torch.set_grad_enabled(self.learns_patches and torch.is_grad_enabled()),
            torch.autocast(ids.device.type, enabled=False),
        ):
            return patcher.norm(_through(patcher, patcher.embed_tokens(ids), places))

    def surprise(self, states: torch.Tensor) -> torch.Tensor:
        """Entropy in nats of what the patcher expects after each byte, (T,)."""
        with torch.no_grad(), torch.autocast(states.device.type, enabled=False):
            logs = torch.log_softmax(self.patcher.lm_head(states).float(), dim=-1)
            return -(logs.exp() * logs).sum(-1)

    def patches(self, h: torch.Tensor, patch: torch.Tensor, number: int) -> torch.Tensor:
        """What goes into the inner layers, (M, k D): of each patch the largest values of its bytes, which then look at the bytes.

        Shapes: `h` (T, D), `patch` (T,) the number of the patch each byte is in, of `number`.
        """
        local = self.local_encoder
        most = h.new_zeros(number, h.shape[1]).scatter_reduce(
            0, patch[:, None].expand_as(h), h, "amax", include_self=False
        )
        query = local.patch_embedding_projection(most).view(number, self.config.cross_attn_k, -1)
        (cross,) = local.cross_attn_layers
        q, k, v = _cross(cross, query, h)
        scores = (q.index_select(0, patch) * k[:, None]).sum(-1).float() * cross.scaling
        top = scores.new_zeros(number, *scores.shape[1:])
        top = top.scatter_reduce(0, patch[:, None, None].expand_as(scores), scores.detach(), "amax", include_self=False)
        weights = (scores - top[patch]).exp()
        total = torch.zeros_like(top).index_add(0, patch, weights)
        seen = torch.zeros(*total.shape, v.shape[-1], device=h.device).index_add(
            0, patch, weights[..., None] * v[:, None].float()
        )
        seen = (seen / total[..., None].clamp(min=1e-20)).to(h.dtype)
        return (2 * query + cross.o_proj(seen.flatten(2))).flatten(1)

    def think(self, z: torch.Tensor, places: Places) -> torch.Tensor:
        """What the inner layers make of patches, as the outer ones read it; shapes (M, k D) and (M, k, D)."""
        inner = self.global_transformer
        z = dropped(inner.token_embedding_projection(z), inner.config.dropout, self.training)
        z = _through(inner, z, places)
        return self.local_decoder.patch_embedding_projection(z).view(z.shape[0], self.config.cross_attn_k, -1)

    def decode(self, h: torch.Tensor, made: torch.Tensor, patch: torch.Tensor, places: Places) -> torch.Tensor:
        """States (T, D) from which the next byte is told; each byte reads the patch that ended last, number `patch` (T,) of `made` (M, k, D)."""
        local = self.local_decoder
        turn = local.rotary_emb(h[None], places.positions[None])
        h = dropped(h, local.config.dropout, self.training)
        for number, layer in enumerate(local.layers):
            if number == 0 or local.config.cross_attn_all_layers:
                cross = local.cross_attn_layers[number]
                q, k, v = _cross(cross, h, made)
                weights = torch.softmax(
                    (q[:, None] * k.index_select(0, patch)).sum(-1).float() * cross.scaling, dim=1
                ).to(h.dtype)
                h = 2 * h + cross.o_proj((weights[..., None] * v.index_select(0, patch)).sum(1).flatten(1))
            h = layer(h[None], position_embeddings=turn, attention_mask=None, places=places)[0]
        return local.norm(h)


def _through(part: Any, h: torch.Tensor, places: Places) -> torch.Tensor:
    """The layers of a part of the network; shapes (T, D)."""
    turn = part.rotary_emb(h[None], places.positions[None])
    for layer in part.layers:
        h = layer(h[None], position_embeddings=turn, attention_mask=None, places=places)[0]
    return h


def _cross(cross: Any, asking: torch.Tensor, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values of a cross-attention, each with its last dimension as (H, d)."""
    normed = cross.k_norm(asked)
    made = cross.q_proj(cross.q_norm(asking)), cross.k_proj(normed), cross.v_proj(normed)
    q, k, v = (x.unflatten(-1, (cross.num_heads, cross.head_dim)) for x in made)
    return q, k, v


class ByteLatentForCausalLM(OverBytes, BltForCausalLM):
    """The network with its output layer."""

    config_class = ByteLatentConfig
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = ("patcher",)
    # The patcher has an embedding and an output layer of its own.
    _tied_weights_keys: ClassVar[dict[str, str]] = {}

    def __init__(self, config: ByteLatentConfig):
        super().__init__(config)
        self.model = ByteLatent(config)
        self.post_init()

    def get_output_embeddings(self) -> torch.nn.Linear:
        return self.model.patcher.lm_head if self.model.learns_patches else self.lm_head

    def set_attn_implementation(self, *args: Any, **other: Any) -> None:
        """Nothing: rows never see each other here, in training and after."""

    def flops_per_token(self) -> float:
        """Floating point operations of one trained byte: six a weight that multiplies it, the inner ones' once a patch; two for the patcher's."""
        net = self.model

        def size(part: torch.nn.Module) -> int:
            looked_up = sum(m.weight.numel() for m in part.modules() if isinstance(m, torch.nn.Embedding))
            return sum(p.numel() for p in part.parameters()) - looked_up

        outer = size(net.local_encoder) + size(net.local_decoder) + size(self.lm_head)
        watched = 2.0 * size(net.patcher) if net.patcher is not None else 0.0
        return 6.0 * (outer + size(net.global_transformer) / max(1, self.config.patch_size)) + watched

    def rows(self) -> Decoding:
        """Rows that grow; none was read yet."""
        return Decoding(self)


class Decoding:
    """R rows that grow by a byte at a time; `logits` (R, V) are those of the next one."""

    logits: torch.Tensor
    recent: torch.Tensor
    open: list[list[torch.Tensor]]
    """Of each row, the states of bytes that are in no patch yet."""
    made: torch.Tensor
    """(R, k, D): of each row, the patch that ended last."""

    def __init__(self, model: ByteLatentForCausalLM):
        self.head, self.net = model.lm_head, model.model
        net = self.net
        self.outer = Memory(len(net.local_encoder.layers) + len(net.local_decoder.layers))
        self.inner = Memory(len(net.layers))
        self.watch = Memory(len(net.patcher.layers)) if net.config.patching_mode == "entropy" else None

    def read(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute how the rows begin."""
        net = self.net
        ids = torch.tensor([i for prompt in prompts for i in prompt], device=self.head.weight.device)
        laid = Laid([len(prompt) for prompt in prompts], ids.device, self.outer)
        kept: list[torch.Tensor] = []
        hook = net.local_encoder.layers[-1].register_forward_hook(lambda layer, given, made: kept.append(made[0]))
        hidden, inside, made = net.compute(ids, laid, self.inner, self.watch)
        hook.remove()
        self.open = [
            list(h[~closed]) for h, closed in zip(kept[0].split(laid.lengths), inside.split(laid.lengths), strict=True)
        ]
        self.made = made[self.inner.used.cumsum(0) - 1]
        self.recent = history(ids, laid.positions, net.back)[laid.last]
        self.logits = self.head(hidden[laid.last])

    def state(self) -> dict[str, torch.Tensor]:
        """All that is needed to go on elsewhere with the only row."""
        (states,) = self.open
        watch = self.watch.state("watch") if self.watch else {}
        own = {"made": self.made, "recent": self.recent, "logits": self.logits}
        if states:
            own["open"] = torch.stack(states)
        return {**self.outer.state("outer"), **self.inner.state("inner"), **watch, **own}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self.outer.restore("outer", state)
        self.inner.restore("inner", state)
        if self.watch:
            self.watch.restore("watch", state)
        self.open = [list(state.get("open", ()))]
        self.made, self.recent, self.logits = state["made"], state["recent"], state["logits"]

    def feed(self, tokens: torch.Tensor) -> None:
        """Add one byte to each row; shape (R,)."""
        net = self.net
        self.recent = torch.cat([tokens[:, None], self.recent[:, :-1]], dim=1)
        every = torch.arange(len(tokens), device=tokens.device)
        step = Step(self.outer, every)
        h = net.encode(self.recent, step)
        for row, state in zip(self.open, h, strict=True):
            row.append(state)
        watching = Step(self.watch, every) if self.watch else step
        rows = net.ends(tokens, self.recent, step.positions, watching).nonzero()[:, 0]
        if watching is not step:
            watching.done()
        if len(rows):
            ended = [self.open[row] for row in rows.tolist()]
            patch = torch.tensor([n for n, states in enumerate(ended) for _ in states], device=tokens.device)
            inner = Step(self.inner, rows)
            made = net.think(
                net.patches(torch.stack([h for states in ended for h in states]), patch, len(ended)), inner
            )
            inner.done()
            self.made = self.made.index_copy(0, rows, made)
            for row in rows.tolist():
                self.open[row] = []
        self.logits = self.head(net.decode(h, self.made, every, step))
        step.done()

    def extend(self, tokens: torch.Tensor) -> None:
        """Add several bytes, shape (T,), to the only row."""
        net, places = self.net, More(self.outer, len(tokens))
        recent = further(self.recent, tokens)
        h = net.encode(recent, places)
        watching = More(self.watch, len(tokens)) if self.watch else places
        ends = net.ends(tokens, recent, places.positions, watching)
        if watching is not places:
            watching.done()
        inner = More(self.inner, int(ends.sum()))
        states = torch.stack([*self.open[0], *h])
        patch = torch.cat([ends.new_zeros(len(self.open[0]), dtype=torch.long), ends.cumsum(0) - ends.long()])
        closed = patch < inner.num_tokens
        made = self.made
        if inner.num_tokens:
            new = net.think(net.patches(states[closed], patch[closed], inner.num_tokens), inner)
            inner.done()
            made = torch.cat([made, new])
        self.logits = self.head(net.decode(h, made, ends.cumsum(0), places)[-1:])
        places.done()
        self.open, self.made, self.recent = [list(states[~closed])], made[-1:], recent[-1:]

    def choose(self, rows: torch.Tensor) -> None:
        """Go on with `rows` alone, in their order; one may come several times."""
        self.outer.choose(rows)
        self.inner.choose(rows)
        if self.watch:
            self.watch.choose(rows)
        self.open = [list(self.open[row]) for row in rows.tolist()]
        self.recent, self.logits, self.made = self.recent[rows], self.logits[rows], self.made[rows]


AutoConfig.register(ByteLatentConfig.model_type, ByteLatentConfig, exist_ok=True)
AutoModel.register(ByteLatentConfig, ByteLatent, exist_ok=True)
AutoModelForCausalLM.register(ByteLatentConfig, ByteLatentForCausalLM, exist_ok=True)
