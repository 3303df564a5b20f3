"""RFC 6455, case by case, with foreign clients and servers: the same verdict through the portal as directly."""

from __future__ import annotations

import queue
from typing import Any

from tests.acceptance.lab_of import Lab, NotHeld
from tests.acceptance.websocket_cases import table
from tests.acceptance.websocket_ends import CLIENTS, SERVERS, CaseServer, Verdict, dial, play

# How an end reports that the other one vanished: by itself, or told by the portal.
_LOST = (1006, "end", 1001, 1011)


def run(lab: Lab) -> None:
    """See the module's first line."""
    portal = lab.embedded(own=True)
    host = "apps.localhost"
    portal.curl(f"https://{host}:{portal.port}/fw2/localhost:1/")  # a session there
    fields = {"Cookie": portal.curl.cookie_header(host)}
    cases = list(table())
    different: list[str] = []

    def compare(what: str, direct: Any, through: Any) -> None:
        # Who vanishes without a word is a lost connection to the other end. The portal tells of it by a code: 1001 to
        # the application, 1011 to the browser, as long as no frame was cut in two.
        if direct[0] == ("cut",) or direct[1] == ("cut",) or "silence" in (*direct[0], *direct[1]):
            direct, through = (tuple(map(_told, one)) for one in (direct, through))
        if direct != through:
            different.append(what)
            lab.saw(f"DIFFERENT {what}\n      directly {_short(direct)}\n      through  {_short(through)}")

    for name, serve in SERVERS.items():
        verdicts: queue.Queue[Verdict] = queue.Queue()
        port = serve(verdicts)
        ways = (f"ws://localhost:{port}/", f"wss://{host}:{portal.port}/fw2/localhost:{port}/")
        for case in cases:
            found = []
            for url in ways:
                try:
                    opened = dial(url, fields, portal.ca)
                except ConnectionError as error:
                    portal.portal.stop()  # Its last audit lines are written then.
                    raise NotHeld("\n".join([f"{case.name}: {url} {error}", *portal.portal.printed[-9:]])) from None
                sent = play(opened, case, masked=True)
                found.append((sent, verdicts.get(timeout=30)))
            compare(f"to a server of {name}: {case.name}", *found)
        lab.saw(f"{len(cases)} cases to a server of {name}")
    for name, listen in CLIENTS.items():
        server = CaseServer()
        ways = (f"ws://localhost:{server.port}/", f"wss://{host}:{portal.port}/fw2/localhost:{server.port}/")
        for case in cases:
            server.case = case
            found = []
            for url in ways:
                try:
                    heard = listen(url, fields, portal.ca)
                except (OSError, queue.Empty) as error:
                    portal.portal.stop()
                    raise NotHeld("\n".join([f"{case.name}: {url} {error}", *portal.portal.printed[-9:]])) from None
                found.append((heard, server.verdicts.get(timeout=30)))
            compare(f"to a client of {name}: {case.name}", *found)
        lab.saw(f"{len(cases)} cases to a client of {name}")
    portal.portal.stop()
    if different:
        raise NotHeld(f"{len(different)} of {4 * len(cases)} verdicts differ")
    lab.saw(f"all {4 * len(cases)} verdicts are the same")


def _told(verdict: Verdict) -> Verdict:
    return (*verdict[:-1], "vanished") if verdict[-1] in _LOST else verdict


def _short(verdict: Any) -> str:
    text = repr(verdict)
    return text if len(text) < 300 else text[:200] + " … " + text[-90:]
