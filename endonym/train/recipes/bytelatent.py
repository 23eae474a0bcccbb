"""Train a new Byte Latent Transformer: a patcher finds where the text surprises, then the rest learns in patches of that length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from endonym.train.settings import ByteConfig

if TYPE_CHECKING:
    from endonym.data.dataset import Dataset
    from endonym.jobs.job import Job
    from endonym.models.load import Loaded
    from endonym.project import Project
    from endonym.train.fit import Fitted
    from endonym.train.recipe import Build, Fit, Prepared

REQUIRES = {"torch": "train", "transformers": "train"}
LOADS = "tokenizer"
CALIBRATED_ON = 200
"""Training rows on which the threshold is set at most."""


class Config(ByteConfig):
    """Settings of a Byte Latent Transformer from nothing."""

    patches: Literal["entropy", "space", "char", "fixed"] = Field(
        "entropy",
        description="Where patches end: where the patcher is surprised, at spaces, at characters, every so many bytes.",
    )
    patch_bytes: int = Field(4, ge=2, le=32, description="Wanted bytes a patch, of fixed ones and of those by entropy.")
    width: int = Field(
        512, ge=32, multiple_of=32, description="Width of the layers that see patches; those on bytes have half of it."
    )
    layers: int = Field(
        6, ge=3, description="Layers in all: one before the patches, one or two after them, the rest in between."
    )
    ngrams: list[int] = Field(
        [2, 3, 4, 6, 9, 12], min_length=1, description="Lengths of byte n-grams that have embeddings of their own."
    )
    patcher_width: int = Field(128, ge=16, multiple_of=16, description="Width of the patcher.")
    patcher_layers: int = Field(2, ge=1, description="Layers of the patcher.")
    patcher_steps: int = Field(
        0, ge=0, description="Optimiser steps of the patcher, which come first; 0 for a quarter of the others."
    )

    @property
    def first_steps(self) -> int:
        """Steps of the patcher."""
        return (self.patcher_steps or max(1, self.last_step // 4)) if self.patches == "entropy" else 0


def train(cfg: Config, data: Dataset, job: Job) -> Path:
    """Train on the chats of `data`, every byte a token, and write the model to `output/weights`."""
    import torch

    from endonym.models.load import on_bytes
    from endonym.train import noise, recipe
    from endonym.train.chunked import Chunked
    from endonym.train.finish import save_weights
    from endonym.train.rows import chats_of, prepare
    from endonym.train.searched import searched

    torch.manual_seed(cfg.seed)
    empty = on_bytes(job.output / "weights")
    prepared = prepare(chats_of(data, "train"), chats_of(data, "valid"), empty.renderer, cfg, job)
    found = searched(cfg, _short, empty, prepared, job)
    if found is None:
        return job.output
    chunked = Chunked(cfg.patch_bytes, 0.0, cfg.last_step, job)

    def first(model: Any, train: Fit) -> Fitted | None:
        return learn_patches(model, train, found, prepared, job) if cfg.first_steps else None

    def build(loaded: Loaded) -> Any:
        model = network(found)(loaded)
        job.log(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters; patches: {cfg.patches}")
        return model

    return recipe.run(
        "bytelatent", found, data, job, empty, build,
        lambda model, out: save_weights(model, empty.tokenizer, out / "weights"),
        prepared=prepared, first=first, course=lambda network: noise.course(cfg), loss=chunked.loss, watch=chunked.watch,
    )  # fmt: skip


def learn_patches(model: Any, train: Fit, cfg: Config, prepared: Prepared, job: Job) -> Fitted:
    """Train the patcher alone to tell the next byte, then put the threshold where patches get the wanted length on training rows."""
    net = model.model
    learning = {name: p.requires_grad for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        p.requires_grad_(name.startswith("model.patcher."))
    net.learns_patches = True
    own = cfg.model_copy(update={"steps": cfg.first_steps, "max_steps": 0, "patience": 0})
    done = train(own, "patcher")
    net.learns_patches = False
    for name, p in model.named_parameters():
        p.requires_grad_(learning[name])
    if not done.cancelled:
        threshold, length = calibrate(model, [e.ids for e in prepared[0].examples], cfg.patch_bytes)
        model.config.patching_threshold = threshold
        job.log(
            f"patches end where the next byte is uncertain by more than {threshold:.3f} nats: {length:.1f} bytes a patch"
        )
    return done


def calibrate(model: Any, rows: list[list[int]], wanted: float) -> tuple[float, float]:
    """The entropy in nats above which a patch ends, so that on `rows` of ids patches have the `wanted` bytes, and how many they have."""
    import torch

    from endonym.models.nets.rows import Laid
    from endonym.train.rows import evenly

    net, found = model.model, []
    was_training = model.training
    model.eval()
    for row in evenly(rows, CALIBRATED_ON):
        ids = torch.tensor(row, device=model.device)
        found.append(net.surprise(net.foresee(ids, Laid([len(row)], ids.device)))[1:])
    model.train(was_training)
    entropies = torch.cat(found)
    # Quantiles of more numbers than `torch.quantile` takes; the first byte of a row is a patch of its own.
    ordered = entropies.sort().values
    threshold = float(ordered[min(len(ordered) - 1, int(len(ordered) * (1 - 1 / wanted)))])
    return threshold, len(ordered) / max(1, int((ordered > threshold).sum()))


def _short(cfg: Config) -> Build:
    """The network of a search: with patches that need no patcher."""
    return network(cfg.model_copy(update={"patches": "space"}) if cfg.first_steps else cfg)


def network(cfg: Config) -> Build:
    """What makes a new network over bytes."""

    def build(loaded: Loaded) -> Any:
        import torch

        from endonym.models.nets.bytelatent import ByteLatentConfig, ByteLatentForCausalLM
        from endonym.train.network import trainable

        half = cfg.width // 2
        vocabulary = len(loaded.tokenizer)
        after = 1 if cfg.layers < 5 else 2

        def part(width: int, layers: int, **more: Any) -> dict[str, Any]:
            heads = next(width // size for size in (64, 32, 16) if width % size == 0)
            inner = -(-8 * width // 3 // 32) * 32
            return {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": inner,
                    "max_position_embeddings": cfg.max_length, "dropout": cfg.dropout, **more}  # fmt: skip

        local = {"vocab_size": vocabulary, "hidden_size_global": cfg.width, "cross_attn_k": 2}
        shape = ByteLatentConfig(
            vocab_size=vocabulary, use_cache=False, patch_in_forward=cfg.patches == "entropy", patching_mode=cfg.patches,
            patch_size=cfg.patch_bytes, local_attention_window_len=None, cross_attn_k=2,
            encoder_hash_byte_group_size=cfg.ngrams, encoder_hash_byte_group_vocab=cfg.ngram_rows,
            max_position_embeddings=cfg.max_length,
            # Its dropout would move the ends of patches.
            patcher_config=part(cfg.patcher_width, cfg.patcher_layers, vocab_size=vocabulary, sliding_window=None, dropout=0.0),
            encoder_config=part(half, 1, **local, cross_attn_all_layers=False), decoder_config=part(half, after, **local),
            global_config=part(cfg.width, cfg.layers - 1 - after),
            bos_token_id=loaded.tokenizer.bos_token_id, eos_token_id=loaded.tokenizer.eos_token_id,
            pad_token_id=loaded.tokenizer.pad_token_id,
        )  # fmt: skip
        torch.manual_seed(cfg.seed)
        model = trainable(ByteLatentForCausalLM(shape).float().to(loaded.device), cfg, loaded)
        if model.model.patcher is not None:
            model.model.patcher.requires_grad_(False)
        return model

    return build


def outline(cfg: Config, project: Project, inputs: Mapping[str, Path]) -> Loaded:
    """What the network begins with: the bytes, whatever the base of the project."""
    from endonym.models.load import on_bytes

    return on_bytes(project.path)


def all_steps(cfg: Config) -> int:
    """Steps of the search, of the patcher and of the rest."""
    return cfg.last_step + cfg.first_steps + cfg.searched_steps
