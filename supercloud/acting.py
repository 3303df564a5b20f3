"""Acting as users: the monitor's process, started while there are rights of root, and what in the front asks it.

Everything here fails closed: without the monitor there is no worker, no password is right, and the portal stops.
"""

from __future__ import annotations

import os
import socket
import subprocess  # noqa: TID251 - only to name the type of the monitor's process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from supercloud import events
from supercloud.accounts import Accounts
from supercloud.config import Front, Settings, WrongSettings
from supercloud.ident2.processes import Process
from supercloud.ident2.searches import Searches
from supercloud.identity import Principal
from supercloud.message.claims import Claims
from supercloud.monitor.client import Monitor, start_monitor
from supercloud.monitor.wire import VERSION, Task, Workspace
from supercloud.offload import Offload
from supercloud.routing.forwards import Forwards
from supercloud.shares import Shares
from supercloud.upstream.pool import Pool
from supercloud.upstream.unix import UnixDialer
from supercloud.workers.asking import Asking
from supercloud.workers.pool import One, Workers
from supercloud.workers.way import WayToWorker

_PAM_FOLDERS: Final = ("/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d")
_DUMPABLE: Final = Path("/proc/sys/fs/suid_dumpable")
_STOP: Final = 5.0  # seconds for the monitor to end, and with it all workers, before the portal does without it

Start = Callable[[Task], tuple[socket.socket, "subprocess.Popen[bytes]"]]


class Acting:
    """The monitor and the workers of one portal.

    :param account: whom the front becomes; None when it stays who it is.
    :param portal: URL of the portal's own origin, for the pages of workers.
    :param applications: their origins, as a policy names them.
    :param lost: called, with a word that says why, when the monitor is gone: the portal must stop.
    """

    def __init__(
        self,
        settings: Settings,
        front: Front,
        reactor: Any,
        *,
        account: Principal | None,
        lost: Callable[[str], object],
        only: int | None = None,
        portal: str = "",
        applications: tuple[str, ...] = (),
        start: Start = start_monitor,
    ) -> None:
        self._settings = settings
        self._front = front
        self._reactor = reactor
        self._account = account
        self._lost = lost
        self._only = only if os.geteuid() == 0 else os.geteuid()
        self._portal = portal
        self._applications = applications
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._connected: socket.socket | None = None
        self._workers: Workers | None = None
        self._way: WayToWorker | None = None
        self._asking: Asking | None = None
        self._monitor: Monitor | None = None
        self._searches = Searches(self._read_holders, reactor)

    def start(self) -> None:
        """Make the folder of sockets and start the monitor; while twistd is still root, and before the reactor runs.

        :raises OSError: it cannot be started.
        """
        _make_run(self._settings.run, self._account)
        self._connected, self._process = self._start(self._task())

    def build(self, accounts: Accounts, shares: Shares, notices: Callable[[], bytes] = bytes) -> WayToWorker:
        """The way that requests take to workers.

        :param shares: of the reactor's time.
        :param notices: see `WayToWorker`.
        """
        if self._connected is None:
            raise RuntimeError("the monitor was not started")
        front, reactor, settings = self._front, self._reactor, self._settings.workers
        monitor = self._monitor = Monitor(reactor, self._connected, self._ended, self._lost)
        workers = self._workers = Workers(monitor, accounts, reactor, limit=settings.limit, idle=float(settings.idle))
        workers.start()
        pool: Pool[One] = Pool(reactor, shares, most=front.per_principal.connections)
        dialer = UnixDialer(reactor, timeout=float(front.limits.connect))
        claims = Claims(front.identity_fields)
        self._way = WayToWorker(workers, dialer, pool, applications=self._applications, notices=notices, claims=claims)
        self._asking = Asking(workers, self._way, reactor)
        return self._way

    @property
    def asking(self) -> Asking:
        """What the front itself asks of workers; there once `build` was called."""
        if self._asking is None:
            raise RuntimeError("the monitor was not started")
        return self._asking

    def forwards(self) -> Forwards | None:
        """The site's forwards, where it has a folder for them; once `build` was called."""
        folder = self._settings.forwards.directory
        if not folder or self._asking is None:
            return None
        return Forwards(self.monitor, self._asking, self._reactor, folder=folder)

    @property
    def monitor(self) -> Monitor:
        """For whatever else asks it; there once `build` was called."""
        if self._monitor is None:
            raise RuntimeError("the monitor was not started")
        return self._monitor

    async def find_holders(self, inode: int, uid: int) -> list[Process]:
        """The processes of this host that hold a socket, which the front itself may not see.

        :raises Busy, Undecided: see `Searches.find`; or the monitor cannot say.
        """
        return await self._searches.find(inode, uid)

    async def _read_holders(self, inode: int, uid: int) -> list[Process]:
        found = await self.monitor.read_holders(inode, uid)
        return [Process(one.pid, one.uid, one.gid, frozenset(one.groups), started=0) for one in found.holders]

    @property
    def sees_all(self) -> bool:
        """Whether the monitor is root, and checks passwords and sees all accounts' processes."""
        return self._only is None

    @property
    def in_use(self) -> dict[int, str]:
        """Uid and login of whoever has a worker."""
        return {} if self._workers is None else self._workers.in_use

    def end_workers(self, uid: int) -> None:
        """End an account's workers at once."""
        if self._workers is not None:
            self._workers.end(uid)

    async def stop(self, offload: Offload) -> None:
        """End the monitor and all workers."""
        if self._workers is not None:
            self._workers.stop()
        if self._way is not None:
            self._way.close()
        if self._monitor is not None:
            self._monitor.close()
        elif self._connected is not None:
            self._connected.close()
        if self._process is not None:
            await offload.run(_wait, self._process)

    def _task(self) -> Task:
        settings = self._settings
        return Task(
            version=VERSION,
            front_uid=os.geteuid() if self._account is None else self._account.uid,
            only_uid=self._only,
            min_uid=settings.authn.min_uid,
            shells=settings.authn.shells,
            pam_service=settings.authn.password.pam_service,
            run=str(settings.run),
            desk=str(settings.run / "portal.sock"),
            roots=dict(settings.dav.roots),
            forwards=settings.forwards.directory,
            workspace=Workspace(
                self._portal,
                settings.scheduler.kind,
                settings.applications.all_folders,
                float(settings.applications.idle),
            ),
            umask=int(settings.workers.umask, 8) if settings.workers.umask else None,
        )

    def _ended(self, number: int, how: str) -> None:
        if self._workers is not None:
            self._workers.ended(number, how)


