#!/usr/bin/env python3
"""A zygote whose workers run what tests send them: ``zygote FD TASKJSON``, with another application.

    POST /run             the body is Python; its variable ``said`` comes back as JSON
    PUT /size             number of bytes of the body, read in pieces
    GET /environ          the request's environ, what JSON can hold of it
    GET /file/PATH        a file, by wsgi.file_wrapper
    GET /short, /long     a body that is not as long as it said
    GET /refuse           answers 403 and reads nothing of the body
    GET /slow/SECONDS     answers after that time
    GET /broken           raises an error whose text must not be in the log

A folder of sockets that holds a file ``stop-at-start`` or ``kill-at-start`` does that to the worker before it listens.
"""

import json
import os
import signal
import sys
import time

from supercloud.workers import zygote


def make(task, home):
    for name, number in (("stop-at-start", signal.SIGSTOP), ("kill-at-start", signal.SIGKILL)):
        if os.path.exists(f"{task.run}/{name}"):
            os.kill(os.getpid(), number)
    return application


def application(environ, start_response):
    name, _, rest = environ["PATH_INFO"][1:].partition("/")
    return PAGES[name](environ, start_response, rest)


def answer(start_response, value, status="200 OK"):
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def run(environ, start_response, _):
    names = {}
    exec(environ["wsgi.input"].read().decode(), names)
    return answer(start_response, names.get("said"))


def size(environ, start_response, _):
    count = 0
    while piece := environ["wsgi.input"].read(65536):
        count += len(piece)
    return answer(start_response, count)


def show(environ, start_response, _):
    return answer(start_response, {k: v for k, v in environ.items() if isinstance(v, str | bool | int)})


def file(environ, start_response, path):
    opened = open("/" + path, "rb")  # noqa: SIM115 - the server closes it
    start_response("200 OK", [("Content-Length", str(os.fstat(opened.fileno()).st_size))])
    return environ["wsgi.file_wrapper"](opened)


def short(environ, start_response, _):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"123"]


def long(environ, start_response, _):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"123", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"]


def refuse(environ, start_response, _):
    return answer(start_response, "no", "403 Forbidden")


def slow(environ, start_response, seconds):
    time.sleep(float(seconds))
    return answer(start_response, "done")


def broken(environ, start_response, _):
    raise ValueError("a secret of the request\nand a line of its own")


PAGES = {
    "run": run,
    "size": size,
    "environ": show,
    "file": file,
    "short": short,
    "long": long,
    "refuse": refuse,
    "slow": slow,
    "broken": broken,
}

if __name__ == "__main__":
    sys.exit(zygote.main(sys.argv[1:], make=make, start_within=2.0, stop_within=2.0))
