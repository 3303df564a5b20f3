"""What a measure says: rows of a table, and the same as JSON."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any, TypeVar

Result = TypeVar("Result")


class Skipped(Exception):
    """A measure cannot be taken here; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    :ivar against: the peer's name; "" when the bound is on our figure itself.
    :ivar must: bound on what is compared (ours / peer, or ours); None: for information.
    :ivar samples: each round's figure, by name.
    """

    measure: str
    unit: str
    ours: float
    against: str = ""
    peer: float | None = None
    must: float | None = None
    aim: float | None = None
    is_more_better: bool = True
    samples: Mapping[str, list[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours / peer."""
        return self.ours / self.peer if self.peer else None

    def reaches(self, bound: float) -> bool:
        """Whether what is compared is on the bound's good side."""
        compared = self.ours if self.ratio is None else self.ratio
        return compared >= bound if self.is_more_better else compared <= bound

    @property
    def verdict(self) -> str:
        """The last column."""
        if self.aim is not None and self.reaches(self.aim):
            return "aim"
        if self.must is None:
            return "" if self.aim is None else "below aim"
        return "yes" if self.reaches(self.must) else "NO"

    def as_json(self) -> dict[str, Any]:
        """Every field, with the ratio and the verdict."""
        return {**asdict(self), "ratio": self.ratio, "verdict": self.verdict}


def compare(
    measure: str,
    unit: str,
    samples: Mapping[str, list[float]],
    against: str,
    *,
    must: float | None = None,
    aim: float | None = None,
    is_more_better: bool = True,
    note: str = "",
) -> Row:
    """A row of the medians of "portal" and of a peer."""
    kept = {name: samples[name] for name in ("portal", against)}
    ours, peer = median(kept["portal"]), median(kept[against])
    return Row(measure, unit, ours, against, peer, must, aim, is_more_better, kept, note)


def interleave(rounds: int, measures: Mapping[str, Callable[[], Result]]) -> dict[str, list[Result]]:
    """Take every measure once a round, one after the other, so that each sees the same weather."""
    results: dict[str, list[Result]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            results[name].append(measure())
    return results


_HEADINGS = ("measure", "unit", "ours", "against", "peer", "ratio", "must", "aim", "reached")


def table(rows: list[Row]) -> str:
    """The rows as text, and their notes below."""
    lines: list[tuple[str, ...]] = [_HEADINGS]
    for row in rows:
        sign = ">= " if row.is_more_better else "<= "
        bounds = ("" if bound is None else f"{sign}{bound:g}" for bound in (row.must, row.aim))
        lines.append((row.measure, row.unit, _number(row.ours), row.against, _number(row.peer), _number(row.ratio),
                      *bounds, row.verdict))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    text += [f"{row.measure}: {row.note}" for row in rows if row.note]
    return "\n".join(text)


def surroundings() -> dict[str, Any]:
    """When, where, and of what state of the code."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
    }


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
