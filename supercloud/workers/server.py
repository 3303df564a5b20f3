"""cheroot on an inherited unix socket that only the front may use: one request at a time on a connection, kept alive.

What happens on a connection is in `supercloud.workers.exchange`.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from cheroot import wsgi
from cheroot.connections import ConnectionManager

from supercloud.workers.exchange import Connection, Gateway
from supercloud.workers.threads import Threads

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Seconds that an unused connection is kept: longer than in the front's pool (60), so that it is the front that closes.
IDLE: Final = 75
# Seconds between looks for unused connections.
_EXPIRE_EVERY: Final = 5.0
# Connections that wait in the kernel. The front opens at most its limit of requests per account.
_BACKLOG: Final = 128
# Bytes of a request's head; the front takes 64 KiB and adds a few fields of its own.
_MOST_HEAD: Final = 128 * 1024


class Server(wsgi.Server):
    """Serves an application to one account's processes.

    :param listening: bound, not listening yet.
    :param login: of this process' account: ``REMOTE_USER`` and ``supercloud.login`` of every request.
    :param front_uid: whose connections are taken; all others are closed without a byte.
    """

    protocol = "HTTP/1.1"
    max_request_header_size = _MOST_HEAD
    expiration_interval = _EXPIRE_EVERY
    keep_alive_conn_limit: Any = None

    def __init__(self, listening: socket.socket, application: Application, *, login: str, front_uid: int) -> None:
        super().__init__(listening.getsockname(), application, server_name="supercloud", timeout=IDLE)
        self.ConnectionClass = Connection
        self.gateway = Gateway
        self.requests = Threads(self)
        self.login = login
        self._listening = listening
        self._front_uid = front_uid

    def prepare(self) -> None:
        """Listen. Who calls listen() is whom the front sees (SO_PEERCRED, unix(7)).

        :raises OSError, RuntimeError: it cannot listen, or has no threads.
        """
        self.software = self.server_name
        self.socket = _Door(self._listening, self._front_uid)
        self._connections = ConnectionManager(self)
        self.requests.start()
        self._listening.listen(_BACKLOG)
        self.ready = True

    def serve(self) -> None:
        """Until `stop`, or an exception that a signal raises."""
        while self.ready:
            try:
                self._connections.run(self.expiration_interval)
            except Exception:
                self.error_log(level=logging.ERROR, traceback=True)

    def finish(self, within: float) -> bool:
        """Take nothing new, and let what is under way come to its end.

        :param within: seconds.
        :return: whether it did.
        """
        self.ready = False
        self._listening.close()
        return bool(self.requests.stop(within))

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """One line on standard error: where and of what kind. What an error says can hold parts of a request."""
        error = sys.exc_info()[1]
        if error is None or level < logging.WARNING:
            return
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace is not None else "?"
        number = f" {errno.errorcode.get(error.errno or 0, '')}" if isinstance(error, OSError) else ""
        sys.stderr.write(f"worker of {self.login}: {type(error).__name__}{number} at {where}\n")
        sys.stderr.flush()


class _Door:
    """The listening socket, as cheroot uses it: lets nobody in but the front."""

    def __init__(self, listening: socket.socket, front_uid: int) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._front_uid = front_uid
        self.fileno = listening.fileno
        self.close = listening.close

    def accept(self) -> tuple[socket.socket, Any]:
        """:raises BlockingIOError: nobody is there who may be; cheroot waits for the next one."""
        accepted, address = self._listening.accept()
        _, uid, _ = struct.unpack("iII", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != self._front_uid:
            accepted.close()
            raise BlockingIOError(errno.EAGAIN, f"uid {uid} is not the front")
        return accepted, address
