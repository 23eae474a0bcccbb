"""docs/http.md says what is true: its commands run, its addresses exist, its Python is Python of OpenAI's client."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from promised import DONE, document, kept, shape_of

from endonym.web.app import create_app

if TYPE_CHECKING:
    from conftest import Studio

PAGE = (Path(__file__).parent.parent / "docs" / "http.md").read_text(encoding="utf-8")
LONG = r"(stream|chat|chat/completions|estimate)$"
"""Addresses whose answers take long: a stream has no end, models load."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_the_commands_run(studio: Studio, tmp_path: Path):
    script = "set -e\n" + blocks("sh")[1]
    about = {**os.environ, "ENDONYM": studio.base, "TOKEN": studio.token}
    ran = subprocess.run(["bash", "-c", script], env=about, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = [json.loads(one) for one in re.sub(r"}\s*{", "}\n{", ran.stdout).splitlines()]
    assert made[0]["id"] == "my-language"
    assert made[1]["added"] == 1
    assert made[3]["name"] == "ingest"


def test_the_addresses_exist():
    known = create_app(Path(), "t" * 43).app.openapi()["paths"]
    patterns = [re.sub(r"{\w+(:path)?}", "[^/]+", path) for path in known]
    named = re.findall(r"(?:\$ENDONYM|(?:GET|POST) )(/(?:api/)?v1[\w/.-]*)", PAGE)
    assert len(named) > 6
    for address in named:
        assert address == "/api/v1/openapi.json" or any(re.fullmatch(one, address) for one in patterns), address


def test_the_python_is_that_of_the_client():
    client = openai.OpenAI(base_url="http://localhost/v1", api_key="x")
    (code,) = blocks("python")
    called = 0
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("client."):
            found: Any = client
            for name in ast.unparse(node.func).split(".")[1:]:
                found = getattr(found, name)
            assert callable(found)
            called += 1
    assert called == 6


def test_the_main_answers_are_described_and_a_wrong_one_is_noticed():
    main = r"/api/.*/(projects|artifacts|files|datasets|jobs|steps|events|metrics|models|ratings)(/{(?!path)\w+})?$"
    plain, number = [], 0
    for path, methods in document()["paths"].items():
        for method in methods if re.match(main, path) else ():
            shapes = [shape for status in DONE if (shape := shape_of(method.upper(), path, status))]
            plain += [] if shapes and "$ref" in shapes[0] else [f"{method} {path}"]
            number += 1
    assert number > 20
    assert not plain
    asked = httpx.Request("GET", "http://x/api/v1/projects/p/jobs/1/metrics?points=3")
    for curve, right in (({"number": 1, "steps": [1], "values": [None]}, True), ({"number": 1, "steps": [1]}, False)):
        answer = httpx.Response(200, json={"names": {"loss": 1}, "curves": {"loss": curve}}, request=asked)
        with contextlib.nullcontext() if right else pytest.raises(AssertionError, match="values"):
            kept(answer)


def test_whatever_is_sent_the_server_has_an_answer(studio: Studio):
    """A few odd requests for each address; `schemathesis run` asks many more."""
    key = {"Authorization": f"Bearer {studio.token}"}
    with studio.program() as client:
        client.post("/api/v1/projects", json={"name": "form", "language": "tzh"})
    interface = schemathesis.openapi.from_url(f"{studio.base}/api/v1/openapi.json", headers=key).exclude(
        path_regex=LONG
    )
    asked = 0
    for operation in interface.get_all_operations():

        @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def ask(case: Any) -> None:
            if "project" in case.path_parameters:
                case.path_parameters["project"] = "form"
            answer = case.call(headers=key, timeout=120)
            assert answer.status_code < 500, answer.text

        ask()
        asked += 1
    assert asked > 50
