"""What is asked, and what counts as an answer."""

from __future__ import annotations

import pytest

from supercloud.applications.definition import Bounds, Choice, Definition, Field, Resources
from supercloud.applications.form import Unanswered, answered, asked_for, read_size, read_time, size_text, time_text
from supercloud.scheduler.interface import Cluster, Nodes, Partition

PLAIN = Nodes(count=4, cpus=16, memory=64_000)
GPUS = Nodes(count=2, cpus=32, memory=128_000, gpus={"a100": 4}, features=("fast",))
CLUSTER = Cluster(
    kind="slurm",
    partitions=(
        Partition(name="normal", is_default=True, longest=1440, nodes=(PLAIN,)),
        Partition(name="gpu", longest=2880, nodes=(GPUS,)),
        Partition(name="closed", is_up=False, nodes=(PLAIN,)),
    ),
)
LOCAL_OF_ONE = Cluster(
    kind="local", partitions=(Partition(name="local", nodes=(Nodes(count=1, cpus=4, memory=8000),)),)
)
LOCAL = Cluster(kind="local", partitions=(Partition(name="local", is_default=True, nodes=(PLAIN,)),))


def definition(*fields: Field, **resources: object) -> Definition:
    return Definition(name="A", field=list(fields), resources=Resources(**resources))  # type: ignore[arg-type]


def ask(given: dict[str, object], *fields: Field, cluster: Cluster = CLUSTER, **resources: object) -> dict[str, object]:
    return dict(answered(asked_for(definition(*fields, **resources), cluster), given))


def wrong(given: dict[str, object], *fields: Field, **how: object) -> dict[str, str]:
    with pytest.raises(Unanswered) as caught:
        ask(given, *fields, **how)  # type: ignore[arg-type]
    return caught.value.wrong


def test_resources_are_asked_with_what_the_cluster_has() -> None:
    asked = {one.name: one for one in asked_for(definition(features=True), CLUSTER)}
    assert list(asked) == [
        "partition",
        "minutes",
        "cpus",
        "memory",
        "gpus",
        "gpu_kind",
        "features",
        "options",
        "job_name",
    ]
    assert [choice.value for choice in asked["partition"].choices] == ["normal", "gpu"]
    assert asked["partition"].default == "normal"
    assert (asked["cpus"].most, asked["cpus"].within) == (32, {"normal": 16, "gpu": 32})
    assert (asked["gpus"].most, asked["gpus"].within) == (4, {"normal": 0, "gpu": 4})
    assert [choice.value for choice in asked["gpu_kind"].choices] == ["", "a100"]
    assert (asked["minutes"].default, asked["minutes"].most) == ("2h", 2880)


def test_one_machine_asks_for_no_partition_and_no_gpu() -> None:
    assert [one.name for one in asked_for(definition(), LOCAL)] == ["minutes", "cpus", "memory", "job_name"]


def test_what_an_application_does_not_ask_is_not_asked() -> None:
    nothing = definition(partition=False, cpus=None, memory=None, minutes=None, gpus=None, further=False)
    assert [one.name for one in asked_for(nothing, CLUSTER)] == ["job_name"]


def test_nothing_given_is_the_defaults() -> None:
    assert ask({}, Field(name="x", default="y")) == {
        "partition": "normal", "minutes": 120, "cpus": 1, "memory": 0, "gpus": 0, "gpu_kind": "", "options": "",
        "x": "y", "job_name": "",
    }  # fmt: skip


def test_limits_are_those_of_the_chosen_partition() -> None:
    assert ask({"partition": "gpu", "cpus": "32", "gpus": 4, "minutes": "2d"})["cpus"] == 32
    assert wrong({"cpus": "32", "gpus": "1", "minutes": "2d", "memory": "100G"}) == {
        "minutes": "ask for 1d at most",
        "cpus": "ask for 16 at most",
        "memory": "ask for 64000M at most",
        "gpus": "ask for 0 at most",
    }


def test_an_applications_own_limits_go_before_the_clusters() -> None:
    assert wrong({"cpus": 5}, cpus=Bounds(default=1, most=4)) == {"cpus": "ask for 4 at most"}
    assert asked_for(definition(minutes=Bounds(default=9999)), CLUSTER)[1].default == "2d"


