"""A decoder over bytes whose inner layers work on chunks of them; without chunks, a plain decoder over bytes.

Shapes: T bytes of R rows laid end to end, M chunks, D width of the outer layers, V ids. After Hwang, Wang and Gu (H-Net, 2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import Embedding, Identity, Linear, ModuleList, RMSNorm
from torch.nn.functional import silu
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput

from endonym.models.byte_tokenizer import VOCABULARY
from endonym.models.nets.chunks import BACK, KINDS, SURE, Cut, Router, by_rule, counted, smoothed, straight
from endonym.models.nets.dropout import Dropout
from endonym.models.nets.ngrams import Bytes, further, history
from endonym.models.nets.over_bytes import OverBytes
from endonym.models.nets.rows import Laid, Memory, More, Places, Step, filled, rows_of, turned


class HierarchicalConfig(PreTrainedConfig):
    """The shape of a network; `before` outer blocks, then `trunk` blocks on chunks, then `after` outer blocks."""

    model_type = "endonym_hierarchical"

    def __init__(
        self,
        vocab_size: int = VOCABULARY,
        hidden_size: int = 512,
        head_size: int = 64,
        before: int = 1,
        trunk: int = 4,
        after: int = 1,
        trunk_size: int = 512,
        chunks: str = "space",
        chunk_bytes: float = 6.0,
        ngrams: Sequence[int] = (2, 3, 4, 6),
        ngram_rows: int = 8192,
        window: int = 0,
        dropout: float = 0.0,
        max_position_embeddings: int = 2048,
        use_cache: bool = False,
        tie_word_embeddings: bool = False,
        **other: Any,
    ):
        if chunks not in KINDS or (chunks != "none" and trunk < 1) or before < 1:
            raise ValueError(f"no network cuts its text by '{chunks}' with {before} and {trunk} blocks")
        self.vocab_size, self.hidden_size, self.head_size, self.trunk_size = (
            vocab_size,
            hidden_size,
            head_size,
            trunk_size,
        )
        self.before, self.trunk, self.after = before, trunk, after
        self.chunks, self.chunk_bytes, self.ngrams, self.ngram_rows = chunks, chunk_bytes, list(ngrams), ngram_rows
        self.window, self.dropout, self.use_cache = window, dropout, use_cache
        self.max_position_embeddings = max_position_embeddings
        self.num_hidden_layers = before + after + (trunk if chunks != "none" else 0)
        self.num_attention_heads = hidden_size // head_size
        super().__init__(tie_word_embeddings=tie_word_embeddings, **other)


class Block(GradientCheckpointingLayer):
    """Attention inside the rows, then a gated layer; both before them normalised."""

    def __init__(self, number: int, width: int, head: int, window: int, dropout: float):
        super().__init__()
        inner = -(-8 * width // 3 // 32) * 32
        self.number, self.head, self.window, self.dropout = number, head, window, dropout
        self.norm, self.inner_norm = RMSNorm(width, eps=1e-6), RMSNorm(width, eps=1e-6)
        self.qkv, self.out = Linear(width, 3 * width, bias=False), Linear(width, width, bias=False)
        self.gate, self.down = Linear(width, 2 * inner, bias=False), Linear(inner, width, bias=False)
        self.drop = Dropout(dropout)

    def forward(self, x: torch.Tensor, places: Places) -> torch.Tensor:
        """Shapes (T, width)."""
        both, v = self.qkv(self.norm(x)).view(x.shape[0], 3, -1, self.head).split([2, 1], dim=1)
        q, k = turned(both.flatten(1, 2), places.positions).chunk(2, dim=1)
        v = v[:, 0]
        seen = places.attend(self.number, q, k, v, self.window, self.dropout if self.training else 0.0)
        x = x + self.drop(self.out(seen.flatten(1)))
        gate, up = self.gate(self.inner_norm(x)).chunk(2, dim=-1)
        return x + self.drop(self.down(silu(gate) * up))


class HierarchicalPreTrained(PreTrainedModel):
    """What both networks tell transformers."""

    config_class = HierarchicalConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict = ("router", "residual")
    _no_split_modules = ("Block",)

    @torch.no_grad()
    def _init_weights(self, module: torch.nn.Module) -> None:
        last = 0.02 / math.sqrt(2 * self.config.num_hidden_layers)
        if isinstance(module, Linear | Embedding):
            init.normal_(module.weight, std=0.02)
        elif isinstance(module, Block):
            for linear in (module.out, module.down):
                init.normal_(linear.weight, std=last)
        elif isinstance(module, RMSNorm):
            init.ones_(module.weight)
        if isinstance(module, Router):
            init.eye_(module.query.weight)
            init.eye_(module.key.weight)
        if isinstance(module, Hierarchical) and module.cuts:
            # Zero, as in the paper, loses 0.4 to 0.5 bits a byte in short runs (measured).
            init.eye_(module.residual.weight)


class Hierarchical(HierarchicalPreTrained):
    """The network without its output layer."""

    def __init__(self, config: HierarchicalConfig):
        super().__init__(config)
        width, self.cuts = config.hidden_size, config.chunks != "none"
        self.embed = Bytes(config.vocab_size, width, config.ngrams, config.ngram_rows, config.dropout)
        self.drop = Dropout(config.dropout)
        outer = config.before + config.after
        sizes = [width] * outer + [config.trunk_size] * (config.trunk if self.cuts else 0)
        self.layers = ModuleList(
            Block(n % outer if n < outer else n - outer, size, config.head_size, config.window if n < outer else 0, config.dropout)
            for n, size in enumerate(sizes)
        )  # fmt: skip
        self.norm = RMSNorm(width, eps=1e-6)
        if self.cuts:
            same = width == config.trunk_size
            self.chunk_norm, self.trunk_norm = RMSNorm(width, eps=1e-6), RMSNorm(config.trunk_size, eps=1e-6)
            self.up = Identity() if same else Linear(width, config.trunk_size, bias=False)
            self.down = Linear(config.trunk_size, width, bias=False)
            self.residual = Linear(width, width, bias=False)
            if config.chunks == "dynamic":
                self.router = Router(width)
        self.back = max(BACK, *config.ngrams, 0)
        self.cut: Cut | None = None
        """Where the last rows that were computed were cut."""
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embed.own

    def set_input_embeddings(self, value: torch.nn.Module) -> None:
        self.embed.own = value

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pieces: Sequence[Any] = (),
        **unused: Any,
    ) -> BaseModelOutput:
        """Shapes: `input_ids`, `attention_mask` (B, S), padded on either side; or `pieces` of one pack (1, S)."""
        rows = rows_of(input_ids, attention_mask, pieces)
        hidden, _ = self.compute(rows.ids, Laid(rows.lengths, rows.ids.device))
        return BaseModelOutput(last_hidden_state=rows.given(hidden))

    def compute(
        self, ids: torch.Tensor, laid: Laid, inner: Memory | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Whole rows: states (T, D), and what the next byte of each row needs: its state before the cut and its chunk's, (R, D)."""
        x, recent = self.outer_before(ids, laid)
        if not self.cuts:
            return self.norm(x), ()
        begins, p = self.begin(x, torch.cat([x[:1], x[:-1]]), recent, laid.positions)
        starts, counts = counted(begins, laid.lengths, max(1, round(self.config.chunk_bytes)))
        self.cut = Cut(begins, p, laid.row, len(laid.lengths))
        rows = filled(counts, ids.device, inner)
        more = starts.new_zeros(sum(rows) - len(starts))
        # Not x[...], whose way back sorts the places first.
        z = self.inner(x.index_select(0, torch.cat([starts, more])), Laid(rows, ids.device, inner))[: len(starts)]
        if p is not None:
            chunks = Laid(counts, ids.device)
            z = smoothed(z, p[starts], chunks.row, chunks.positions, (len(counts), max(counts)))
        y = z.index_select(0, (begins.cumsum(0) - 1).clamp(max=len(z) - 1))
        if p is not None:
            y = y * straight(p, begins)[:, None]
        return self.outer_after(x, y, laid), (x[laid.last], y[laid.last])

    def outer_before(
        self, ids: torch.Tensor, places: Places, recent: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States (T, D) up to the cut, and the `history` they come from."""
        recent = history(ids, places.positions, self.back) if recent is None else recent
        x = self.drop(self.embed(recent))
        for block in self.layers[: self.config.before]:
            x = block(x, places)
        if not self.cuts:
            for block in self.layers[self.config.before :]:
                x = block(x, places)
        return x, recent

    def begin(
        self, x: torch.Tensor, earlier: torch.Tensor, recent: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Which bytes begin a chunk (T,), and how probable the router finds it; `earlier` are the states one byte before."""
        if self.config.chunks != "dynamic":
            return by_rule(self.config.chunks, recent, positions, round(self.config.chunk_bytes)), None
        p = self.router(x, earlier, positions == 0)
        return p >= 0.5, p

    def inner(self, x: torch.Tensor, places: Places) -> torch.Tensor:
        """What the trunk makes of the states at which chunks begin; shapes (M, D)."""
        # Sums over blocks stay in the format of the embeddings, also where products are computed in bf16.
        z = self.up(self.chunk_norm(x)).to(x.dtype)
        for block in self.layers[self.config.before + self.config.after :]:
            z = block(z, places)
        made: torch.Tensor = self.down(self.trunk_norm(z))
        return made

    def outer_after(self, x: torch.Tensor, y: torch.Tensor, places: Places) -> torch.Tensor:
        """States (T, D) after the chunks' `y` (T, D) were added; the sum in float32."""
        with torch.autocast(x.device.type, enabled=False):
            x = (self.residual(x.float()) + y.float()).to(x.dtype)
        for block in self.layers[self.config.before : self.config.before + self.config.after]:
            x = block(x, places)
        normed: torch.Tensor = self.norm(x)
        return normed


class HierarchicalForCausalLM(OverBytes, HierarchicalPreTrained, GenerationMixin):
    """The network with its output layer."""

    def __init__(self, config: HierarchicalConfig):
        super().__init__(config)
        self.model = Hierarchical(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.model.get_input_embeddings()

    def get_output_embeddings(self) -> Linear:
        return self.lm_head

    def flops_per_token(self) -> float:
        """Floating point operations of one trained byte: six a weight that multiplies it, the trunk's once a chunk."""
        inner = self.model.layers[self.config.before + self.config.after :]
        size = sum(p.numel() for p in inner.parameters())
        looked_up = sum(m.weight.numel() for m in self.modules() if isinstance(m, Embedding))
        every = sum(p.numel() for p in self.parameters()) - looked_up - size
        return 6.0 * (every + size / max(1.0, self.config.chunk_bytes))

    def rows(self) -> Decoding:
        """Rows that grow; none was read yet."""
        return Decoding(self)


class Decoding:
    """R rows that grow by a byte at a time; `logits` (R, V) are those of the next one."""

    logits: torch.Tensor
    recent: torch.Tensor
    kept: tuple[torch.Tensor, ...]
    """Of each row, its state before the cut and its chunk's, (R, D)."""

    def __init__(self, model: HierarchicalForCausalLM):
        self.head, self.net, config = model.lm_head, model.model, model.config
        self.outer = Memory(config.before + config.after)
        self.chunks = Memory(config.trunk if self.net.cuts else 0)

    def read(self, prompts: Sequence[Sequence[int]]) -> None:
        """Compute how the rows begin."""
        ids = torch.tensor([i for prompt in prompts for i in prompt], device=self.head.weight.device)
        laid = Laid([len(prompt) for prompt in prompts], ids.device, self.outer)
        hidden, self.kept = self.net.compute(ids, laid, self.chunks)
        self.recent = history(ids, laid.positions, self.net.back)[laid.last]
        self.logits = self.head(hidden[laid.last])

    def state(self) -> dict[str, torch.Tensor]:
        """All that is needed to go on elsewhere."""
        kept = {f"kept.{n}": one for n, one in enumerate(self.kept)}
        return {
            **self.outer.state("outer"),
            **self.chunks.state("chunks"),
            **kept,
            "recent": self.recent,
            "logits": self.logits,
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self.outer.restore("outer", state)
        self.chunks.restore("chunks", state)
        self.kept = (state["kept.0"], state["kept.1"]) if self.net.cuts else ()
        self.recent, self.logits = state["recent"], state["logits"]

    def feed(self, tokens: torch.Tensor) -> None:
        """Add one byte to each row; shape (R,)."""
        net = self.net
        self.recent = torch.cat([tokens[:, None], self.recent[:, :-1]], dim=1)
        step = Step(self.outer, torch.arange(len(tokens), device=tokens.device))
        x, recent = net.outer_before(tokens, step, self.recent)
        if net.cuts:
            earlier, y = self.kept
            begins, p = net.begin(x, earlier, recent, step.positions)
            rows = begins.nonzero()[:, 0]
            if len(rows):
                inner = Step(self.chunks, rows)
                z = net.inner(x[rows], inner)
                inner.done()
                if p is not None:
                    sure = p[rows, None].clamp(SURE, 1 - SURE)
                    z = sure * z.float() + (1 - sure) * y[rows].float()
                y = y.index_copy(0, rows, z.to(y.dtype))
            self.kept = x, y
            x = net.outer_after(x, y, step)
        else:
            x = net.norm(x)
        step.done()
        self.logits = self.head(x)

    def extend(self, tokens: torch.Tensor) -> None:
        """Add several bytes, shape (T,), to the only row."""
        net, places = self.net, More(self.outer, len(tokens))
        recent = further(self.recent, tokens)
        x, _ = net.outer_before(tokens, places, recent)
        if net.cuts:
            earlier, y = self.kept
            begins, p = net.begin(x, torch.cat([earlier, x[:-1]]), recent, places.positions)
            inner = More(self.chunks, int(begins.sum()))
            if inner.num_tokens:
                z = net.inner(x[begins], inner)
                inner.done()
                y = torch.cat([y, z.to(y.dtype) if p is None else _after(y, z, p[begins])])
            y = y[begins.cumsum(0)]
            self.kept = x[-1:], y[-1:]
            x = net.outer_after(x, y, places)
        else:
            x = net.norm(x)
        places.done()
        self.recent, self.logits = recent[-1:], self.head(x[-1:])

    def choose(self, rows: torch.Tensor) -> None:
        """Go on with `rows` alone, in their order; one may come several times."""
        self.outer.choose(rows)
        if self.net.cuts:
            self.chunks.choose(rows)
        self.recent, self.logits, self.kept = self.recent[rows], self.logits[rows], tuple(x[rows] for x in self.kept)


def _after(y: torch.Tensor, z: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Chunks `z` (M, D) as `smoothed` makes them, where the chunk before them is `y` (1, D)."""
    made = [y[0].float()]
    for sure, chunk in zip(p.clamp(SURE, 1 - SURE), z.float(), strict=True):
        made.append(sure * chunk + (1 - sure) * made[-1])
    return torch.stack(made[1:]).to(y.dtype)


AutoConfig.register(HierarchicalConfig.model_type, HierarchicalConfig, exist_ok=True)
AutoModel.register(HierarchicalConfig, Hierarchical, exist_ok=True)
AutoModelForCausalLM.register(HierarchicalConfig, HierarchicalForCausalLM, exist_ok=True)
