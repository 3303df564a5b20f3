"""The zygote: has imported everything that workers will ever need, and forks a session holder for each `Fork`.

    python -m supercloud.workers.zygote FD TASKJSON

``FD`` is a connected SOCK_SEQPACKET socket to the monitor; its end, and anything else than a proper `Fork`, ends this.
After the fork the interpreter's files may be unreadable to the user (a virtual environment under somebody's home), so
nothing may be left to import; and memory that was there before the fork is shared.
"""

from __future__ import annotations

import codecs
import gc
import importlib
import mimetypes
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

import msgspec

from supercloud.monitor.wire import VERSION, Task
from supercloud.packets import Garbled, Gone, Packets, close_all
from supercloud.workers import application, kernel
from supercloud.workers.admission import uses_pam
from supercloud.workers.child import Make
from supercloud.workers.confine import keep_only
from supercloud.workers.holder import Terms, hold
from supercloud.workers.wire import Fork, Refused

# Looked up by name when they are first used.
_CODECS: Final = (
    *("ascii", "latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"),
    *("cp1252", "iso8859-15", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "base64", "hex", "quopri"),
)
# Imported by other modules inside functions.
_MODULES: Final = (
    *("_strptime", "bz2", "calendar", "email.mime.text", "email.parser", "encodings.idna", "grp", "http.client"),
    *("http.cookies", "linecache", "locale", "lzma", "pwd", "pyexpat", "shutil", "stringprep", "subprocess"),
    *("tempfile", "traceback", "unicodedata", "uuid", "xml.dom.minidom", "xml.etree.ElementTree", "xml.parsers.expat"),
    *("xml.sax.expatreader", "zlib", "zoneinfo"),
)
# These load libpam.
_PAM: Final = ("supercloud.monitor.pam", "supercloud.workers.session")


def main(arguments: list[str], make: Make = application.make, **limits: float) -> int:
    """Run until the monitor's end of the socket closes.

    :param arguments: descriptor and task, as above.
    :param make: makes the application that workers serve.
    :param limits: see `Terms`.
    :return: the exit code: 0 at the end of the socket, 1 after what the monitor must not send.
    """
    number, text = arguments
    descriptor = int(number)
    task = msgspec.json.decode(text, type=Task)
    if task.version != VERSION:
        raise ValueError(f"a task of version {task.version}; this is {VERSION}")
    kernel.name_process("sc-zygote")
    keep_only([descriptor])
    link: Packets[Fork] = Packets(socket.socket(fileno=descriptor), Fork)
    _warm_up(task)
    # Holders report by their own sockets: the kernel may forget them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # ^C and a service's end reach all processes; this one ends with the monitor.
    for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(which, signal.SIG_IGN)
    return _serve(link, Terms(task, make, **limits))


def _serve(link: Packets[Fork], terms: Terms) -> int:
    while True:
        try:
            order, descriptors = link.receive()
        except Gone:
            return 0
        except Garbled:
            return 1
        if len(descriptors) != 2:
            close_all(descriptors)
            return 1
        try:
            _fork(terms, order, descriptors)
        finally:
            close_all(descriptors)


def _fork(terms: Terms, order: Fork, descriptors: list[int]) -> None:
    """Fork a holder; where the kernel does not, say so in its place."""
    try:
        if os.fork() == 0:
            _hold(terms, order, descriptors)
    except OSError as error:
        status: Packets[Any] = Packets(socket.socket(fileno=os.dup(descriptors[1])), Fork)
        with suppress(Gone):
            status.send(Refused("good", f"fork: {error}"))
        status.close()


def _hold(terms: Terms, order: Fork, descriptors: list[int]) -> NoReturn:
    """In the holder's process: whatever happens, it does not go on as a second zygote."""
    code = 1
    try:
        listening, status = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        hold(terms, order, listening, status)
        code = 0
    except BaseException as error:
        sys.stderr.write(f"holder of {order.login}: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


def _warm_up(task: Task) -> None:
    """Import, look up and fill what is else done on first use; then keep the collector from touching it, as pages that
    are written to are no longer shared.
    """
    for name in (*_MODULES, *(_PAM if uses_pam(task) else ())):
        importlib.import_module(name)
    for name in _CODECS:
        codecs.lookup(name)
    mimetypes.init()
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
