"""The settings of a training job, under the names that trainers commonly give them, in snake_case or camelCase."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from endonym.config import read_toml
from endonym.data.judges import named_url

PRESETS = Path(__file__).with_name("presets.toml")


class Config(BaseModel):
    """Settings of `endonym teach`; what this machine cannot honour is said in the result and as a warning."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, loc_by_alias=False
    )

    preset: Literal["", "quick", "balanced", "thorough"] = Field("", description="Ready-made settings to begin with.")
    base_model: str = Field("", description="Base model of this job alone; empty takes the project's.")
    rank: int = Field(8, ge=1, description="Rank of the adapters: how much they can learn.")
    alpha: float = Field(32.0, gt=0, description="Scale of the adapters; their output is multiplied by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Share of adapter inputs dropped in training.")
    target_modules: list[str] = Field(["all-linear"], description="Layers that get adapters, or all-linear.")
    quantization: Literal["none", "8bit", "4bit"] = Field("none", description="Keep the frozen base in fewer bits.")
    batch_size: int = Field(4, ge=1, description="Rows computed at once, at most.")
    gradient_accumulation_steps: int = Field(8, ge=1, description="Batches a step; a step sees their product of rows.")
    epochs: float = Field(3.0, gt=0, description="How often every row is seen.")
    max_steps: int = Field(0, ge=0, description="Stop after this many steps whatever the epochs say; 0 is no limit.")
    max_rows: int | None = Field(
        None, ge=0, description="Training records used; 0 is all, none is as the project says."
    )
    learning_rate: float = Field(2e-4, gt=0, description="Highest learning rate.")
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = Field("cosine", description="How the rate falls.")
    warmup_steps: int = Field(100, ge=0, description="Steps in which the learning rate rises.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled weight decay of matrices.")
    max_grad_norm: float = Field(1.0, ge=0, description="Largest norm of a step's gradient; 0 is no limit.")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="How much of the mean gradient AdamW keeps.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="How much of the mean squared gradient AdamW keeps.")
    adam_epsilon: float = Field(1e-8, gt=0, description="Added to the root of the mean squared gradient.")
    fp16: bool | Literal["auto"] = Field(
        "auto", description="Compute in 16-bit floats of IEEE, with the loss scaled; auto on a GPU without bf16."
    )
    bf16: bool | Literal["auto"] = Field("auto", description="Compute in bfloat16; auto where it is faster.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to train.")
    max_length: int = Field(1024, ge=16, description="Longest training row in tokens; a longer one is in the ledger.")
    save_steps: int = Field(100, ge=1, description="Steps between checkpoints.")
    eval_steps: int = Field(50, ge=1, description="Steps between evaluations on the validation split.")
    logging_steps: int = Field(10, ge=1, description="Steps between points of the training curve.")
    temperature: float = Field(0.0, ge=0, le=2, description="How varied the graded answers are; 0 is greedy.")
    top_p: float = Field(1.0, gt=0, le=1, description="Share of probability that sampled tokens come from.")
    max_tokens: int = Field(128, ge=1, description="Longest graded answer, in tokens.")
    questions: list[str] = Field([], description="Your own question files, graded before and after.")
    language_questions: int = Field(8, ge=0, description="Graded questions in the project's languages.")
    judge_url: str = Field(
        default_factory=named_url,
        description="OpenAI-compatible endpoint of a judge model, or what ENDONYM_JUDGE_URL says; empty asks nobody.",
    )
    judge_model: str = Field("", description="Name of the judge model there.")
    judge_ratings: str = Field("", description="File of people's marks that the judge is checked against.")
    test_items: int | None = Field(
        None, ge=0, description="Items of the sealed test a task; 0 is all, none as the project says."
    )
    test_samples: int | None = Field(
        None, ge=0, description="Sampled answers beside the greedy one; none as the project says."
    )
    exports: list[Literal["adapter", "merged", "gguf"]] = Field(["adapter", "merged"], description="Files to ship.")
    seed: int = Field(20, description="Seed of row order, initial values, dropout and questions.")

    @model_validator(mode="before")
    @classmethod
    def _begin_with_preset(cls, values: Any) -> Any:
        """Fill what was not set from the preset."""
        if not isinstance(values, dict):
            return values
        named = {to_camel(name): name for name in cls.model_fields}
        given = {named.get(key, key): value for key, value in values.items()}
        preset = presets().get(str(given.get("preset", "")), {"settings": {}})
        return {**preset["settings"], **given}

    @model_validator(mode="after")
    def _one_format(self) -> Config:
        if self.fp16 is True and self.bf16 is True:
            raise ValueError("fp16 and bf16 cannot both be chosen")
        return self


def presets() -> dict[str, dict[str, Any]]:
    """By name the label, a sentence and the settings of each preset."""
    return read_toml(PRESETS)
