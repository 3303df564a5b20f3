#!/usr/bin/env python3
"""Serves /dav with cheroot alone, as an account, without the portal: locks and properties are wsgidav's, in memory.

usage: dav_server.py LOGIN ROOTS_AS_JSON [UMASK [FILE_SIZE_LIMIT]]

Started as root it becomes LOGIN after everything is imported; "" stays who it is. Prints its port once it listens.
"""

import json
import os
import pwd
import resource
import sys

from cheroot import wsgi
from wsgidav.lock_man.lock_manager import LockManager
from wsgidav.lock_man.lock_storage import LockStorageDict
from wsgidav.prop_man.property_manager import PropertyManager

from supercloud.dav.app import make_app


def main() -> None:
    login, roots = sys.argv[1], json.loads(sys.argv[2])
    os.umask(int(sys.argv[3], 8) if len(sys.argv) > 3 else 0o022)
    if len(sys.argv) > 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
    home = os.getcwd()
    if login:
        account = pwd.getpwnam(login)
        os.setgroups(os.getgrouplist(login, account.pw_gid))
        os.setresgid(*(account.pw_gid,) * 3)
        os.setresuid(*(account.pw_uid,) * 3)
        home = account.pw_dir
    locks, properties = LockManager(LockStorageDict()), PropertyManager()
    dav = make_app(roots, home, None, lock_manager=locks, prop_manager=properties)

    def application(environ, start_response):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/dav", environ["PATH_INFO"].removeprefix("/dav")
        return dav(environ, start_response)

    server = wsgi.Server(("127.0.0.1", 0), application, numthreads=4)
    server.prepare()
    print(server.bind_addr[1], flush=True)
    server.serve()


if __name__ == "__main__":
    main()
