"""Join things that belong together into groups, as links between them become known."""

from __future__ import annotations


class UnionFind:
    """Disjoint sets of `0 .. size - 1` (Tarjan 1975), each named by its smallest member."""

    def __init__(self, size: int):
        self.parents = list(range(size))

    def find(self, item: int) -> int:
        """Smallest member of the set that `item` is in."""
        root = item
        while self.parents[root] != root:
            root = self.parents[root]
        while self.parents[item] != root:
            self.parents[item], item = root, self.parents[item]
        return root

    def join(self, first: int, second: int) -> None:
        """Make the sets of both items one."""
        a, b = self.find(first), self.find(second)
        self.parents[max(a, b)] = min(a, b)

    def groups(self) -> list[int]:
        """For each item the name of its set."""
        return [self.find(item) for item in range(len(self.parents))]
