"""What is asked before an application starts, and whether it was answered properly.

The resources come first, with what the scheduler offers, then the application's own fields. One kind of value serves
the page, the API and the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from supercloud.applications.definition import Bounds, Choice, Definition, Field, Value
from supercloud.scheduler.interface import Cluster, Partition

Kind = Literal["text", "integer", "choice", "flag", "folder", "lines", "size", "time", "options"]
Values = dict[str, Value]

MOST_TEXT: Final = 4096  # characters of a value
_SIZE: Final = re.compile(r"(\d{1,9})\s*([mgt]?)(?:i?b)?", re.IGNORECASE)
_TIME: Final = re.compile(r"(?:(\d{1,4})\s*d)?\s*(?:(\d{1,5})\s*h)?\s*(?:(\d{1,7})\s*m(?:in)?)?", re.IGNORECASE)
_CLOCK: Final = re.compile(r"(?:(\d{1,4})-)?(\d{1,5}):([0-5]\d)")
_MIB: Final = {"": 1, "m": 1, "g": 1024, "t": 1024 * 1024}
_TRUE: Final = frozenset({"true", "on", "yes", "1"})
_FALSE: Final = frozenset({"false", "off", "no", "0", ""})
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_FEATURES: Final = re.compile(r"[A-Za-z0-9_.:+-]{1,64}(?:[ ,]+[A-Za-z0-9_.:+-]{1,64}){0,7}")


# Options of sbatch's that ask for something, or say when: none that the portal gives itself, and none that names files.
_OPTION: Final = re.compile(r"--([a-z-]+)(?:=([^\s\x00-\x1f\x7f]{1,200}))?")
_OPTIONS: Final = frozenset(
    {
        *("account", "begin", "contiguous", "core-spec", "cores-per-socket", "deadline", "dependency", "distribution"),
        *("exclude", "exclusive", "gpu-bind", "gpu-freq", "gres-flags", "hint", "licenses", "mail-type", "mail-user"),
        *("mem-bind", "mincpus", "nice", "nodelist", "oversubscribe", "prefer", "priority", "qos", "reservation"),
        *("signal", "sockets-per-node", "spread-job", "switches", "thread-spec", "threads-per-core", "tmp"),
        *("use-min-nodes", "wckey"),
    }
)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is asked.

    :ivar least, most: of a number: of an integer, of MiB (``size``), of minutes (``time``).
    :ivar within: partition → its own ``most``.
    :ivar default: as it is typed.
    """

    name: str
    label: str
    kind: Kind
    help: str = ""
    default: str = ""
    choices: Sequence[Choice] = ()
    least: int | None = None
    most: int | None = None
    within: Mapping[str, int] = {}
    pattern: str = ""
    required: bool = False
    advanced: bool = False
    when: Mapping[str, list[Value]] = {}


NAME: Final = Asked(
    name="job_name",
    label="Name",
    kind="text",
    help="Tells it from your other jobs, such as fit of run 12",
    most=60,
    advanced=True,
)


