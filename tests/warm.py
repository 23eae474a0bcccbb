"""Starts workers out of a process that has imported what they import: hundreds of jobs would spend a quarter of the suite on that.

A request is a line of JSON with `arguments`, `log`, `folder` and `environment`; the answer is a line with the process id. Workers that commands and
servers start in the tests are started as everywhere.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any


def main() -> None:
    """Import, then fork for each request until there are no more."""
    import torch  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    from endonym.models.packed import import_peft

    import_peft()
    import endonym.evaluate.run
    import endonym.train.recipe
    import endonym.worker  # noqa: F401

    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            _work(json.loads(line))
        print(child, flush=True)


def _work(asked: dict[str, Any]) -> None:
    """What `python -m endonym.worker` does; does not return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(asked["log"], os.O_WRONLY | os.O_APPEND)
        for old, new in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        from endonym.worker import guarded

        code = guarded(asked["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _reap() -> None:
    """Let no worker that ended stay behind as a zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
