"""Say which augmenters helped: differences in bits per byte with their intervals, corrected for how many were tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from endonym.data.statistics import SIGNIFICANT, Difference, holm, interval, paired, ratio

WITHOUT = "without"
"""The name of the training that has no made records."""
HELD = "held"
"""The name of the validation text as it is, beside that which an augmenter has spoiled."""
SAID = {
    "helps": "{name} helps: {after:.3f} bits per byte instead of {before:.3f} ({change}).",
    "helps spoiled": "{name} helps where the text asked about is spoiled: {spoiled_after:.3f} bits per byte instead of "
    "{spoiled_before:.3f} ({spoiled_change}); on text as it is {change}.",
    "no": "{name} did not help: {after:.3f} bits per byte instead of {before:.3f} ({change}).",
    "unsteady": "{name} did not help: not every training with it was better ({change}).",
    "harms": "{name} made it worse: {after:.3f} bits per byte instead of {before:.3f} ({change}).",
    "nothing": "{name} made nothing of the pairs of the trial.",
    "not measured": "{name} was not measured (trial_steps is 0).",
}
TOWARDS = " {direction}: {after:.3f} instead of {before:.3f} ({change})."
SPOILED = " On text as {name} spoils it: {spoiled_after:.3f} instead of {spoiled_before:.3f} ({spoiled_change})."


def judge(results: Mapping[str, Any], made: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """One row an augmenter, in the order of `made`: what it made for the trial (None where there was none), and a verdict.

    `results` are trainings by name, `WITHOUT` among them; an augmenter without one was not measured. Every comparison, also those on
    spoiled text, counts in the correction.
    """
    tests = [(name, key) for name in made if name in results for key in (HELD, name) if key in _sets(results, name)]
    found = [_difference(results, name, key) for name, key in tests]
    adjusted = dict(zip(tests, holm([one.p_value for one in found])))
    changes = dict(zip(tests, found))
    rows = []
    for name, number in made.items():
        row: dict[str, Any] = {"name": name, "made": number, "verdict": "nothing" if number == 0 else "not measured"}
        if (name, HELD) in changes:
            row |= _measured(results, name, changes, adjusted)
        rows.append({**row, "words": words(row)})
    return rows


def _measured(
    results: Mapping[str, Any], name: str, changes: Mapping[Any, Difference], p: Mapping[Any, float]
) -> dict[str, Any]:
    plain, spoiled = (name, HELD), (name, name)
    row: dict[str, Any] = {"trained_rows": results[name]["rows"], "made_rows": results[name]["made_rows"]}
    row |= _numbers("", results, plain, changes[plain], p[plain])
    worse = changes[plain].value > 0 and changes[plain].p_value < SIGNIFICANT
    better = changes[plain].value < 0 and p[plain] < SIGNIFICANT
    verdict, decisive = ("harms" if worse else "helps" if better else "no"), HELD
    if spoiled in changes:
        row |= _numbers("spoiled_", results, spoiled, changes[spoiled], p[spoiled])
        if not worse and not better and changes[spoiled].value < 0 and p[spoiled] < SIGNIFICANT:
            verdict, decisive = "helps spoiled", name
    if results[name]["stopped"] or (
        verdict.startswith("helps") and not all(one < 0 for one in each_run(results, name, decisive))
    ):
        verdict = "unsteady"
    return {**row, "verdict": verdict, "directions": _directions(results, name)}


def _directions(results: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The numbers of each direction, where there are several: without correction, since no verdict is made of them."""
    asked = np.array(results[WITHOUT].get("directions", {}).get(HELD, []))
    found = {}
    for direction in dict.fromkeys(asked.tolist()):
        before, after = (table[asked == direction] for table in _both(results, name, HELD))
        change = paired(after, before, ratio)
        found[direction] = {
            "before": _interval(before), "after": _interval(after), "change": [change.value, change.low, change.high],
        }  # fmt: skip
    return found if len(found) > 1 else {}