class Unanswered(Exception):
    """What is wrong with the answers.

    :ivar wrong: name of a field → what would be right, for the person.
    """

    def __init__(self, wrong: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {words}" for name, words in wrong.items()))
        self.wrong = dict(wrong)


def asked_for(definition: Definition, cluster: Cluster) -> list[Asked]:
    """All that an application asks, in order."""
    return [*_resources(definition, cluster), *map(_own, definition.field), NAME]


def answered(asked: Iterable[Asked], given: Mapping[str, Any]) -> Values:
    """The values of all fields; those that were not given, or are not asked in this case, have their defaults.

    :param given: name → what was typed, or a value of the proper type.
    :raises Unanswered: says all that is wrong at once.
    """
    fields = list(asked)
    values: Values = {}
    wrong = {name: "there is no such field" for name in given if name not in {one.name for one in fields}}
    for one in fields:
        is_asked = _holds(one.when, values)
        text = given.get(one.name, one.default) if is_asked else one.default
        try:
            values[one.name] = _read(one, text, values, is_asked=is_asked)
        except ValueError as error:
            wrong[one.name] = str(error)
            values[one.name] = ""
    if wrong:
        raise Unanswered(wrong)
    return values


def read_size(text: str) -> int:
    """MiB: ``4G``, ``500M``, ``4096``.

    :raises ValueError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("write a size such as 4G or 500M")
    return int(found[1]) * _MIB[found[2].lower()]


def read_time(text: str) -> int:
    """Minutes: ``90m``, ``2h``, ``1d 12h``, ``2:30``, ``1-12:00``; a bare number is minutes.

    :raises ValueError: it is none.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 8:
        return int(text)
    if clock := _CLOCK.fullmatch(text):
        return int(clock[1] or 0) * 1440 + int(clock[2]) * 60 + int(clock[3])
    found = _TIME.fullmatch(text)
    if not text or found is None:
        raise ValueError("write a time such as 2h, 90m or 1d 12h")
    return int(found[1] or 0) * 1440 + int(found[2] or 0) * 60 + int(found[3] or 0)


def read_options(text: str) -> list[str]:
    """Options of sbatch's, each a word of its command line.

    :raises ValueError: one is none, or is not to be given here.
    """
    words = text.split()
    for word in words:
        found = _OPTION.fullmatch(word)
        if found is None:
            raise ValueError("write each option whole and without spaces, as --account=NAME")
        if found[1] not in _OPTIONS:
            raise ValueError(f"--{found[1]} cannot be given here; there are {', '.join(sorted(_OPTIONS))}")
    return words


def size_text(mib: int) -> str:
    """As `read_size` takes it."""
    if mib % 1024 == 0:
        return f"{mib // 1024}G" if mib else "0"
    return f"{mib}M"


def time_text(minutes: int) -> str:
    """As `read_time` takes it."""
    days, rest = divmod(minutes, 1440)
    hours, left = divmod(rest, 60)
    parts = [f"{number}{unit}" for number, unit in ((days, "d"), (hours, "h"), (left, "m")) if number]
    return " ".join(parts) or "0m"


def _resources(definition: Definition, cluster: Cluster) -> list[Asked]:
    asks, parts = definition.resources, [one for one in cluster.partitions if one.is_up]
    found: list[Asked] = []
    if asks.partition and len(parts) > 1:
        default = next((one.name for one in parts if one.is_default), parts[0].name)
        choices = [Choice(value=one.name, label=_about(one)) for one in parts]
        found.append(Asked(name="partition", label="Partition", kind="choice", default=default, choices=choices))
    if asks.minutes is not None:
        found.append(_time(asks.minutes, parts))
    if asks.cpus is not None:
        most = {one.name: max((kind.cpus for kind in one.nodes), default=1) for one in parts}
        found.append(_number("cpus", "Processors", "integer", asks.cpus, most))
    if asks.memory is not None:
        most = {one.name: max((kind.memory for kind in one.nodes), default=0) for one in parts}
        found.append(_number("memory", "Memory", "size", asks.memory, most, "0 is the partition's default."))
    if asks.gpus is not None:
        found += _gpus(asks.gpus, parts)
    if asks.nodes is not None:
        most = {one.name: sum(kind.count for kind in one.nodes) for one in parts}
        words = "The application runs on the first; srun reaches all of them."
        if asks.nodes.least > 1 or max(most.values(), default=1) > 1:
            found.append(_number("nodes", "Nodes", "integer", asks.nodes, most, words))
    features = sorted({name for one in parts for kind in one.nodes for name in kind.features})
    if asks.features and features:
        found.append(
            Asked(
                name="features",
                label="Features of the node",
                kind="text",
                help=f"Any of {', '.join(features)}.",
                pattern=_FEATURES.pattern,
                advanced=True,
            )
        )
    if asks.further and cluster.kind == "slurm":
        words = "As for sbatch: --account=NAME --qos=NAME --reservation=NAME --exclusive"
        found.append(Asked(name="options", label="Further options", kind="options", help=words, advanced=True))
    return found


def _time(bounds: Bounds, parts: Sequence[Partition]) -> Asked:
    limits = {one.name: one.longest for one in parts if one.longest is not None}
    least = [bounds.most] if bounds.most is not None else []
    if len(limits) == len(parts) and limits:
        least.append(max(limits.values()))
    most = min(least, default=None)
    default = bounds.default if most is None else min(bounds.default, most)
    return Asked(
        name="minutes",
        label="Time",
        kind="time",
        help="How long it may run, such as 90m or 4h" + (f"; {time_text(most)} at most" if most is not None else ""),
        default=time_text(default),
        least=bounds.least,
        most=most,
        within=limits,
        advanced=bounds.advanced,
    )


def _number(name: str, label: str, kind: Kind, bounds: Bounds, most: Mapping[str, int], help_: str = "") -> Asked:
    highest = max(most.values(), default=bounds.default)
    if bounds.most is not None:
        highest = min(highest, bounds.most)
    default = max(bounds.least, min(bounds.default, highest))
    return Asked(
        name=name,
        label=label,
        kind=kind,
        help=help_,
        default=size_text(default) if kind == "size" else str(default),
        least=bounds.least,
        most=highest,
        within=most,
        advanced=bounds.advanced,
    )


def _gpus(bounds: Bounds, parts: Sequence[Partition]) -> list[Asked]:
    most = {one.name: max((sum(kind.gpus.values()) for kind in one.nodes), default=0) for one in parts}
    if not any(most.values()):
        return []
    kinds = sorted({name for one in parts for kind in one.nodes for name in kind.gpus if name})
    found = [_number("gpus", "GPUs", "integer", bounds, most)]
    if kinds:
        choices = [Choice(value="", label="any"), *(Choice(value=name) for name in kinds)]
        found.append(Asked(name="gpu_kind", label="Kind of GPU", kind="choice", choices=choices, advanced=True))
    return found


def _about(one: Partition) -> str:
    notes = [] if one.longest is None else [f"up to {time_text(one.longest)}"]
    kinds = sorted({name or "GPU" for nodes in one.nodes for name in nodes.gpus})
    notes += [", ".join(kinds)] if kinds else []
    return f"{one.name} ({'; '.join(notes)})" if notes else one.name


def _own(field: Field) -> Asked:
    default = field.default
    if isinstance(default, bool):
        default = "true" if default else "false"
    return Asked(
        name=field.name,
        label=field.label or field.name.replace("_", " ").capitalize(),
        kind=field.kind,
        help=field.help,
        default=str(default),
        choices=field.choices,
        least=field.least,
        most=field.most,
        pattern=field.pattern,
        required=field.required,
        advanced=field.advanced,
        when=field.when,
    )


def _holds(when: Mapping[str, list[Value]], values: Mapping[str, Value]) -> bool:
    return all(values.get(name) in allowed for name, allowed in when.items())


def _read(one: Asked, given: Any, values: Mapping[str, Value], *, is_asked: bool) -> Value:
    """:raises ValueError: with what would be right."""
    if one.kind == "flag":
        return _flag(given)
    if isinstance(given, int) and not isinstance(given, bool) and one.kind in ("integer", "size", "time"):
        return _bounded(one, given, values)
    if not isinstance(given, str):
        raise ValueError("this is not a text")
    if one.kind == "lines":
        given = given.replace("\r\n", "\n")  # browsers end lines so; see the HTML standard, 4.10.21.4
    if len(given) > MOST_TEXT:
        raise ValueError(f"write {MOST_TEXT} characters at most")
    if _CONTROLS.search(given) or (one.kind != "lines" and "\n" in given):
        raise ValueError("write one line, without control characters")
    text = given if one.kind == "lines" else given.strip()
    if one.kind in ("integer", "size", "time"):
        return _bounded(one, _integer(one.kind, text or one.default), values)
    if one.kind == "options":
        return " ".join(read_options(text))
    if one.kind == "choice":
        return _chosen(one, text, values, is_asked=is_asked)
    return _text(one, text, is_asked=is_asked)


def _flag(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text not in _TRUE | _FALSE:
        raise ValueError("say true or false")
    return text in _TRUE


def _integer(kind: Kind, text: str) -> int:
    if kind == "size":
        return read_size(text)
    if kind == "time":
        return read_time(text)
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        raise ValueError("write a whole number")
    return int(text)


def _bounded(one: Asked, number: int, values: Mapping[str, Value]) -> int:
    shown = {"size": size_text, "time": time_text}.get(one.kind, str)
    most = one.most
    here = one.within.get(str(values.get("partition", "")))
    if here is not None:
        most = here if most is None else min(most, here)
    if one.least is not None and number < one.least:
        raise ValueError(f"ask for at least {shown(one.least)}")
    if most is not None and number > most:
        raise ValueError(f"ask for {shown(most)} at most")
    return number


def _chosen(one: Asked, text: str, values: Mapping[str, Value], *, is_asked: bool) -> str:
    offered = [choice.value for choice in one.choices if _holds(choice.when, values)]
    if text == "" and "" not in offered and offered and not one.required:
        return offered[0]
    if text not in offered:
        if not is_asked and offered:
            return offered[0]
        raise ValueError(f"choose one of {', '.join(offered)}")
    return text


def _text(one: Asked, text: str, *, is_asked: bool) -> str:
    if not text:
        if one.required and is_asked:
            raise ValueError("this is needed")
        return text
    if one.least is not None and len(text) < one.least:
        raise ValueError(f"write at least {one.least} characters")
    if one.most is not None and len(text) > one.most:
        raise ValueError(f"write {one.most} characters at most")
    if one.pattern and not re.fullmatch(one.pattern, text):
        raise ValueError(one.help or f"write what matches {one.pattern}")
    if one.kind == "folder" and not text.startswith(("/", "~")):
        raise ValueError("write a whole path, such as ~/notebooks")
    return text
