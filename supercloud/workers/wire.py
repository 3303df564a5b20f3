"""What the monitor asks of the zygote, and what a worker's session holder tells the monitor.

Both by `supercloud.packets`. The zygote gets `Fork` and answers nothing: the holder that it forks reports on the
status socket that came with the request, until it ends, which the monitor sees as the end of that socket.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from supercloud.monitor.wire import AccountState, Id, Login, Text, Uid


class Fork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="fork"):
    """Fork a session holder, which forks the worker. Descriptors: the bound unix socket that the worker shall listen
    on, and the holder's end of the status socket (SOCK_SEQPACKET).
    """

    worker: Id
    uid: Uid
    login: Login


class Born(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="born"):
    """A holder's first word, with one descriptor, its pidfd: who says nothing more in time is killed by it.

    :ivar pid: of the holder.
    """

    pid: Annotated[int, msgspec.Meta(ge=1)]


class Ready(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ready"):
    """The worker listens, as its account.

    :ivar pid: of the worker.
    """

    pid: Annotated[int, msgspec.Meta(ge=1)]


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="refused"):
    """There will be no worker."""

    state: AccountState
    reason: Text


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ended"):
    """The worker is gone and its session closed.

    :ivar how: ``exit 0``, ``signal 9``, ``stopped``.
    """

    how: Text


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="stop"):
    """From the monitor: end the worker. The end of the status socket means the same."""


Status = Born | Ready | Refused | Ended