def _numbers(
    prefix: str, results: Mapping[str, Any], test: tuple[str, str], change: Difference, p: float
) -> dict[str, Any]:
    name, key = test
    before, after = _both(results, name, key)
    values = {
        "before": _interval(before),
        "after": _interval(after),
        "change": [change.value, change.low, change.high],
        "p_value": change.p_value,
        "p_adjusted": p,
        "runs": each_run(results, name, key),
        "items": change.num_items,
    }
    return {f"{prefix}{name}": value for name, value in values.items()}


def words(row: Mapping[str, Any]) -> str:
    """The verdict of a row in a sentence."""
    values: dict[str, Any] = {"name": row["name"].replace("_", "-").capitalize()}
    for prefix in ("", "spoiled_"):
        if f"{prefix}change" in row:
            values[f"{prefix}before"], values[f"{prefix}after"] = row[f"{prefix}before"][0], row[f"{prefix}after"][0]
            values[f"{prefix}change"] = f"{_change(row[f'{prefix}change'])}, p {row[f'{prefix}p_adjusted']:.3f}"
    said = SAID[row["verdict"]].format(**values)
    for direction, one in row.get("directions", {}).items():
        change = _change(one["change"])
        said += TOWARDS.format(direction=direction, before=one["before"][0], after=one["after"][0], change=change)
    if "spoiled_change" in values and row["verdict"] != "helps spoiled":
        said += SPOILED.format(**values)
    return said


def _change(numbers: Sequence[float]) -> str:
    value, low, high = numbers
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def unread(results: Mapping[str, Any]) -> list[str]:
    """A sentence where the trial ended before it had read its real rows once: then made ones only stand in their way."""
    epochs = min((run["epochs"] for run in results[WITHOUT]["runs"]), default=1.0) if WITHOUT in results else 1.0
    if epochs >= 1:
        return []
    return [
        f"The trial read its real rows {epochs:.1f} times, so made rows took the place of real ones; ask for more "
        "--trial-steps or fewer --trial-pairs to see what they give a corpus that is read again and again."
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows as a table for the terminal."""
    shown = []
    for row in rows:
        cells = [row["name"], f"{row['made']:,}" if row["made"] is not None else ""]
        for prefix in ("", "spoiled_"):
            if f"{prefix}change" in row:
                cells += [f"{row[f'{prefix}before'][0]:.3f}", f"{row[f'{prefix}after'][0]:.3f}"]
                cells += [_change(row[f"{prefix}change"]), f"{row[f'{prefix}p_adjusted']:.3f}"]
                break
        cells += [""] * (6 - len(cells))
        shown.append(
            [*cells, {"no": "no gain", "unsteady": "no gain", "harms": "worse"}.get(row["verdict"], row["verdict"])]
        )
    return {
        "title": "With and without the records of each augmenter, bits per byte of validation answers",
        "header": ["augmenter", "tried", "without", "with", "change", "p (Holm)", "verdict"],
        "rows": shown,
    }


def helping(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the augmenters that helped, or of which it was not asked."""
    return [row["name"] for row in rows if row["verdict"] in ("helps", "helps spoiled", "not measured")]


def _sets(results: Mapping[str, Any], name: str) -> set[str]:
    return set(results[name]["runs"][0]["bits"])


def _table(results: Mapping[str, Any], name: str, key: str, runs: int | None = None) -> Any:
    """Bits and bytes of every answer, the mean over the runs, or over the first of them."""
    return np.mean([run["bits"][key] for run in results[name]["runs"][:runs]], axis=0)


def _interval(table: Any) -> list[float]:
    return list(interval(table, ratio))


def _both(results: Mapping[str, Any], name: str, key: str) -> tuple[Any, Any]:
    """The tables without and with an augmenter, over as many runs as it had."""
    return _table(results, WITHOUT, key, len(results[name]["runs"])), _table(results, name, key)


def _difference(results: Mapping[str, Any], name: str, key: str) -> Difference:
    before, after = _both(results, name, key)
    return paired(after, before, ratio)


def each_run(results: Mapping[str, Any], name: str, key: str) -> list[float]:
    """The change of every single run, with the same seed on both sides."""
    pairs = zip(results[name]["runs"], results[WITHOUT]["runs"])
    return [
        float(ratio(np.sum(after["bits"][key], axis=0)) - ratio(np.sum(before["bits"][key], axis=0)))
        for after, before in pairs
    ]
