"""The process aside: reads requests as lines of JSON, and writes replies as lines of JSON."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from endonym.errors import EndonymError, UsageError

KNOWN = ("answer.chat", "estimate.needed", "material.add", "material.piece", "material.restate", "material.withdraw")
"""What can be asked for. Each is a generator of `(event, data)`; the data of `done` is the result."""


def main() -> None:
    """Work until the server closes the pipe, then end at once whatever is being done."""
    # When memory runs out, this goes before the server and before training.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What libraries print must not stand among the replies.
    os.dup2(2, 1)
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()
    cancelled: set[int] = set()
    threading.Thread(target=_listen, args=(waiting, cancelled), daemon=True).start()
    while True:
        request = waiting.get()
        _serve(request, cancelled, out)
        cancelled.discard(request["id"])


def _listen(waiting: queue.Queue[dict[str, Any]], cancelled: set[int]) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("cancel"):
            cancelled.add(request["id"])
        else:
            waiting.put(request)
    os._exit(0)


def _serve(request: dict[str, Any], cancelled: set[int], out: Any) -> None:
    number = request["id"]

    def send(event: str, data: Any) -> None:
        out.write(json.dumps({"id": number, "event": event, "data": data}) + "\n")
        out.flush()

    try:
        if number in cancelled:  # taken back while it waited in line
            return
        send("began", {})
        if request["do"] not in KNOWN:
            raise UsageError("nothing of this name is done here", f"Known: {', '.join(KNOWN)}.")
        module, _, function = request["do"].partition(".")
        work = getattr(import_module(f"endonym.web.aside.{module}"), function)(**request["given"])
        for event, data in work:
            if number in cancelled:
                work.close()
                return
            send(event, data)
    except EndonymError as error:
        send("error", {"message": error.message, "hint": error.hint, "type": type(error).__name__})
    except Exception as error:
        traceback.print_exc()
        message = "out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
        send("error", {"message": message, "hint": "The server's terminal says more.", "type": "JobError"})


if __name__ == "__main__":
    main()
