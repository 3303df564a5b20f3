"""The monitor with the front's client, and with whatever else may come."""

from __future__ import annotations

import os
import socket
import sys

import msgspec
import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab.monitor import (
    FAKES,
    ME,
    QUICK,
    Running,
    Start,
    embedded,
)
from twisted.internet.defer import Deferred

from supercloud.errors import NoWorker
from supercloud.monitor.__main__ import Surroundings
from supercloud.monitor.client import Monitor
from supercloud.monitor.wire import (
    CheckPassword,
    Request,
    StopWorker,
    WorkerStarted,
)

# With the front's client.


@pytest_twisted.ensureDeferred
async def test_the_client_asks_and_learns_of_the_monitors_death(start: Start) -> None:
    from twisted.internet import reactor

    monitor = start()
    ended: Deferred[tuple[int, str]] = Deferred()
    lost: Deferred[str] = Deferred()
    client = Monitor(reactor, monitor.socket, lambda *what: ended.callback(what), lost.callback)
    assert await client.read_account(ME.pw_uid) == "good"
    assert await client.check_password(ME.pw_name, b"right", "192.0.2.7") == "broken"  # embedded: no PAM
    worker = await client.start_worker(ME.pw_uid, ME.pw_name)
    assert isinstance(worker, WorkerStarted)
    with socket.socket() as held:
        found = await client.read_holders(os.fstat(held.fileno()).st_ino, os.geteuid())
        assert [holder.pid for holder in found.holders] == [os.getpid()]
    client.stop_worker(worker.worker)
    assert await ended == (worker.worker, "stopped")
    monitor.process.kill()
    assert await lost == "gone"
    with pytest.raises(NoWorker):
        await client.read_account(ME.pw_uid)


# Whatever comes.

_ids = st.integers(0, 2**63 - 1)
_fields = st.dictionaries(
    st.sampled_from(["id", "uid", "login", "address", "worker", "inode", "path"]),
    st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(max_size=300), st.none(), st.binary(max_size=20)),
)
_kinds = st.sampled_from(["check-password", "read-account", "start-worker", "stop-worker", "read-holders", "fork", ""])
_maps = st.builds(lambda kind, fields: msgspec.msgpack.encode({"type": kind, **fields}), _kinds, _fields)
_anything = st.one_of(st.binary(min_size=1, max_size=200), _maps)


def test_whatever_comes_it_answers_by_the_table_or_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One monitor serves until it ends; a message that the table's decoder refuses must end it, without an answer."""
    decode = msgspec.msgpack.Decoder(Request).decode
    running: list[Running] = []

    def current() -> Running:
        if not running:
            folder = tmp_path_factory.mktemp("run")
            zygote = (sys.executable, str(FAKES / "zygote.py"), "refuses")
            running.append(Running(embedded(folder), Surroundings(zygote=zygote, bounds=QUICK)))
        return running[-1]

    def finish() -> None:
        monitor = running.pop()
        monitor.packets.close()
        monitor.process.wait(10)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_anything)
    def send(data: bytes) -> None:
        monitor = current()
        monitor.socket.send(data)
        try:
            request = decode(data)
        except msgspec.MsgspecError:
            assert monitor.ends() == 1
            finish()
            return
        if isinstance(request, CheckPassword | StopWorker):  # without its pipe; no worker ever was
            assert monitor.ends() == 1
            finish()
            return
        assert monitor.next().id == request.id

    try:
        send()
    finally:
        if running:
            finish()
