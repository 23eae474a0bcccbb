"""Keep records on disk while a filter looks at all of them, so that memory holds numbers and not texts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType

from endonym.types import Record, from_json, to_json


class Spool:
    """Records written once to a file without a name, and read again as often as needed; use as a context manager."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", prefix="endonym-", errors="surrogatepass")  # noqa: SIM115
        self._size = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._size

    def through(self, records: Iterable[Record]) -> Iterator[Record]:
        """Pass records on, each written down before."""
        for record in records:
            self._file.write(json.dumps(to_json(record), ensure_ascii=False) + "\n")
            self._size += 1
            yield record

    def __iter__(self) -> Iterator[Record]:
        self._file.flush()
        self._file.seek(0)
        for line in self._file:
            yield from_json(json.loads(line))
