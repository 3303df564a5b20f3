"""A SLURM on the lab's cluster: slurmctld on the head, a slurmd on each node, all in the foreground and ended by id.

Two partitions, "normal" (the default; a day at most) and "gpu" (the last node, with two GPUs that are only counted).
Steps get reserved ports from 12000 on. SLURM's programs find it by /etc/slurm/slurm.conf, as people's do.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.accounts import Accounts
from lab.cluster import Cluster
from lab.processes import Processes, enter

_CONF = Path("/etc/slurm/slurm.conf")
_GRES = Path("/etc/slurm/gres.conf")
_MARK = "# made by the tests of the SuperCloud portal\n"
# Seconds for a job to start: slurmctld looks every second.
STARTS_WITHIN = 20.0


class Slurm:
    """The SLURM that runs.

    :param folder: every account can enter it.
    """

    def __init__(self, folder: Path, cluster: Cluster, processes: Processes) -> None:
        self.folder = folder
        self.cluster = cluster
        self._processes = processes
        self.daemons: dict[str, subprocess.Popen[Any]] = {}

    def start(self) -> None:
        """Start all of it; come back when its nodes are idle.

        :raises RuntimeError: there is another SLURM on this machine, or it does not come up.
        """
        for file in (_CONF, _GRES):
            if file.exists() and not file.read_text().startswith(_MARK):
                raise RuntimeError(f"{file} is not of these tests")
        self._folders()
        _CONF.parent.mkdir(exist_ok=True)
        _CONF.write_text(_MARK + self._conf())
        devices = f"{self.folder}/gpu[0-1]"
        _GRES.write_text(
            f"{_MARK}AutoDetect=off\nNodeName={self.cluster.nodes[-1]} Name=gpu Type=a100 File={devices}\n"
        )
        munge = [
            "setpriv",
            "--reuid",
            "munge",
            "--regid",
            "munge",
            "--clear-groups",
            "munged",
            "--foreground",
            "--force",
        ]
        munge += [f"--key-file={self.folder}/munge/key", f"--socket={self.folder}/munge/socket"]
        munge += [f"--pid-file={self.folder}/munge/pid", f"--seed-file={self.folder}/munge/seed"]
        self._start("munged", [*munge, f"--log-file={self.folder}/munge/log"])
        _until(lambda: (self.folder / "munge" / "socket").exists(), "munged")
        self.start_controller()
        for node in self.cluster.nodes:
            self.start_node(node)
        try:
            _until(self._is_idle, "idle nodes")
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{self._logs()}") from None

    def start_controller(self) -> None:
        """slurmctld, again after `stop_daemon`; it knows the jobs that there were."""
        self._start("slurmctld", ["slurmctld", "-D"])

    def start_node(self, node: str) -> None:
        """slurmd of a node."""
        self._start(node, [*enter(node), "slurmd", "-D", "-N", node])

    def stop_daemon(self, name: str) -> None:
        """End slurmctld or a node's slurmd; jobs go on."""
        process = self.daemons.pop(name)
        process.terminate()
        process.wait(20)

    def stop(self) -> None:
        """End all jobs, then all daemons; nothing is left."""
        if "slurmctld" in self.daemons:
            for partition in ("normal", "gpu"):
                subprocess.run(["scancel", f"--partition={partition}"], capture_output=True)
            _until(lambda: not self._squeue("-h", "-t", "PENDING,RUNNING,COMPLETING,SUSPENDED"), "the end of all jobs")
        for name in [*self.cluster.nodes, "slurmctld", "munged"]:
            if name in self.daemons:
                self.stop_daemon(name)
        for file in (_CONF, _GRES):
            if file.exists() and file.read_text().startswith(_MARK):
                file.unlink()

    def sbatch(self, accounts: Accounts, login: str, script: str, *options: str) -> str:
        """Submit a batch script as somebody, from their home; the job's id."""
        done = self.run_as(accounts, login, ["sbatch", "--parsable", *options], text=script)
        return done.strip()

    def run_as(self, accounts: Accounts, login: str, argv: list[str], text: str = "") -> str:
        """Run one of SLURM's programs as somebody on the head.

        :raises RuntimeError: with what it said.
        """
        process = accounts.run_as(
            login, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, said = process.communicate(text, timeout=60)
        if process.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {said.strip()}")
        return str(out)

    def state(self, job_id: str) -> str:
        """What squeue calls a job's state; "" when it is forgotten."""
        return self._squeue("-h", "-t", "all", "-j", job_id, "-o", "%T")

    def wait(self, job_id: str, *states: str, within: float = STARTS_WITHIN) -> None:
        """Until a job has one of these states."""
        _until(lambda: self.state(job_id) in states, f"job {job_id} {'/'.join(states)}", within=within)

    def ports(self, job_id: str) -> str:
        """The ports that are reserved for a job's steps: ``12001`` or ``12001-12002``."""
        said = subprocess.run(["scontrol", "show", "step", job_id], capture_output=True, text=True).stdout
        found = [ports for ports in re.findall(r"ResvPorts=(\S+)", said) if ports != "(null)"]
        return found[0] if found else ""

    def _start(self, name: str, argv: list[str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self.daemons[name] = self._processes.start(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _folders(self) -> None:
        for name, owner in (("munge", "munge"), ("state", "slurm"), ("log", "slurm")):
            folder = self.folder / name
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, owner, owner)
            folder.chmod(0o755)
        for number in range(2):  # a GPU is a device; which one makes no difference here
            os.mknod(self.folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(128))
        shutil.chown(key, "munge", "munge")
        key.chmod(0o600)

    def _conf(self) -> str:
        nodes, here = self.cluster.nodes, socket.gethostname().partition(".")[0]
        lines = [
            "ClusterName=lab",
            f"SlurmctldHost={here}({self.cluster.address('head')})",
            "SlurmUser=slurm",
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.folder}/munge/socket",
            "CredType=cred/munge",
            f"StateSaveLocation={self.folder}/state",
            f"SlurmctldPidFile={self.folder}/state/slurmctld.pid",
            f"SlurmctldLogFile={self.folder}/log/slurmctld",
            f"SlurmdPidFile={self.folder}/slurmd.%n.pid",
            f"SlurmdSpoolDir={self.folder}/spool.%n",
            f"SlurmdLogFile={self.folder}/log/%n",
            # No cgroups and no limits carried over: both need rights that a container may lack.
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/none",
            "PropagateResourceLimits=NONE",
            "AccountingStorageType=accounting_storage/none",
            "JobCompType=jobcomp/none",
            "MpiDefault=none",
            "MpiParams=ports=12000-12999",
            "SlurmdParameters=config_overrides",
            "ReturnToService=2",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_CPU",
            "SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1",
            "MinJobAge=300",
            "KillWait=2",
            "CompleteWait=0",
            "SlurmdTimeout=10",
            "GresTypes=gpu",
            *(f"NodeName={node} NodeAddr={self.cluster.address(node)} CPUs=8 RealMemory=4000" for node in nodes[:-1]),
            f"NodeName={nodes[-1]} NodeAddr={self.cluster.address(nodes[-1])} CPUs=8 RealMemory=4000 Gres=gpu:a100:2 "
            "Feature=fast",
            f"PartitionName=normal Nodes={','.join(nodes[:-1])} Default=YES MaxTime=1-00:00:00 DefaultTime=60",
            f"PartitionName=gpu Nodes={nodes[-1]} MaxTime=2:00:00",
        ]
        return "\n".join(lines) + "\n"

    def _logs(self) -> str:
        """The ends of what all of them wrote."""
        files = [*self.folder.glob("*.out"), *self.folder.glob("log/*")]
        return "\n".join(f"{file.name}:\n{file.read_text(errors='replace')[-1500:]}" for file in files)

    def _is_idle(self) -> bool:
        for name, process in self.daemons.items():
            if process.poll() is not None:
                raise RuntimeError(
                    f"{name} ended with {process.returncode}: {(self.folder / f'{name}.out').read_text()}"
                )
        said = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], capture_output=True, text=True).stdout.split()
        return len(said) == len(self.cluster.nodes) and set(said) == {"idle"}

    def _squeue(self, *options: str) -> str:
        return subprocess.run(["squeue", *options], capture_output=True, text=True).stdout.strip()


def is_installed() -> bool:
    """Whether this machine has SLURM and its accounts."""
    try:
        return bool(pwd.getpwnam("slurm") and grp.getgrnam("munge") and shutil.which("slurmctld"))
    except KeyError:
        return False


def _until(condition: Callable[[], bool], what: str, *, within: float = 30.0) -> None:
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {within:g} s")
        time.sleep(0.1)
