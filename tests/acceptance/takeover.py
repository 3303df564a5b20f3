"""A port changes hands between question and connect, between requests, 10,000 times: no byte for the wrong one."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab.portal import Answer
from lab.processes import PYTHON, free_port

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

ROUNDS = 10_000
_AT_ONCE = 4
_HERE = Path(__file__).parent

# Answers one request on a connection, stops listening when told to, and keeps the connection.
_KEEPER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
for line in ("stop listening", ""):
    while b"\\r\\n\\r\\n" not in connection.recv(65536): pass
    connection.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nalice")
    if line:
        sys.stdin.readline()
        listener.close()
        print("stopped", flush=True)
"""


def run(lab: Lab) -> None:
    """See the module's first line."""
    gate = _Gate(lab.folder / "gate.sock")
    lab.at_end(gate.close)

    def hooked(argv: list[str], node: object = None, **popen: Any) -> Any:
        script = [sys.executable, str(_HERE / "hooked_portal.py"), str(gate.path)]
        return lab.processes.start([*script, *argv[1:]], cwd=_HERE.parents[1], **popen)

    site = LocalSite(lab, "localhost", start=hooked)
    gate.opens = lambda point: None
    _one_shot(lab, site)
    for point in ("listener", "connection"):
        _forced(lab, site, gate, point)
    gate.opens = lambda point: None
    _between_requests(lab, site)
    _kept(lab, site)
    site.portal.stop()
    _free(lab, LocalSite(lab, "portal.test"))


