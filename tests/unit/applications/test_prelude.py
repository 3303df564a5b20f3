"""What an application's script finds before its own first line."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

import pytest

_PRELUDE = resources.files("supercloud.applications").joinpath("prelude.sh").read_text(encoding="utf-8")
# As srun sets them in a step of one task, within a job of four nodes (SLURM 22.05); and two of task/affinity's.
_STEP = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NUM_NODES": "4",
    "SLURM_JOB_NODELIST": "node[1-4]",
    "SLURM_CPUS_PER_TASK": "2",
    "SLURM_CPU_BIND": "quiet,mask_cpu:0x3",
    "SLURM_CPU_BIND_TYPE": "mask_cpu:",
    "SLURM_DISTRIBUTION": "cyclic",
    "SLURM_NNODES": "1",
    "SLURM_NPROCS": "1",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_PROCID": "0",
    "SLURM_SRUN_COMM_PORT": "40791",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "node1",
    "SLURM_STEP_NUM_TASKS": "1",
    "SLURM_STEP_RESV_PORTS": "12001-12003",
    "SLURM_STEP_TASKS_PER_NODE": "1",
    "SLURM_TASKS_PER_NODE": "1",
}


def run(script: str, tmp_path: Path, **env: str) -> str:
    whole = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SUPERCLOUD_FOLDER": str(tmp_path), **env}
    done = subprocess.run(["bash", "-c", _PRELUDE + script], env=whole, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_srun_is_told_of_the_job_and_not_of_the_step_that_the_script_runs_in(tmp_path: Path) -> None:
    said = run("env", tmp_path, **_STEP).splitlines()
    found = dict(line.split("=", 1) for line in said if line.startswith("SLURM_"))
    assert found == {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "4",
        "SLURM_JOB_NODELIST": "node[1-4]",
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_NNODES": "4",
        "SLURM_TASKS_PER_NODE": "1(x4)",
        "SLURM_STEP_RESV_PORTS": "12001-12003",
    }


@pytest.mark.parametrize(("nodes", "tasks"), [("1", "1"), ("2", "1(x2)")])
def test_programs_that_read_the_tasks_of_a_node_find_slurms_own_form(tmp_path: Path, nodes: str, tasks: str) -> None:
    assert run('echo "$SLURM_TASKS_PER_NODE"', tmp_path, SLURM_JOB_NUM_NODES=nodes) == f"{tasks}\n"


def test_ports_and_secret_are_its_own(tmp_path: Path) -> None:
    said = run('echo "$PORT $PORTS $NODE $LISTEN ${#TOKEN}"', tmp_path, **_STEP, SUPERCLOUD_NODE="node1")
    assert said == "12001 12001-12003 node1 0.0.0.0 48\n"
    assert run('echo "$LISTEN"', tmp_path, SUPERCLOUD_NODE="localhost") == "127.0.0.1\n"
    assert "TOKEN=" not in run("env", tmp_path)


def test_a_path_has_tilde_for_home_and_runs_nothing(tmp_path: Path) -> None:
    assert run("whole '~/a b'; echo; whole '~'; echo; whole '/x/$(id)~'", tmp_path) == (
        f"{tmp_path}/a b\n{tmp_path}\n/x/$(id)~"
    )