def test_all_that_is_wrong_is_said_at_once() -> None:
    fields = [Field(name="need", required=True), Field(name="n", kind="integer", least=1, most=9)]
    assert wrong({"n": "10", "cpus": "many", "other": "x"}, *fields) == {
        "other": "there is no such field",
        "cpus": "write a whole number",
        "need": "this is needed",
        "n": "ask for 9 at most",
    }


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        (Field(name="x"), "a\nb", "one line"),
        (Field(name="x"), "a\0b", "control"),
        (Field(name="x"), "a\ud800", "control"),
        (Field(name="x"), "y" * 5000, "4096"),
        (Field(name="x"), ["list"], "not a text"),
        (Field(name="x"), None, "not a text"),
        (Field(name="x", least=3), "ab", "at least 3"),
        (Field(name="x", most=3), "abcd", "3 characters"),
        (Field(name="x", pattern="[a-z]+"), "A", "matches"),
        (Field(name="x", pattern="[a-z]+", help="small letters"), "a1", "small letters"),
        (Field(name="x", kind="folder"), "relative/path", "whole path"),
        (Field(name="x", kind="flag"), "maybe", "true or false"),
        (Field(name="x", kind="integer", default=1), "1.5", "whole number"),
        (Field(name="x", kind="integer", default=1), "\u0661", "whole number"),
        (Field(name="x", kind="integer", default=1), True, "not a text"),
        (Field(name="x", kind="choice", choices=[Choice(value="a"), Choice(value="b")]), "c", "one of a, b"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_said(field: Field, given: object, words: str) -> None:
    assert words in wrong({"x": given}, field)["x"]


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        (Field(name="x"), "  a b ", "a b"),
        (Field(name="x", kind="lines"), " a\n b\n", " a\n b\n"),
        (Field(name="x", kind="lines"), "as a browser\r\nsends it", "as a browser\nsends it"),
        (Field(name="x", kind="flag"), "on", True),
        (Field(name="x", kind="flag"), "", False),
        (Field(name="x", kind="flag", default=True), False, False),
        (Field(name="x", kind="integer", default=3), "", 3),
        (Field(name="x", kind="integer", default=3), "-4", -4),
        (Field(name="x", kind="folder"), "~/a b", "~/a b"),
        (Field(name="x", kind="choice", choices=[Choice(value="a"), Choice(value="b")]), "", "a"),
    ],
)
def test_an_answer_becomes_a_value(field: Field, given: object, value: object) -> None:
    assert ask({"x": given}, field)["x"] == value


def test_what_is_not_asked_in_this_case_has_its_default() -> None:
    kind = Field(name="kind", kind="choice", choices=[Choice(value="a"), Choice(value="b")], default="a")
    more = Field(name="more", default="none", required=True, when={"kind": ["b"]})
    assert ask({"kind": "a", "more": "typed"}, kind, more)["more"] == "none"
    assert ask({"kind": "b", "more": "typed"}, kind, more)["more"] == "typed"


def test_choices_may_depend_on_an_earlier_answer() -> None:
    field = Field(
        name="x", kind="choice", choices=[Choice(value="a"), Choice(value="big", when={"partition": ["gpu"]})]
    )
    assert ask({"x": "big", "partition": "gpu"}, field)["x"] == "big"
    assert wrong({"x": "big", "partition": "normal"}, field) == {"x": "choose one of a"}


@pytest.mark.parametrize(
    ("text", "mib"), [("4G", 4096), ("500m", 500), ("4096", 4096), ("2 TB", 2097152), ("1gib", 1024), ("0", 0)]
)
def test_sizes(text: str, mib: int) -> None:
    assert read_size(text) == mib
    assert read_size(size_text(mib)) == mib


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("90m", 90), ("2h", 120), ("1d 12h", 2160), ("2:30", 150), ("1-12:00", 2160), ("1h30m", 90), ("0", 0)],
)
def test_times(text: str, minutes: int) -> None:
    assert read_time(text) == minutes
    assert read_time(time_text(minutes)) == minutes


@pytest.mark.parametrize("text", ["", "x", "4X", "-1", "1.5h", "2:75", "h"])
def test_what_is_no_size_and_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        read_size(text)
    with pytest.raises(ValueError, match="such as"):
        read_time(text)


def test_nodes_are_asked_for_where_there_are_several_and_under_more_where_the_application_says_so() -> None:
    several = {one.name: one for one in asked_for(definition(nodes=Bounds(advanced=True)), CLUSTER)}["nodes"]
    assert (several.default, several.most, several.advanced, several.within) == ("1", 4, True, {"normal": 4, "gpu": 2})
    assert "nodes" not in {one.name for one in asked_for(definition(nodes=Bounds()), LOCAL_OF_ONE)}
    assert wrong({"nodes": 2}, nodes=Bounds(least=2), cluster=LOCAL_OF_ONE) == {"nodes": "ask for 1 at most"}


def test_further_options_of_the_schedulers_are_words_of_its_own() -> None:
    asked = asked_for(Definition(name="x"), CLUSTER)
    given = {"options": " --account=lab  --exclusive --mail-type=END,FAIL "}
    assert answered(asked, given)["options"] == "--account=lab --exclusive --mail-type=END,FAIL"
    assert answered(asked, {})["options"] == ""


@pytest.mark.parametrize(
    "text",
    [
        "--uid=0", "--output=/etc/passwd", "--wrap=id", "--export=ALL", "--chdir=/", "--parsable", "--job-name=x",
        "--nodes=9", "account=lab", "-A lab", "--account lab", "--account=", "--account=a\tb=c", "--",
        "--account=lab; id", "--comment=supercloud:web:20260101-000000-web-abcdef",
        "--account=" + "a" * 201, "--account=a\u2028b",
    ],
)  # fmt: skip
def test_what_is_the_portals_own_or_no_option_cannot_be_given(text: str) -> None:
    asked = asked_for(Definition(name="x"), CLUSTER)
    with pytest.raises(Unanswered):
        answered(asked, {"options": text})


def test_where_nothing_takes_options_none_are_asked() -> None:
    definition = Definition(name="x", resources=Resources(further=False))
    assert "options" not in [one.name for one in asked_for(definition, CLUSTER)]
    here = Cluster(kind="local", partitions=CLUSTER.partitions)
    assert "options" not in [one.name for one in asked_for(Definition(name="x"), here)]
