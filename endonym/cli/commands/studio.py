"""Open the studio in the browser: projects, material, training, comparison and chat, without a terminal."""

from __future__ import annotations

import argparse
import hmac
import http.client
import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

from endonym.cli.console import Console, near
from endonym.errors import MissingError, UsageError

LONGEST_ANSWER = 1 << 16
PATIENCE_SECONDS = 10.0
"""How long whoever holds the port may take to answer: a studio on a busy computer does."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `endonym studio`."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER",
        help="The folder that holds the projects, made when it is not there; or one project. (default: here)",
    )  # fmt: skip
    group = parser.add_argument_group("The server")
    group.add_argument("--port", type=int, default=8400, metavar="N", help="Port to listen on. (default: 8400)")
    group.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="Address to listen on; anything but this computer needs --token. (default: 127.0.0.1)",
    )  # fmt: skip
    group.add_argument(
        "--token",
        default="",
        metavar="TEXT",
        help="The key programs give. (default: the folder's own, in .endonym/token)",
    )
    group.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="A further name the server may be called by."
    )
    group.add_argument(
        "--offline", action="store_true", help="Fetch no models, whoever asks: no outgoing call is made."
    )
    group.add_argument("--no-browser", action="store_true", help="Print the address and open no browser.")
    parser.epilog = (
        "The printed address opens once, within ten minutes, and the browser stays in afterwards. Jobs are processes of their own: "
        "they go on when the studio is closed, and it finds them again."
    )


def run(args: argparse.Namespace, console: Console) -> None:
    """Serve until Ctrl-C; where the studio of this folder runs already, print and open a new address of it."""
    from endonym.serve.guard import is_loopback, project_token

    if not 0 <= args.port < 1 << 16:
        raise UsageError(f"there is no port {args.port}", "Ports go from 0 to 65535.")
    if not is_loopback(args.host) and len(args.token) < 16:
        raise UsageError(
            f"listening on {args.host} lets other computers in, and no --token of at least 16 characters was given",
            "Leave --host out, or choose a token: --token \"$(python -c 'import secrets; print(secrets.token_urlsafe(32))')\"",
        )
    home, page = _place(args.project or args.folder)
    token = args.token or project_token(home)[0]
    if args.port and (address := _running(args, home, token, page)):
        _show(address, home, args, console)
        return
    _serve(args, home, token, page, console)


def _place(folder: Path) -> tuple[Path, str]:
    """The folder of projects and the page to show first: a project's own when one was named, or when we stand in one."""
    from endonym.project import SETTINGS_FILE

    here = folder.expanduser().resolve()
    for place in (here, *here.parents):
        if (place / SETTINGS_FILE).is_file():
            return place.parent, f"/p/{quote(place.name, safe='')}"
    here.mkdir(parents=True, exist_ok=True)
    return here, "/"


def _serve(args: argparse.Namespace, home: Path, token: str, page: str, console: Console) -> None:
    try:
        import uvicorn

        from endonym.web.app import create_app
        from endonym.web.session import Sessions
    except ModuleNotFoundError as error:
        raise MissingError(
            f"the studio needs the Python module '{error.name}'", "Install it with: pip install 'endonym[studio]'"
        ) from error
    from endonym.serve.guard import is_loopback
    from endonym.serve.run import bind

    sessions = Sessions(token)
    app = create_app(
        home, token, sessions=sessions, hosts=args.name, open_to_network=not is_loopback(args.host),
        network=not args.offline,
    )  # fmt: skip
    config = uvicorn.Config(
        app, host=args.host, port=args.port, log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, ws="none", timeout_graceful_shutdown=2,
    )  # fmt: skip
    listening = bind(config)
    address = f"{_base(args.host, listening.getsockname()[1])}/enter?code={sessions.new_code(page)}"
    _show(address, home, args, console)
    console.say("Ctrl-C closes the studio; jobs go on.")
    uvicorn.Server(config).run(sockets=[listening])


def _show(address: str, home: Path, args: argparse.Namespace, console: Console) -> None:
    key = "the --token you gave" if args.token else near(home / ".endonym" / "token")
    console.result({"url": address, "home": str(home), "token": key}, address)
    console.say(f"The studio over {near(home)}. The address opens once; programs use the key in {key}.")
    if not args.no_browser and not console.json:
        import webbrowser

        webbrowser.open(address)


def _running(args: argparse.Namespace, home: Path, token: str, page: str) -> str:
    """A new address of the studio that answers on this port already; empty when nothing of ours does.

    Any program may hold the port: the token is said only to one that has proved that it knows it, on the same connection.
    """
    from endonym.web.session import proof

    connection = http.client.HTTPConnection(args.host, args.port, timeout=PATIENCE_SECONDS)  # which knows of no proxy
    try:
        connection.connect()
        nonce, address = secrets.token_hex(32), connection.sock.getpeername()[:2]
        told = str(_asked(connection, "GET", f"/api/v1/prove?nonce={nonce}")["proof"])
        if connection.sock is None or not hmac.compare_digest(told.encode(), proof(token, nonce, address).encode()):
            return ""
        connection.auto_open = 0
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        about = _asked(connection, "GET", "/api/v1/about", headers)
        if about["name"] != "endonym" or about["home"] != str(home):
            return ""
        path = _asked(connection, "POST", "/api/v1/enter", headers, json.dumps({"page": page}))["path"]
        return _base(args.host, args.port) + str(path)
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def _asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: str = "",
) -> Any:
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    said = answer.read(LONGEST_ANSWER)
    if answer.status != 200:
        raise ValueError(f"the answer is {answer.status}")
    return json.loads(said)


def _base(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
