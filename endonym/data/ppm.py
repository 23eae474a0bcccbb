"""Bits a text compressor needs for texts after reading others: what any model must beat to be worth its weights.

PPMd (Cleary and Witten 1984; Shkarin's variant H, `pyppmd`). A text costs the bytes that come out while it goes in; the sum over all
texts is the difference in compressed size, exact to the coder's last byte, and what single texts lose to whole bytes evens out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ORDER, MEMORY_MIB = 8, 64


class Compressor:
    """A compressor that has read `lines`; it also learns from every text it is asked about."""

    def __init__(self, lines: Iterable[str], order: int = ORDER, memory_mib: int = MEMORY_MIB):
        import pyppmd

        self._encoder: Any = pyppmd.Ppmd7Encoder(order, memory_mib << 20)
        self._encoder.encode("".join(f"{line}\n" for line in lines).encode())

    def bits(self, text: str, before: str = "") -> int:
        """Bits of `text`, a line, after `before` in the same line; neither that nor the line's end is charged."""
        if before:
            self._encoder.encode(before.encode())
        spent = len(self._encoder.encode(text.encode()))
        self._encoder.encode(b"\n")
        return 8 * spent
