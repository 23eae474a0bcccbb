"""The studio's API: what a page or a program asks of it, against a real server process."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from conftest import Studio


def test_the_printed_address_opens_once_and_the_browser_stays_in(studio: Studio):
    with httpx.Client(base_url=studio.base) as browser:
        assert browser.get("/").status_code == 401
        entered = browser.get(studio.entrance)
        assert entered.status_code == 303
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        page = browser.get("/")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
    with httpx.Client(base_url=studio.base) as other:
        assert other.get(studio.entrance).status_code == 403
        assert other.get("/").status_code == 401


def test_a_project_is_made_and_found_again(studio: Studio):
    with studio.browser() as browser:
        made = browser.post("/api/v1/projects", json={"name": "Mi léxico ትግ", "language": "Tseltal", "pivot": "es"})
        assert made.status_code == 201
        project = made.json()
        assert project["id"] == "mi-léxico-ትግ"
        assert (project["language"]["code"], project["pivot"]["code"]) == ("tzh", "spa")
        assert (studio.home / project["id"] / "endonym.toml").is_file()
        assert project["id"] in [one["id"] for one in browser.get("/api/v1/projects").json()["projects"]]
        again = browser.post("/api/v1/projects", json={"name": "Mi léxico ትግ", "language": "tzh", "pivot": "spa"})
        assert again.status_code == 400
        assert set(again.json()["error"]) == {"message", "hint", "type", "code", "param"}


def test_a_page_begins_with_what_the_api_says(studio: Studio):
    with studio.browser() as browser:
        browser.post("/api/v1/projects", json={"name": "pages </script><b>", "language": "amh"})
        page = browser.get("/p/pages-script-b").text
        data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
        address = "/api/v1/projects/pages-script-b"
        assert data["first"][address] == browser.get(address).json()
        assert data["first"][address]["name"] == "pages </script><b>"
        assert browser.get("/p/nothing").status_code == 404
