"""``supercloud forward run``: a program on a port of its own, under a name, for as long as it runs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess  # noqa: TID251 - starts what the user typed, as the user
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Final, Protocol

from supercloud.forward_files import ForwardFiles, NotDone
from supercloud.ident2.sockets import Sockets

_LOOK: Final = 0.1  # seconds between two looks whether the program listens
_FIRST_PORT: Final = re.compile(r"\s*([1-9][0-9]{0,4})(?![0-9])")
# What a terminal or a scheduler ends programs with; the program decides what it does then.
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGQUIT)
_SHELLS_SIGNALLED: Final = 128  # a shell's exit status for a program that signal n ended is 128 + n


class Tells(Protocol):
    """Says something to the user."""

    def __call__(self, text: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall run.

    :ivar command: ``{port}`` in it stands for the port.
    :ivar node: name by which the portal reaches this host.
    :ivar url: where the browser finds it.
    """

    name: str
    command: Sequence[str]
    node: str
    port: int
    url: str


def choose_port(environment: Mapping[str, str]) -> int:
    """The first port that SLURM reserved for this step, or else one that is free now.

    :raises NotDone: SLURM's variable holds no port.
    """
    reserved = environment.get("SLURM_STEP_RESV_PORTS", "")
    if reserved:
        found = _FIRST_PORT.match(reserved)
        if found is None or int(found[1]) > 65535:
            raise NotDone(f"SLURM_STEP_RESV_PORTS holds no port: {reserved[:40]!r}")
        return int(found[1])
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("", 0))
        port: int = free.getsockname()[1]
        return port


def run(plan: Plan, files: ForwardFiles, tell: Tells, listens: Callable[[int], str | None] | None = None) -> int:
    """Run the command until it ends; the forward is there from before it starts until after it has ended.

    :param listens: whether this account listens at a port, and on which address.
    :returns: its exit status, as a shell tells it.
    :raises NotDone: the name cannot be had, or the command not be started.
    """
    inode = files.add(plan.name, f"http://{plan.node}:{plan.port}/")
    try:
        return _run(plan, tell, listens or listens_here)
    finally:
        with suppress(NotDone):  # it was removed meanwhile
            files.remove(plan.name, inode)


def listens_here(port: int) -> str | None:
    """The address at which this account listens at a port of this host; None when it does not."""
    sockets = Sockets()
    try:
        found = [str(one.local.host) for one in sockets.listeners(os.geteuid()) if one.local.port == port]
    finally:
        sockets.close()
    return found[0] if found else None


def _run(plan: Plan, tell: Tells, listens: Callable[[int], str | None]) -> int:
    command = [word.replace("{port}", str(plan.port)) for word in plan.command]
    try:
        program = subprocess.Popen(command)
    except OSError as error:
        raise NotDone(f"{command[0]}: {error.strerror}") from None
    before = {number: signal.signal(number, _passing_to(program)) for number in _PASSED_ON}
    try:
        _wait_until_it_listens(program, plan, tell, listens)
        status = program.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else _SHELLS_SIGNALLED - status


def _wait_until_it_listens(
    program: subprocess.Popen[bytes], plan: Plan, tell: Tells, listens: Callable[[int], str | None]
) -> None:
    while True:
        address = listens(plan.port)
        if address is not None:
            break
        try:
            program.wait(_LOOK)
        except subprocess.TimeoutExpired:
            continue
        return
    tell(f"Open {plan.url}")
    if address in ("127.0.0.1", "::1") and plan.node != "localhost":
        tell(f"It listens at {address} only, where the portal cannot come from another host: have it listen at 0.0.0.0")


def _passing_to(program: subprocess.Popen[bytes]) -> Callable[[int, FrameType | None], None]:
    def passed(number: int, _: FrameType | None) -> None:
        # A terminal's keys reach the program by themselves, as it is in the same group of processes.
        if number not in (signal.SIGINT, signal.SIGQUIT) or not os.isatty(0):
            program.send_signal(number)

    return passed