def check(settings: Settings, *, folders: Sequence[str] = _PAM_FOLDERS, dumpable: Path = _DUMPABLE) -> None:
    """Whether what acting needs is there.

    :raises WrongSettings: says what is wrong and what would be right.
    """
    service = settings.authn.password.pam_service
    if os.geteuid() != 0:
        if "password" in settings.authn.schemes:
            raise WrongSettings(
                'authn.schemes: "password" needs a start as root, which only can check passwords; remove it, or start '
                "the portal as root with front.account set"
            )
        return
    # proc(5): with 1 whoever a process becomes can look into it and change it, until it has forbidden that.
    if dumpable.is_file() and dumpable.read_text("ascii").strip() == "1":
        raise WrongSettings(
            "fs.suid_dumpable is 1 on this host, so people could take over the processes that are about to act as "
            "them; set it to 0 or 2: sysctl -w fs.suid_dumpable=0"
        )
    if "password" in settings.authn.schemes and not service:
        raise WrongSettings('authn.password.pam_service: must name a service, because authn.schemes has "password"')
    if service and ("/" in service or not any(Path(folder, service).is_file() for folder in folders)):
        raise WrongSettings(
            f"authn.password.pam_service: there is no /etc/pam.d/{service}; copy conf/pam.example there, or name "
            "another service"
        )


def _make_run(run: Path, account: Principal | None) -> None:
    """The folder of sockets; one that is there stays as it is."""
    if run.is_dir():
        return
    run.mkdir(parents=True, mode=0o755)
    if account is not None:
        os.chown(run, account.uid, account.gid)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Blocks."""
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        events.warned(f"the monitor, process {process.pid}, does not end")
