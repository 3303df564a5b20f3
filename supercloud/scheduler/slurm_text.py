"""What SLURM's programs print, read; no I/O.

The fields are asked for one by one and set apart by characters that no name has. ``--json`` would give them by name,
but in SLURM 22.05 it gives the jobs of all users, whatever was asked for: on a busy cluster megabytes for each page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from supercloud.scheduler.interface import Job, Nodes, Partition, State

_RECORD, _FIELD = "\x1e", "\x1f"
# See squeue(1): id, state, reason, nodes, partition, submission, (expected) start, end, folder, comment, name.
JOB_FORMAT: Final = _RECORD + _FIELD.join(("%A", "%T", "%r", "%N", "%P", "%V", "%S", "%e", "%Z", "%k", "%j"))
# See sinfo(1): partition, available, limit and default of the time, number of nodes, CPUs, memory, GRES, features.
NODES_FORMAT: Final = _RECORD + _FIELD.join(("%P", "%a", "%l", "%L", "%D", "%c", "%m", "%G", "%f"))

_NOTHING: Final = frozenset({"", "N/A", "n/a", "(null)", "None", "Unknown", "NONE"})
_STATES: Final[dict[str, State]] = {
    "PENDING": "pending",
    "CONFIGURING": "pending",
    "REQUEUED": "pending",
    "REQUEUE_HOLD": "pending",
    "REQUEUE_FED": "pending",
    "SPECIAL_EXIT": "pending",
    "RESV_DEL_HOLD": "pending",
    "RUNNING": "running",
    "SUSPENDED": "running",
    "STOPPED": "running",
    "RESIZING": "running",
    "SIGNALING": "running",
    "COMPLETING": "ending",
    "STAGE_OUT": "ending",
    "COMPLETED": "done",
    "FAILED": "failed",
    "BOOT_FAIL": "failed",
    "OUT_OF_MEMORY": "failed",
    "CANCELLED": "cancelled",
    "PREEMPTED": "cancelled",
    "REVOKED": "cancelled",
    "TIMEOUT": "timed-out",
    "DEADLINE": "timed-out",
    "NODE_FAIL": "lost",
}
# A state says it better than its usual reason.
_PLAIN_REASONS: Final = _NOTHING | {"NonZeroExitCode", "JobLaunchFailure"}
_RANGES: Final = re.compile(r"([^\[\],]*)\[([0-9,-]+)\]([^\[\],]*)|([^\[\],]+)")
_MOST_NODES: Final = 4096


def read_jobs(text: str) -> list[Job]:
    """What squeue printed in `JOB_FORMAT`, with times as seconds; records that cannot be read are left out."""
    return [job for fields in _records(text, 11) if (job := _job(fields)) is not None]


def read_partitions(text: str) -> tuple[Partition, ...]:
    """What sinfo printed in `NODES_FORMAT`: a record for each kind of node in each partition."""
    found: dict[str, Partition] = {}
    kinds: dict[str, list[Nodes]] = {}
    for name, available, longest, usual, count, cpus, memory, gres, features in _records(text, 9):
        plain = name.removesuffix("*")
        found[plain] = Partition(
            name=plain,
            is_default=name.endswith("*"),
            is_up=available == "up",
            longest=read_minutes(longest),
            usual=read_minutes(usual),
        )
        kinds.setdefault(plain, []).append(
            Nodes(
                count=_number(count),
                cpus=_number(cpus),
                memory=_number(memory),
                gpus=read_gpus(gres),
                features=() if features in _NOTHING else tuple(features.split(",")),
            )
        )
    return tuple(
        Partition(
            name=one.name, is_default=one.is_default, is_up=one.is_up, longest=one.longest, usual=one.usual,
            nodes=tuple(kinds[name]),
        )
        for name, one in found.items()
    )  # fmt: skip


def read_gpus(gres: str) -> dict[str, int]:
    """GPUs among a node's generic resources, ``gpu:a100:4(S:0-1),shard:8``: kind to number; "" is no kind."""
    found: dict[str, int] = {}
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        parts = entry.split(":")
        if parts[0] == "gpu" and parts[-1].isdecimal():
            kind = parts[1] if len(parts) > 2 else ""
            found[kind] = found.get(kind, 0) + int(parts[-1])
    return found


def read_minutes(text: str) -> int | None:
    """A time of SLURM's, ``days-hours:minutes:seconds``; None for what has no limit or is not said."""
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if (dash and not days.isdecimal()) or not all(part.isdecimal() for part in parts) or len(parts) > 3:
        return None
    numbers = [int(part) for part in parts]
    if dash:  # what follows a day is hours first
        hours, minutes = (*numbers, 0)[:2]
        return int(days) * 1440 + hours * 60 + minutes
    if len(numbers) == 3:
        return numbers[0] * 60 + numbers[1]
    return numbers[0]


def read_nodes(text: str) -> tuple[str, ...]:
    """Names of nodes, ``gpu[1-3,7],login``; more than 4,096 are not read."""
    names: list[str] = []
    for prefix, ranges, suffix, plain in _RANGES.findall(text):
        if plain:
            names.append(plain)
        for one in filter(None, ranges.split(",")):
            low, _, high = one.partition("-")
            if not low.isdecimal() or not (high or low).isdecimal() or int(high or low) - int(low) >= _MOST_NODES:
                continue
            names += [f"{prefix}{number:0{len(low)}}{suffix}" for number in range(int(low), int(high or low) + 1)]
    return tuple(names[:_MOST_NODES])


def _records(text: str, fields: int) -> Iterator[list[str]]:
    for record in text.split(_RECORD)[1:]:
        split = record.rstrip("\n").split(_FIELD, fields - 1)
        if len(split) == fields:
            yield split


def _job(fields: list[str]) -> Job | None:
    number, state, reason, nodes, partition, submitted, starts, ends, folder, comment, name = fields
    if not number.isdecimal():
        return None
    known = _STATES.get(state, "lost")
    return Job(
        id=number,
        name=name,
        state=known,
        reason="" if reason in _PLAIN_REASONS or known in ("running", "done") else reason,
        nodes=() if nodes in _NOTHING else read_nodes(nodes),
        partition=partition,
        submitted=_seconds(submitted),
        starts=_seconds(starts),
        ends=_seconds(ends),
        comment="" if comment in _NOTHING else comment,
        folder=folder,
    )


def _seconds(text: str) -> float | None:
    return float(text) if text.isdecimal() else None


def _number(text: str) -> int:
    """What sinfo prints of nodes that differ ends with "+": the least of them."""
    digits = text.rstrip("+")
    return int(digits) if digits.isdecimal() else 0
