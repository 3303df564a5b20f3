"""What SLURM's programs print."""

from __future__ import annotations

import pytest

from supercloud.scheduler.slurm_text import read_gpus, read_jobs, read_minutes, read_nodes, read_partitions


def squeue(**fields: str) -> str:
    usual = {
        "id": "7", "state": "RUNNING", "reason": "None", "nodes": "node1", "partition": "normal",
        "submitted": "1795798948", "starts": "1795798950", "ends": "1827334948", "folder": "/home/alice",
        "comment": "(null)", "name": "lab",
    }  # fmt: skip
    return "\x1e" + "\x1f".join({**usual, **fields}.values()) + "\n"


def sinfo(*fields: str) -> str:
    return "\x1e" + "\x1f".join(fields) + "\n"


def test_a_running_job() -> None:
    [job] = read_jobs(squeue())
    assert (job.id, job.state, job.nodes, job.partition, job.name) == ("7", "running", ("node1",), "normal", "lab")
    assert (job.submitted, job.starts, job.ends) == (1795798948.0, 1795798950.0, 1827334948.0)
    assert (job.reason, job.comment) == ("", "")


def test_a_waiting_job_says_why_and_has_no_node() -> None:
    [job] = read_jobs(squeue(state="PENDING", reason="Resources", nodes="", starts="N/A", ends="N/A"))
    assert (job.state, job.reason, job.nodes, job.starts, job.ends) == ("pending", "Resources", (), None, None)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        *(("COMPLETING", "ending"), ("COMPLETED", "done"), ("FAILED", "failed"), ("OUT_OF_MEMORY", "failed")),
        *(("CANCELLED", "cancelled"), ("TIMEOUT", "timed-out"), ("NODE_FAIL", "lost"), ("CONFIGURING", "pending")),
        *(("SUSPENDED", "running"), ("A_NEW_ONE", "lost")),
    ],
)
def test_each_state_of_slurms_has_one_of_ours(said: str, state: str) -> None:
    assert read_jobs(squeue(state=said))[0].state == state


def test_names_and_comments_may_hold_what_sets_fields_apart_elsewhere() -> None:
    [job] = read_jobs(squeue(name="a|b\nc\x1fd", comment='{"app": "x y"}'))
    assert (job.name, job.comment) == ("a|b\nc\x1fd", '{"app": "x y"}')


def test_what_cannot_be_read_is_left_out() -> None:
    assert read_jobs("slurm_load_jobs warning: x\n\x1eonly\x1fthree\x1ffields\n" + squeue(id="x")) == []
    assert read_jobs("") == []


def test_a_name_that_begins_a_record_of_its_own_makes_no_second_job() -> None:
    assert [job.id for job in read_jobs(squeue(name="x\x1e8\x1fRUNNING"))] == ["7"]


def test_partitions_with_their_kinds_of_nodes() -> None:
    text = sinfo("normal*", "up", "1-00:00:00", "1:00:00", "3", "16", "4000", "(null)", "(null)")
    text += sinfo("normal*", "up", "1-00:00:00", "1:00:00", "1", "32+", "8000+", "gpu:a100:4(S:0-1)", "big,fast")
    text += sinfo("closed", "down", "infinite", "n/a", "1", "16", "4000", "(null)", "(null)")
    normal, closed = read_partitions(text)
    assert (normal.name, normal.is_default, normal.is_up, normal.longest, normal.usual) == (
        "normal",
        True,
        True,
        1440,
        60,
    )
    assert [(one.count, one.cpus, one.memory, one.gpus, one.features) for one in normal.nodes] == [
        (3, 16, 4000, {}, ()),
        (1, 32, 8000, {"a100": 4}, ("big", "fast")),
    ]
    assert (closed.name, closed.is_default, closed.is_up, closed.longest, closed.usual) == (
        "closed",
        False,
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("(null)", {}),
        ("gpu:2", {"": 2}),
        ("gpu:a100:4(S:0-1),gpu:v100:2,shard:a100:8", {"a100": 4, "v100": 2}),
        ("gpu:a100:2,gpu:a100:2", {"a100": 4}),
        ("gpu", {}),
    ],
)
def test_gpus(text: str, gpus: dict[str, int]) -> None:
    assert read_gpus(text) == gpus


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *(("30", 30), ("30:00", 30), ("1:30:00", 90), ("2-0", 2880), ("1-12", 2160), ("1-12:30", 2190)),
        *(
            ("365-00:00:00", 525600),
            ("infinite", None),
            ("UNLIMITED", None),
            ("n/a", None),
            ("", None),
            ("1-2-3", None),
        ),
    ],
)
def test_times(text: str, minutes: int | None) -> None:
    assert read_minutes(text) == minutes


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("node1", ("node1",)),
        ("node[1-3,7],login", ("node1", "node2", "node3", "node7", "login")),
        ("gpu-[08-10]-ib", ("gpu-08-ib", "gpu-09-ib", "gpu-10-ib")),
        ("n[1-99999999]", ()),
    ],
)
def test_lists_of_nodes(text: str, nodes: tuple[str, ...]) -> None:
    assert read_nodes(text) == nodes
