"""The one training loop: token-normalised steps over packed rows, evaluation, checkpoints, early stopping, exact resume."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from endonym.errors import JobError
from endonym.models.render import Example
from endonym.train import checkpoint
from endonym.train.batches import Packed, micro_batches, pack, steps
from endonym.train.checkpoint import State

if TYPE_CHECKING:
    from endonym.jobs.job import Job

Loss = Callable[[torch.nn.Module, Packed], torch.Tensor]
"""Summed loss over the learned tokens of a pack."""