class _Gate:
    """Where the hooked portal waits.

    :ivar opens: called with the point at which it waits; it goes on when this returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opens: Callable[[str], object] = lambda point: None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)  # the portal's front is nobody
        self._listener.listen(16)
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(self._serve)

    def _serve(self) -> None:
        while True:
            try:
                waiting, _ = self._listener.accept()
            except OSError:
                return
            with waiting:
                self.opens(waiting.recv(100).decode().strip())

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.shutdown()


def _app(lab: Lab, login: str, *options: str) -> SimpleNamespace:
    script = lab.copies.of(_HERE.parent / "integration" / "lab" / "app.py")
    number = len(list(lab.folder.glob("app-*.log")))
    log = lab.folder / f"app-{number}.log"
    log.touch()
    log.chmod(0o666)
    argv = [PYTHON, str(script), "--log", str(log), *options]
    process = lab.accounts.run_as(login, argv, stdout=subprocess.PIPE, text=True)
    port = json.loads(process.stdout.readline())["port"]

    def count(kind: str) -> int:
        return sum(1 for line in log.read_text().splitlines() if json.loads(line)["event"] == kind)

    return SimpleNamespace(process=process, port=port, count=count)


def _end(app: SimpleNamespace) -> None:
    app.process.terminate()
    app.process.wait()


def _ask(site: LocalSite, port: int) -> Answer:
    url = f"{site.together}/fw2/localhost:{port}/who?secret=sesame"
    return site.of("alice")(url, "-H", "X-Secret: sesame", data=b"sesame")


def _one_shot(lab: Lab, site: LocalSite) -> None:
    carols = _app(lab, "carol", "--once")
    answer = _ask(site, carols.port)
    lab.holds(
        answer.status == 404 and carols.process.poll() is None and not carols.count("accepted"),
        f"a one-shot listener of carol's: alice gets {answer.status}, it was not even connected to and still waits",
    )
    _end(carols)


def _forced(lab: Lab, site: LocalSite, gate: _Gate, point: str) -> None:
    hers = _app(lab, "alice")
    swapped: list[SimpleNamespace] = []

    def swap(at: str) -> None:
        if at == point and not swapped:
            _end(hers)
            swapped.append(_app(lab, "carol", "--port", str(hers.port)))

    gate.opens = swap
    answer = _ask(site, hers.port)
    [carols] = swapped
    connections, pieces = carols.count("accepted"), carols.count("received")
    when = "connect" if point == "listener" else "verify"
    lab.holds(
        answer.status in (404, 502, 503) and not pieces and not hers.count("received"),
        f"carol takes the port when the portal is about to {when}: alice gets {answer.status}; carol's process saw "
        f"{connections} connections, {pieces} pieces of data",
    )
    _end(carols)


def _between_requests(lab: Lab, site: LocalSite) -> None:
    hers = _app(lab, "alice")
    context = ssl.create_default_context(cafile=str(site.ca))
    connection = HTTPSConnection("localhost", site.port, context=context, timeout=20)
    host = f"apps.{site.hostname}"
    fields = {"Cookie": site.of("alice").cookie_header(host), "Host": f"{host}:{site.port}"}

    def ask() -> tuple[int, bytes]:
        connection.request("GET", f"/fw2/localhost:{hers.port}/who?sesame", headers=fields)
        response = connection.getresponse()
        return response.status, response.read()

    first = ask()
    _end(hers)
    carols = _app(lab, "carol", "--port", str(hers.port), "--once")
    second = ask()
    connection.close()
    lab.holds(
        (first[0], second[0]) == (200, 404) and not carols.count("accepted"),
        f"carol takes the port between two requests on one connection: {first[0]}, then {second[0]}, carol's untouched",
    )
    _end(carols)


def _kept(lab: Lab, site: LocalSite) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    keeper = lab.accounts.run_as("alice", [PYTHON, "-c", _KEEPER], **pipes)
    port = int(keeper.stdout.readline())
    url = f"{site.together}/fw2/localhost:{port}/"
    first = site.of("alice")(url)
    keeper.stdin.write("\n")
    keeper.stdin.flush()
    keeper.stdout.readline()
    carols = _app(lab, "carol", "--port", str(port))
    second = site.of("alice")(url)
    lab.holds(
        (first.text, second.text) == ("alice", "alice") and not carols.count("accepted"),
        "carol listens at the port while a verified connection to alice's process lives: alice's answers, not carol's",
    )
    _end(carols)


def _free(lab: Lab, site: LocalSite) -> None:
    port = free_port()
    script = str(lab.copies.of(_HERE / "contender.py"))
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True}
    alice = lab.accounts.run_as("alice", [PYTHON, script, str(port), "alice", "answers"], **pipes)
    carol = lab.accounts.run_as("carol", [PYTHON, script, str(port), "carol", "silent"], **pipes)
    for one in (alice, carol):
        one.stdout.readline()
    cookies = site.of("alice").cookie_header("apps.portal.test")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        parts = [threads.submit(_rounds, site, cookies, port, ROUNDS // _AT_ONCE) for _ in range(_AT_ONCE)]
        answers = sum((part.result() for part in parts), Counter())
    told = {}
    for name, one in (("alice", alice), ("carol", carol)):
        one.terminate()
        told[name] = json.loads(one.stdout.readline())
        lab.saw(f"{name}'s process: {told[name]}")
    lab.saw(f"{ROUNDS} rounds, answers to alice: {dict(answers)}")
    site.portal.stop()
    reasons = site.audit.read_text()
    races = reasons.count("when asked before it was uid")
    lab.saw(f"the connection was carol's though the listener had been alice's: {races} times")
    lab.holds(told["carol"]["bytes"] == 0, "not one byte reached carol's process")
    wrong = set(answers) - {(200, b"alice"), (404, b""), (502, b""), (503, b"")}
    lab.holds(not wrong, "every answer with a body was alice's own process'")
    lab.holds(told["alice"]["answered"] > ROUNDS // 20, "and alice's requests did reach alice's process")


def _rounds(site: LocalSite, cookies: str, port: int, count: int) -> Counter[Any]:
    context = ssl.create_default_context(cafile=str(site.ca))
    found: Counter[Any] = Counter()
    connection: HTTPSConnection | None = None
    for number in range(count):
        if connection is None:
            connection = HTTPSConnection("localhost", site.port, context=context, timeout=20)
        try:
            fields = {"Host": f"apps.portal.test:{site.port}", "Cookie": cookies}
            connection.request("GET", f"/fw2/localhost:{port}/{number}", headers=fields)
            response = connection.getresponse()
            body = response.read()
            found[response.status, body if response.status == 200 else b""] += 1
            if response.getheader("Connection", "").lower() == "close":
                connection.close()
                connection = None
        except (HTTPException, OSError) as error:
            found[type(error).__name__, b""] += 1
            connection = None
    if connection is not None:
        connection.close()
    return found
