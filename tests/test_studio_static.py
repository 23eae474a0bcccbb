"""What the studio's pages are made of: vendored parts unchanged, nothing from outside, small, and worded in every language."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

import endonym.web
from endonym import plugins
from endonym.data import languages
from endonym.web.pages import strings

WEB = Path(endonym.web.__file__).parent
STATIC, STRINGS = WEB / "static", WEB / "strings"
LANGUAGES = sorted(path.stem for path in STRINGS.glob("*.json"))
OWN = [*STATIC.glob("*.js"), *STATIC.glob("lib/*.js"), *STATIC.glob("pages/*.js")]


def flat(words: dict, path: str = "") -> dict[str, str]:
    """Every sentence by its whole key."""
    found: dict[str, str] = {}
    for key, said in words.items():
        found |= flat(said, f"{path}{key}.") if isinstance(said, dict) else {path + key: said}
    return found


def words(lang: str) -> dict[str, str]:
    return flat(strings("en") if lang == "en" else json.loads((STRINGS / f"{lang}.json").read_text(encoding="utf-8")))


def test_vendored_files_are_those_that_were_published():
    listed = tomllib.loads((STATIC / "vendored.toml").read_text(encoding="utf-8"))["files"]
    for one in listed:
        assert hashlib.sha256((STATIC / one["file"]).read_bytes()).hexdigest() == one["sha256"], one["file"]
        assert one["version"] and one["licence"]
    there = {
        path.relative_to(STATIC).as_posix() for folder in ("vendor", "fonts") for path in (STATIC / folder).iterdir()
    }
    ours = {path for path in there if path.endswith((".LICENSE", "OFL.txt", "fonts.css"))}
    assert there - ours == {one["file"] for one in listed}


def test_the_interface_is_small():
    script = sum(len(gzip.compress(path.read_bytes())) for path in STATIC.rglob("*.js"))
    whole = sum(
        path.stat().st_size
        for folder in (STATIC, STRINGS, WEB / "pages")
        for path in folder.rglob("*")
        if path.is_file()
    )
    assert script < 150_000
    assert whole < 1_500_000


def test_nothing_comes_from_outside_and_nothing_is_inline():
    outside = re.compile(r"(?:https?:)?//(?!www\.w3\.org/(?:2000|1999)/)[\w-]+\.[a-z]{2,}")
    for path in [*OWN, *STATIC.rglob("*.css"), *STATIC.glob("*.svg"), *WEB.glob("pages/*.html")]:
        text = path.read_text(encoding="utf-8")
        assert not outside.search(text), path.name
        # A policy of `default-src 'self'` would drop them without a word.
        assert not re.search(r"<style|<script(?![^>]*(?: src=|application/json))|\sstyle=\"|\son\w+=\"", text), (
            path.name
        )


@pytest.mark.parametrize("lang", [lang for lang in LANGUAGES if lang != "en"])
def test_every_language_says_everything(lang: str):
    english, other = words("en"), words(lang)
    assert other.keys() == english.keys()
    for key, said in english.items():
        assert set(re.findall(r"\{\w+\}", other[key])) == set(re.findall(r"\{\w+\}", said)), key
        assert other[key].strip(), key


def test_every_recipe_has_a_name():
    named = json.loads((STRINGS / "en.json").read_text(encoding="utf-8"))["recipes"]
    assert named.keys() == {"teach", *plugins.available("recipe")}


def test_every_sentence_the_pages_ask_for_is_there():
    english = words("en")
    tables = {key.rsplit(".", 1)[0] for key in english}
    for path in OWN:
        source = path.read_text(encoding="utf-8")
        for key in re.findall(r"\bt\(\"([\w.]+)\"", source):
            assert key in english or key in tables, f"{path.name}: {key}"
        for group in re.findall(r"\bcalled\(\"([\w.]+)\"", source):
            assert group in json.loads((STRINGS / "en.json").read_text(encoding="utf-8")) or group in tables, (
                f"{path.name}: {group}"
            )


def test_the_faces_hold_the_scripts_that_are_served():
    faces = (STATIC / "fonts" / "fonts.css").read_text(encoding="utf-8")
    ranges = [tuple(int(end, 16) for end in one) for one in re.findall(r"U\+([0-9A-F]+)-([0-9A-F]+)", faces)]
    for sign in "aẽŋяβአहعবதខမߒⵜ":
        assert any(low <= ord(sign) <= high for low, high in ranges), sign


def test_a_language_is_found_while_its_name_is_typed():
    assert languages.beginning("Tselt")[0].code == "tzh"
    assert languages.beginning("bats'il")[0].code == "tzh"
    assert languages.beginning("አማ")[0].code == "amh"
    assert languages.beginning("span")[0].code == "spa"
    assert languages.beginning("  ") == []
    assert len(languages.beginning("a", 5)) == 5
    assert (languages.tag("spa"), languages.tag("tzh")) == ("es", "tzh")
