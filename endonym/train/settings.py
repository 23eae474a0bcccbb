"""Settings of the training loop, apart from it so that reading them loads nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from endonym.models.needs import TOKENS_AT_ONCE

KEEP = 2
"""Checkpoints that are kept of a run while it goes on."""
SCALE = 65536.0
"""What the loss is multiplied by at first, and at most, where its way back is computed in fp16."""

TRIED: dict[str, tuple[float, ...]] = {"weight_decay": (0.1, 0.5, 1.0, 1.6), "dropout": (0.0, 0.1, 0.2)}
"""What a search tries of each setting, one setting after the other."""


class FitConfig(BaseModel):
    """Settings of the loop that every gradient-trained recipe shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(200, ge=1, description="Optimiser steps.")
    max_steps: int = Field(0, ge=0, description="Stop after this many steps whatever the plan says; 0 is no limit.")
    batch_size: int = Field(32, ge=1, description="Rows per optimiser step.")
    batch_tokens: int = Field(
        TOKENS_AT_ONCE, ge=64, description="Tokens computed at once; smaller needs less memory, same result."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate.")
    warmup: float = Field(0.05, ge=0, le=1, description="Share of the steps in which the learning rate rises.")
    warmup_steps: int = Field(0, ge=0, description="Steps in which the learning rate rises; 0 goes by the share.")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rate falls after it has risen; constant stays at the highest."
    )
    final: float = Field(0.02, ge=0, le=1, description="Learning rate at the end, as a share of the highest.")
    weight_decay: float = Field(
        0.01, ge=0, le=1.6, description="Decoupled weight decay of matrices; more for less text."
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="How much of the mean gradient AdamW keeps from step to step.")
    beta2: float = Field(0.99, ge=0, lt=1, description="How much of the mean squared gradient AdamW keeps.")
    epsilon: float = Field(1e-8, gt=0, description="Added to the root of the mean squared gradient.")
    clip: float = Field(1.0, ge=0, description="Largest norm of a step's gradient; 0 is no limit.")
    max_length: int = Field(1024, ge=16, description="Longest row in tokens; a longer one goes to the ledger.")
    evaluate_every: int = Field(50, ge=1, description="Steps between evaluations on the validation split.")
    valid_rows: int = Field(128, ge=1, description="Validation rows used for each evaluation.")
    samples: int = Field(3, ge=0, description="Answers generated and shown at each evaluation.")
    log_every: int = Field(1, ge=1, description="Steps between points of the training curve.")
    save_every: int = Field(50, ge=1, description="Steps between checkpoints.")
    patience: int = Field(0, ge=0, description="Stop after this many evaluations without gain; 0 never stops early.")
    average: int = Field(
        0, ge=0, description="Keep the mean of the weights of this many last evaluations where it is better; 0 is off."
    )
    ema: float = Field(
        0,
        ge=0,
        lt=1,
        description="Keep a running mean of the weights, this share of it from step to step, where it is better; 0 is off.",
    )
    dtype: str = Field(
        "auto", pattern="^(auto|float32|bfloat16|float16)$", description="Number format of the computation."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to train; auto is the fastest.")
    compiled: bool = Field(
        False, description="Compile the gated blocks (torch.compile); on the CPUs tried it took longer than it saved."
    )
    devices: int = Field(
        1,
        ge=0,
        description="GPUs to train on together, 0 for all there are; without GPUs, processes that share the processor, to try it out.",
    )
    data_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the records that is learned from, drawn with the seed: to see what more would bring.",
    )
    canaries: int = Field(
        0,
        ge=0,
        description="Made-up lines planted among the training rows, by which `endonym diagnose` tells learning by heart.",
    )
    seed: int = Field(20, description="Seed of row order, initial values and dropout.")

    @property
    def last_step(self) -> int:
        """The step at which a run ends that nothing stops early."""
        return min(self.steps, self.max_steps or self.steps)


class NewConfig(FitConfig):
    """Settings of training a network from nothing."""

    dropout: float = Field(0.1, ge=0, lt=1, description="Share of activations dropped in training.")
    learning_rate: float = Field(2e-3, gt=0, description="Highest learning rate.")
    weight_decay: float = Field(
        0.1, ge=0, le=1.6, description="Decoupled weight decay of matrices; more for less text."
    )
    patience: int = Field(3, ge=0, description="Stop after this many evaluations without gain; 0 never stops early.")
    search_steps: int = Field(
        0,
        ge=0,
        description="Steps of each of the short runs by which weight decay and dropout are chosen first; 0 takes those that are set.",
    )

    @property
    def searched_steps(self) -> int:
        """Steps of all short runs."""
        return self.search_steps * sum(map(len, TRIED.values()))


class ByteConfig(NewConfig):
    """Settings of training a network over bytes from nothing, whatever the network is."""

    ngram_rows: int = Field(8192, ge=16, description="Embeddings for the byte n-grams of each length.")
    ngram_rate: float = Field(
        5.0, gt=0, description="How many times the learning rate these embeddings learn with, for each is met seldom."
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of the characters that are missing or read wrongly in half of the rows: for text that is not written with care.",
    )
    max_length: int = Field(2048, ge=16, description="Longest row in bytes; a longer one goes to the ledger.")
    batch_tokens: int = Field(
        4096, ge=64, description="Bytes computed at once; smaller needs less memory, same result."
    )
