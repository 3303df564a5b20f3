"""``app.toml``: what an application is called, what it asks, and how it is opened. See conf/apps/README.md.

Whoever can write an application's folder decides what runs in the jobs that are started from it, as with any script
that one runs. The values of a form decide nothing but themselves: see template.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec

Kind = Literal["text", "integer", "choice", "flag", "folder", "lines"]
Value = str | int | bool

_NAME: Final = r"^[a-z][a-z0-9_]{0,31}$"
# These are asked in every form, from what the scheduler offers; [resources] says which, and within what.
RESOURCES: Final = ("partition", "cpus", "memory", "gpus", "gpu_kind", "minutes", "features", "nodes", "options")
# Names that templates find besides the fields.
GIVEN: Final = frozenset({*RESOURCES, "app", "folder", "home", "login", "job_name"})


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that is not known is an error."""


class Choice(Section, frozen=True):
    """One value of a ``choice``.

    :ivar label: what is shown; the value itself when it is "".
    :ivar when: field → values of it with which this choice is there.
    """

    value: str
    label: str = ""
    when: dict[str, list[Value]] = {}


class Field(Section, frozen=True):
    """``[[field]]``: one thing that is asked.

    :ivar name: of the variable that the script finds.
    :ivar least, most: of an integer; of the characters of a text.
    :ivar pattern: regular expression that the whole text must match.
    :ivar when: field → values of it with which this one is asked; else it has its default.
    :ivar advanced: shown only to whoever asks for more.
    """

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    label: str = ""
    kind: Kind = "text"
    help: str = ""
    default: Value = ""
    choices: list[Choice] = []
    least: int | None = None
    most: int | None = None
    pattern: str = ""
    required: bool = False
    advanced: bool = False
    when: dict[str, list[Value]] = {}


class Bounds(Section, frozen=True):
    """What a form offers of one resource, within what the partition has.

    :ivar advanced: shown only to whoever asks for more.
    """

    default: int = 1
    least: int = 1
    most: int | None = None
    advanced: bool = False


class Resources(Section, frozen=True):
    """``[resources]``: what a form asks of the scheduler. A table that is not there is not asked.

    :ivar memory: MiB of a node; 0 is the partition's default.
    :ivar minutes: that it may take; 0 is the partition's default.
    :ivar further: whoever starts it may give further options of the scheduler's, such as an account or a reservation.
    :ivar options: what it always gets of these, as the scheduler's command line takes them: ``--qos=interactive``.
    """

    partition: bool = True
    features: bool = False
    further: bool = True
    cpus: Bounds | None = Bounds()
    memory: Bounds | None = Bounds(default=0, least=0)
    minutes: Bounds | None = Bounds(default=120)
    gpus: Bounds | None = Bounds(default=0, least=0)
    nodes: Bounds | None = None
    options: list[str] = []


class Opening(Section, frozen=True):
    """``[open]``: how the running application is opened.

    :ivar path: where it begins; ``{token}`` is never in it.
    :ivar authorization: value of the ``Authorization`` field that the portal adds for its owner: ``token {token}``.
    :ivar within: seconds after the start of the job in which it should be ready.
    """

    path: Annotated[str, msgspec.Meta(pattern=r"^/[^\s{}]*$")] = "/"
    authorization: str = ""
    within: int = 300


class Definition(Section, frozen=True):
    """The whole file.

    :ivar about: one or two sentences.
    :ivar icon: one to three characters, shown as a badge.
    :ivar order: applications are listed by it, then by name.
    :ivar ports: TCP ports that the job gets.
    :ivar script: file beside this one: a template of a bash script.
    :ivar idle: how it is judged whether anybody uses it, where the site ends what nobody uses: by its processes, or by
        what Jupyter says as well; "" ends it never.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    about: str = ""
    icon: Annotated[str, msgspec.Meta(max_length=3)] = "App"
    order: int = 100
    ports: Annotated[int, msgspec.Meta(ge=0, le=16)] = 1
    script: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]+$")] = "script.sh.j2"
    idle: Literal["", "processes", "jupyter"] = ""
    resources: Resources = Resources()
    field: list[Field] = []
    open: Opening = Opening()


class WrongDefinition(ValueError):
    """What is wrong with an application's folder, for whoever wrote it."""


def read_definition(text: bytes) -> Definition:
    """Read ``app.toml``.

    :raises WrongDefinition: says where and what.
    """
    try:
        definition = msgspec.toml.decode(text, type=Definition)
    except (ValueError, RecursionError) as error:
        raise WrongDefinition(f"app.toml: {error}") from None
    names: set[str] = set()
    for field in definition.field:
        if field.name in names or field.name in GIVEN:
            raise WrongDefinition(f"app.toml: field {field.name}: the name is used already")
        _check(field, names)
        names.add(field.name)
    return definition


def _check(field: Field, before: set[str]) -> None:
    """Whether a field can be asked at all: its default must be one of its values."""
    where = f"app.toml: field {field.name}"
    if (field.kind == "choice") != bool(field.choices):
        raise WrongDefinition(f"{where}: choices belong to the kind choice, and only there")
    for table in (field.when, *(choice.when for choice in field.choices)):
        unknown = sorted(set(table) - before - set(RESOURCES))
        if unknown:
            raise WrongDefinition(f"{where}: when names {', '.join(unknown)}, which is no field before this one")
    try:
        re.compile(field.pattern)
    except re.error as error:
        raise WrongDefinition(f"{where}: pattern: {error}") from None
    expected: Any = {"integer": int, "flag": bool}.get(field.kind, str)
    if field.default == "" and expected is not str:
        return
    if type(field.default) is not expected:
        raise WrongDefinition(f"{where}: default {field.default!r} is not of kind {field.kind}")
    if field.kind == "choice" and field.default and field.default not in [choice.value for choice in field.choices]:
        raise WrongDefinition(f"{where}: default {field.default!r} is none of its choices")
