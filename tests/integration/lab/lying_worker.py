#!/usr/bin/env python3
"""A zygote whose workers lie: ``zygote FD TASKJSON``, with another application.

A file ``LOGIN.json`` in the folder ``lies`` of the portal's sockets is what it says: method, or method and path, to an
answer: ``status``, ``fields`` and ``body``. It answers as an honest worker where nothing is written. ``LOGIN.asked``
beside it gets a line for each request, so that a test sees what the front asks at all.
"""

import contextlib
import json
import os
import pwd
import sys
from pathlib import Path

from supercloud.workers import application, zygote


def make(task, home):
    honest = application.make(task, home)
    lying = Path(task.run, "lies", pwd.getpwuid(os.getuid()).pw_name)

    def lie(environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with contextlib.suppress(OSError), lying.with_suffix(".asked").open("a") as asked:
            asked.write(f"{method} {path}\n")
        file = lying.with_suffix(".json")
        lies = json.loads(file.read_text()) if file.exists() else {}
        said = lies.get(f"{method} {path}", lies.get(method))
        if said is None:
            return honest(environ, start_response)
        body = said.get("body", "").encode()
        fields = [(name, value) for name, value in said.get("fields", [])]
        start_response(said.get("status", "200 OK"), [*fields, ("Content-Length", str(len(body)))])
        return [body]

    return lie


if __name__ == "__main__":
    sys.exit(zygote.main(sys.argv[1:], make=make))
