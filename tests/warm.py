"""Starts workers out of a process that has imported what they import: hundreds of jobs would spend a quarter of the suite on that.

    python tests/warm.py listen ADDRESS          # the process that forks, until its standard input ends; says "ready"
    python tests/warm.py endonym ADDRESS ...     # endonym with these arguments, whose workers come from there

A request is a line of JSON with `module`, `arguments`, `files` for standard input, output and errors, `folder` and `environment`; the answers are a
line with the process id and, unless it is a worker, one with the exit code. What workers start to load an export or to forecast a run comes from there too.
Workers that commands start in the tests, and studios that tests kill, are started as everywhere.
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
from importlib import import_module
from pathlib import Path
from runpy import run_module
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import IO, Any


def launch(address: str, project: Path, job: int, folder: Path, reserved: str = "", cfg: Any = None) -> int:
    """What `endonym.launch.process.launch` does, by the process that listens at `address`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    log.touch()
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as both:
        line.connect(address)
        words, files = [str(project), str(job), reserved], [os.devnull, *[str(log.resolve())] * 2]
        return _asked(both, "endonym.worker", words, files, environment())


def run(address: str, command: list[str], *, input: str = "", timeout: float, **how: Any) -> CompletedProcess[str]:
    """What `subprocess.run` does with `python -m MODULE …` when it keeps what is said as text."""
    assert command[:2] == [sys.executable, "-m"] and how["capture_output"] and how["text"]
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as both:
        line.connect(address)
        given, said, errors = (Path(folder) / name for name in ("given", "said", "errors"))
        given.write_text(input, encoding="utf-8")
        for file in (said, errors):
            file.touch()
        child = _asked(both, command[2], command[3:], [str(given), str(said), str(errors)], dict(os.environ))
        line.settimeout(timeout)
        try:
            code = int(both.readline() or -signal.SIGKILL)
        except BaseException as error:
            os.kill(child, signal.SIGKILL)
            raise (TimeoutExpired(command, timeout) if isinstance(error, TimeoutError) else error) from None
        return CompletedProcess(command, code, *(file.read_text("utf-8", "replace") for file in (said, errors)))


def _asked(both: IO[str], module: str, arguments: list[str], files: list[str], given: dict[str, str]) -> int:
    asked = {"module": module, "arguments": arguments, "files": files, "folder": os.getcwd(), "environment": given}
    print(json.dumps(asked), file=both, flush=True)
    return int(both.readline())


def environment() -> dict[str, str]:
    """What a worker is started with."""
    from endonym.launch import process

    return {**process._ENVIRONMENT, "GOMP_SPINCOUNT": process._spins(), **os.environ}


def start_warm(address: Callable[[], str]) -> None:
    """Have this process start its workers, and what they start, at what `address` gives."""
    from endonym.export import parity
    from endonym.jobs import begin
    from endonym.teach import apart

    patched: Any = SimpleNamespace(
        run=lambda *given, **how: run(address(), *given, **how), TimeoutExpired=TimeoutExpired
    )
    for module in (parity, apart):
        module.subprocess = patched
    begin.launch = lambda *given: launch(address(), *given)


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
                    server.close()
                    _work(asked, address, line)
                print(child, file=both, flush=True)


def _work(asked: dict[str, Any], address: str, line: socket.socket) -> None:
    """What `python -m` does with the module; does not return."""
    code: Any = 0
    worker = asked["module"] == "endonym.worker"
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if worker:
            os.setsid()
            line.detach()
        for number, name in enumerate(asked["files"]):
            os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY), number)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        start_warm(lambda: address)
        sys.argv = [asked["module"], *asked["arguments"]]
        if worker:
            code = import_module(asked["module"]).guarded(asked["arguments"])
        else:
            run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
            if not worker:
                line.sendall(f"{int(code or 0)}\n".encode())
        os._exit(int(code or 0))


def _reap() -> None:
    """Let no worker that ended stay behind as a zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(way: str, address: str, *arguments: str) -> None:
    """One of the two ways in which this file is called."""
    if way == "listen":
        return listen(address)
    start_warm(lambda: address)
    from endonym.cli.main import main as endonym

    sys.exit(endonym([*arguments]))


if __name__ == "__main__":
    main(*sys.argv[1:])
