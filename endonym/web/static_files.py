"""The files of the pages: right types whatever the system says, and always asked for anew, which costs nothing where they are the same."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

FOLDER = Path(__file__).with_name("static")
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
for _ending, _type in TYPES.items():
    mimetypes.add_type(_type, _ending)


class Files(StaticFiles):
    """Files of one folder, with an ETag; links out of it are not followed."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        response = super().file_response(*args, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def files() -> Files:
    """The application that serves them."""
    return Files(directory=FOLDER, check_dir=False)
