"""Starts workers out of a process that has imported what they import: hundreds of jobs would spend a quarter of the suite on that.

    python tests/warm.py listen ADDRESS          # the process that forks, until its standard input ends; says "ready"
    python tests/warm.py endonym ADDRESS ...     # endonym with these arguments, whose workers come from there

A request is a line of JSON with `arguments`, `log`, `folder` and `environment`; the answer is a line with the process id. What workers start comes
from there too. Workers that commands start in the tests, and studios that tests kill, are started as everywhere.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def launch(address: str, project: Path, job: int, folder: Path, reserved: str = "", cfg: Any = None) -> int:
    """What `endonym.launch.process.launch` does, by the process that listens at `address`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    log.touch()
    asked = {
        "arguments": [str(project), str(job), reserved], "log": str(log.resolve()), "folder": os.getcwd(), "environment": environment(),
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as both:
        line.connect(address)
        print(json.dumps(asked), file=both, flush=True)
        return int(both.readline())


def environment() -> dict[str, str]:
    """What a worker is started with."""
    from endonym.launch import process

    return {**process._ENVIRONMENT, "GOMP_SPINCOUNT": process._spins(), **os.environ}


def start_warm(address: str) -> None:
    """Have this process start its workers at `address`."""
    from endonym.jobs import begin

    start: Callable[..., int] = lambda *args: launch(address, *args)  # noqa: E731
    begin.launch = start


def listen(address: str) -> None:
    """Import, then fork for each request until standard input ends."""
    import torch  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast  # noqa: F401

    from endonym.models.packed import import_peft

    import_peft()
    import iso639  # noqa: F401

    import endonym.train.recipe
    import endonym.worker  # noqa: F401
    from endonym.jobs.stage import load_stage, verbs

    for verb in verbs():
        load_stage(verb)
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        print("ready", flush=True)
        while sys.stdin not in (heard := select.select([sys.stdin, server], [], [])[0]):
            assert heard
            with server.accept()[0] as line, line.makefile("rw") as both:
                asked = json.loads(both.readline())
                child = os.fork()
                if child == 0:
                    for inherited in (both, line, server):
                        inherited.close()
                    _work(asked, address)
                print(child, file=both, flush=True)


def _work(asked: dict[str, Any], address: str) -> None:
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
        start_warm(address)
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


def main(way: str, address: str, *arguments: str) -> None:
    """One of the two ways in which this file is called."""
    if way == "listen":
        return listen(address)
    start_warm(address)
    from endonym.cli.main import main as endonym

    sys.exit(endonym([*arguments]))


if __name__ == "__main__":
    main(*sys.argv[1:])
