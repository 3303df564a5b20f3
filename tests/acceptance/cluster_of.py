"""A portal on the head of a cluster that runs SLURM, each node with a responder."""

from __future__ import annotations

from typing import Any

from lab import cluster as lab_cluster
from lab.cluster import Cluster
from lab.processes import Processes
from lab.sharing import shared
from lab.site import start_node
from lab.slurm import Slurm

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import PEOPLE, Site


def slurm_of(lab: Lab, processes: Processes, nodes: int = 3) -> Slurm:
    """A SLURM on a cluster of nodes, both there until the lab ends."""
    lab.enter(shared("cluster", lambda: lab_cluster.make(nodes), lab_cluster.remove))
    # Port 99 of the cluster's addresses, and SLURM's, can be had once on this machine.
    lab.enter(shared("ident2-port-99", lambda: None, lambda: None))
    folder = lab.folder / "slurm"
    folder.mkdir()
    folder.chmod(0o755)
    slurm = Slurm(folder, Cluster(processes, nodes), processes)
    slurm.start()
    lab.at_end(slurm.stop)
    return slurm


class ClusterSite(Site):
    """The portal, for applications on its nodes.

    :param nodes: how many; all but the last are in the partition "normal".
    :ivar slurm: started.
    """

    def __init__(self, lab: Lab, hostname: str, nodes: int = 3, **how: Any) -> None:
        super().__init__(lab, lab.folder / "site-cluster", address="10.77.0.1", hostname=hostname)
        processes = Processes()
        lab.at_end(processes.stop)
        self.slurm = slurm_of(lab, processes, nodes)
        self.cluster = self.slurm.cluster
        self.folder.mkdir(parents=True)
        for node in self.cluster.nodes:
            start_node(self.cluster, processes, self.folder, node)
        self.start(lab.processes, logins=PEOPLE, nodes=f'["node[1-{nodes}]"]', **how)

    def submit(self, login: str, script: str, *options: str) -> str:
        """Submit a batch script as somebody; the job's id, once it runs."""
        job_id = self.slurm.sbatch(self.lab.accounts, login, script, *options)
        self.slurm.wait(job_id, "RUNNING")
        return job_id
