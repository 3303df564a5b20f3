"""What the front may ask of the monitor, and what it is answered. See PROTOCOL.md in this folder.

One msgpack message a packet (`supercloud.packets`), each a map with its kind under ``type``. A request that is not in
this table ends the monitor, and with it the portal.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from supercloud.monitor.shells import Shells
from supercloud.target import Reservation

VERSION: Final = 2

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Uid = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 2)]
Login = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
# As in supercloud.target.is_forward_name.
ForwardName = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,255}\Z")]
MOST_FORWARD: Final = 1024  # bytes of a forward's file


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """:ivar id: the front's number of a request; its answer bears the same."""

    id: Id


# Requests.


class CheckPassword(_Message, frozen=True, tag="check-password"):
    """Is that the account's password? Its one descriptor is the reading end of a pipe that holds the password, at most
    1,024 bytes, and is closed on the writing side. A child made for this one check reads it.

    :ivar address: of the browser, for PAM's rhost.
    """

    login: Login
    address: Annotated[str, msgspec.Meta(max_length=64)]


class ReadAccount(_Message, frozen=True, tag="read-account"):
    """May this account be used now?"""

    uid: Uid


class StartWorker(_Message, frozen=True, tag="start-worker"):
    """Start a worker of an account that signed in under that login."""

    uid: Uid
    login: Login


class StopWorker(_Message, frozen=True, tag="stop-worker"):
    """End a worker; `WorkerEnded` follows, and nothing else does.

    :ivar worker: its number, from `WorkerStarted`.
    """

    worker: Id


class ReadHolders(_Message, frozen=True, tag="read-holders"):
    """Which processes of this host hold a socket?

    :ivar inode: of the socket; not 0.
    :ivar uid: of the account whose processes are searched; 0 searches all, for a socket that root made.
    """

    inode: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    uid: Uid


class FindForward(_Message, frozen=True, tag="find-forward"):
    """In which state is a forward's file? It is looked up in the one folder that the monitor was started with; nobody
    whom it concerns can keep the answer back.
    """

    name: ForwardName


class ReadForward(_Message, frozen=True, tag="read-forward"):
    """May an account use a forward, and where does it lead?

    :ivar uid: the viewer's.
    """

    name: ForwardName
    uid: Uid


Request = CheckPassword | ReadAccount | StartWorker | StopWorker | ReadHolders | FindForward | ReadForward


# Answers.

PasswordOutcome = Literal["good", "bad", "locked", "expired", "no-shell", "closed", "busy", "slow", "broken"]
AccountState = Literal[
    "good", "unknown", "renamed", "root", "below-minimum", "locked", "expired", "no-shell", "closed", "broken"
]


class PasswordChecked(_Message, frozen=True, tag="password-checked"):
    """:ivar outcome: ``closed`` while /etc/nologin is there; ``busy``: too many checks at once; ``slow``: PAM did not
    answer within the deadline; ``broken``: PAM failed in another way. Only ``good`` lets anybody in.
    """

    outcome: PasswordOutcome


class AccountRead(_Message, frozen=True, tag="account-read"):
    """:ivar state: only ``good`` lets anybody in."""

    state: AccountState


class WorkerStarted(_Message, frozen=True, tag="worker-started"):
    """The worker listens, as its account.

    :ivar worker: its number, never used again.
    :ivar path: of the unix socket that it listens on.
    """

    worker: Id
    path: Annotated[str, msgspec.Meta(max_length=107)]
    pid: Annotated[int, msgspec.Meta(ge=1)]


class WorkerRefused(_Message, frozen=True, tag="worker-refused"):
    """:ivar state: why the account may have none; ``good`` when the reason is another.
    :ivar reason: for the administrator.
    """

    state: AccountState
    reason: Text


class WorkerEnded(_Message, frozen=True, tag="worker-ended"):
    """A worker is gone; said once about each that was started. ``id`` is that of the request that started it.

    :ivar how: ``exit 0``, ``signal 9``, ``stopped``, ...
    """

    worker: Id
    how: Text


class Holder(msgspec.Struct, frozen=True):
    """A process that holds a socket: its effective ids (the fields Uid, Gid and Groups of /proc/PID/status)."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...]


class HoldersRead(_Message, frozen=True, tag="holders-read"):
    """:ivar holders: none when nobody holds it.
    :ivar is_complete: the search ended in time; False means that nothing may be concluded.
    """

    holders: tuple[Holder, ...]
    is_complete: bool


# What came of looking at a forward's file, or why it was not read.
ForwardOutcome = Literal[
    "read",
    "found",
    "absent",
    "not-executable",
    "not-regular",
    "several-names",
    "changed",
    "unreadable",
    "too-long",
    "busy",
    "slow",
    "broken",
]


class ForwardRead(_Message, frozen=True, tag="forward-read"):
    """:ivar state: of the file when it was found; None when it was not.
    :ivar data: all that it holds, as its owner read it in that state; None unless the outcome is ``read``.
    """

    outcome: ForwardOutcome
    state: Reservation | None
    data: Annotated[bytes, msgspec.Meta(max_length=MOST_FORWARD)] | None


Answer = PasswordChecked | AccountRead | WorkerStarted | WorkerRefused | WorkerEnded | HoldersRead | ForwardRead


class Workspace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pages of workers need to know.

    :ivar portal: URL of the portal's own origin, without a slash at its end.
    :ivar folders: of the site's applications.
    :ivar idle: seconds without use, after which applications end; 0 for never.
    """

    portal: str
    scheduler: Literal["slurm", "local"]
    folders: tuple[str, ...]
    idle: float = 0.0


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the monitor is started with, as JSON in its arguments: from the settings, read while twistd was still root.

    :ivar front_uid: whom the front runs as; workers take connections from that account only, and the folder of
        sockets is open to it only.
    :ivar only_uid: the embedded portal's one account: the monitor has no rights of root then, and starts workers of
        that account only, as itself; None with root.
    :ivar min_uid: accounts below it get no worker.
    :ivar pam_service: for passwords and sessions; ``""``: no PAM.
    :ivar run: folder for sockets; ``run/workers`` is the monitor's to make.
    :ivar desk: path of the portal's own socket, for workers' questions.
    :ivar roots: address below /dav to folder; ``~`` is the user's home.
    :ivar forwards: the one folder of named forwards; ``""``: there are none.
    :ivar workspace: for the pages; None: there are none.
    :ivar shells: with which accounts are let in.
    :ivar umask: of workers; None leaves what PAM or the site's login settings give, else 0o022.
    """

    version: int
    front_uid: int
    only_uid: int | None
    min_uid: int
    pam_service: str
    run: str
    desk: str
    roots: dict[str, str]
    umask: int | None = None
    forwards: str = ""
    workspace: Workspace | None = None
    shells: Shells = "etc-shells"
