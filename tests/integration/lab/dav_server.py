#!/usr/bin/env python3
"""Serves /dav as a worker does, as an account, on a port of loopback instead of the front's socket.

usage: dav_server.py LOGIN ROOTS_AS_JSON DESK UMASK [FILE_SIZE_LIMIT]

Started as root it becomes LOGIN after everything is imported; "" stays who it is. Prints its port once it listens.
"""

import json
import os
import pwd
import resource
import socket
import sys

from supercloud.dav.app import make_app
from supercloud.workers.child import serve

# What the kernel says of the other end of a TCP connection when it is asked for its uid.
NOBODY = 2**32 - 1


def main() -> None:
    login, roots, desk = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    os.umask(int(sys.argv[4], 8))
    if len(sys.argv) > 5:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]),) * 2)
    home = os.getcwd()
    if login:
        account = pwd.getpwnam(login)
        os.setgroups(os.getgrouplist(login, account.pw_gid))
        os.setresgid(*(account.pw_gid,) * 3)
        os.setresuid(*(account.pw_uid,) * 3)
        home = account.pw_dir
    dav = make_app(roots, home, desk or None)

    def application(environ, start_response):
        path = environ["PATH_INFO"].removeprefix("/dav")
        return dav({**environ, "SCRIPT_NAME": "/dav", "PATH_INFO": path, "wsgi.url_scheme": "http"}, start_response)

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    serve(listening, application, login=login, front_uid=NOBODY, ready=lambda: print(port, flush=True))


if __name__ == "__main__":
    main()
