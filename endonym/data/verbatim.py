"""The longest spans that texts share with other texts, byte for byte, found by reading those once past a suffix automaton.

The automaton is that of the few texts (Blumer and others, The Smallest Automaton Recognizing the Subwords of a Text, Theoretical
Computer Science 1985); the many are only read, so time is linear in all of them together and memory in the few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Spans:
    """The automaton of `texts`, which learns what others share with them."""

    def __init__(self, texts: Sequence[str]):
        self._texts = [text.encode() for text in texts]
        self._next: list[dict[int, int]] = [{}]
        self._link, self._length = [-1], [0]
        self._ends: list[list[int]] = []
        """For each text, the state after each of its bytes."""
        last = 0
        for number, text in enumerate(self._texts):
            ends = []
            for symbol in text:
                last = self._grow(last, symbol)
                ends.append(last)
            self._ends.append(ends)
            # A sign that no byte has ends a text, so that no span reaches into the next.
            last = self._grow(last, 256 + number)
        self._seen = [0] * len(self._next)
        """Length of the longest string of each state that was read."""

    def read(self, others: Iterable[str]) -> None:
        """Read texts past the automaton and keep the longest span that each state has met."""
        following, link, length, seen = self._next, self._link, self._length, self._seen
        for other in others:
            state, size = 0, 0
            for symbol in other.encode():
                while state and symbol not in following[state]:
                    state = link[state]
                    size = length[state]
                if symbol in following[state]:
                    state = following[state][symbol]
                    size += 1
                    if size > seen[state]:
                        seen[state] = size

    def ending(self) -> list[list[int]]:
        """For each byte of each text, the length in bytes of the longest span ending there that stands in what was read."""
        seen, link = list(self._seen), self._link
        by_length = sorted(range(1, len(seen)), key=self._length.__getitem__, reverse=True)
        # Whatever ends a string that was read was read itself.
        for state in by_length:
            if seen[state]:
                parent = link[state]
                seen[parent] = self._length[parent]
        for state in reversed(by_length):
            seen[state] = seen[state] or seen[link[state]]
        return [[seen[state] for state in ends] for ends in self._ends]

    def longest(self) -> list[bytes]:
        """For each text, the longest span of it that stands in what was read."""
        found = []
        for text, sizes in zip(self._texts, self.ending(), strict=True):
            end = max(range(len(sizes)), key=sizes.__getitem__, default=-1)
            found.append(text[end + 1 - sizes[end] : end + 1] if sizes else b"")
        return found

    def covered(self, least: int) -> list[int]:
        """For each text, how many of its bytes lie in spans of at least `least` bytes that stand in what was read."""
        counts = []
        for sizes in self.ending():
            count = start = 0
            for end, size in enumerate(sizes, 1):
                if size >= least:
                    count += end - max(start, end - size)
                    start = end
            counts.append(count)
        return counts

    def _grow(self, last: int, symbol: int) -> int:
        following, link, length = self._next, self._link, self._length
        new = self._add({}, length[last] + 1, 0)
        state = last
        while state != -1 and symbol not in following[state]:
            following[state][symbol] = new
            state = link[state]
        if state == -1:
            return new
        old = following[state][symbol]
        if length[old] == length[state] + 1:
            link[new] = old
            return new
        copy = self._add(dict(following[old]), length[state] + 1, link[old])
        link[old] = link[new] = copy
        while state != -1 and following[state].get(symbol) == old:
            following[state][symbol] = copy
            state = link[state]
        return new

    def _add(self, following: dict[int, int], length: int, link: int) -> int:
        self._next.append(following)
        self._length.append(length)
        self._link.append(link)
        return len(self._next) - 1
