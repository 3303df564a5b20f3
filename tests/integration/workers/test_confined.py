"""Workers of real accounts: what they are, and what they cannot do."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from lab.accounts import PROJ_GID, Accounts
from lab.monitor import until
from lab.processes import PYTHON
from lab.workers import (
    APPLICATION,
    SECRET,
    Session,
    Zygote,
    attempt,
    readable_memory,
    status_of,
    zygote,
)

root = pytest.mark.root


# What it is.


@root
def test_a_worker_has_exactly_the_ids_and_groups_of_its_account(alice: Session) -> None:
    status = status_of(alice.pid)
    assert status["Uid"].split() == ["20001"] * 4
    assert status["Gid"].split() == ["20001"] * 4
    assert sorted(map(int, status["Groups"].split())) == [20001, PROJ_GID]


@root
def test_a_worker_has_no_capability_and_cannot_gain_one(alice: Session) -> None:
    status = status_of(alice.pid)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


@root
def test_a_worker_has_a_session_of_its_own_and_no_core(alice: Session) -> None:
    words = Path(f"/proc/{alice.pid}/stat").read_text().rpartition(")")[2].split()
    assert words[2:4] == [str(alice.pid)] * 2  # group and session
    assert words[4] == "0"  # no terminal
    limits = Path(f"/proc/{alice.pid}/limits").read_text()
    assert "Max core file size        0                    0" in limits
    assert Path(f"/proc/{alice.pid}/environ").stat().st_uid == 0  # not dumpable


@root
def test_a_worker_has_no_descriptor_but_its_own(site: Zygote) -> None:
    bob = site.started(20002, "bob")
    expected = ["/dev/null", "anon_inode:[eventpoll]", "socket:"]
    # "Ready" is heard a moment before the worker has closed the socket that said it.
    until(lambda: _kinds_of_descriptors(bob.pid) == expected)


def _kinds_of_descriptors(pid: int) -> list[str]:
    """One for each thing that the process holds open, without a socket's number."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            held.add(os.readlink(descriptor))
    return sorted("socket:" if name.startswith("socket:") else name for name in held)


@root
def test_a_worker_has_nothing_of_roots_environment(alice: Session, accounts: Accounts) -> None:
    home = str(accounts["alice"].home)
    assert alice.run("import os; said = dict(os.environ)") == {
        "HOME": home,
        "USER": "alice",
        "LOGNAME": "alice",
        "SHELL": "/bin/bash",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    assert SECRET not in alice.run("import subprocess; said = subprocess.check_output(['env'], text=True)")
    assert alice.run("import os, tempfile; said = [os.getcwd(), tempfile.gettempdir()]") == [home, "/tmp"]


@root
def test_a_worker_makes_files_as_its_account_under_the_usual_umask(alice: Session) -> None:
    code = "import os, tempfile; d = tempfile.mkdtemp(); open(d + '/f', 'w').close(); s = os.stat(d + '/f')\n"
    code += "said = [s.st_uid, s.st_gid, s.st_mode & 0o777]; os.remove(d + '/f'); os.rmdir(d)"
    assert alice.run(code) == [20001, 20001, 0o644]


@root
def test_the_umask_of_the_settings_counts(accounts: Accounts) -> None:
    with zygote(umask=0o027) as site:
        worker = site.started(accounts["alice"].uid, "alice")
        assert worker.run("import os; said = os.umask(0)") == 0o027


@root
def test_the_front_sees_that_the_account_listens(alice: Session) -> None:
    with alice.connect() as connected:
        _, uid, gid = struct.unpack("iII", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        assert (uid, gid) == (20001, 20001)


@root
def test_a_worker_is_twisted_free_and_ignores_a_gone_peer(alice: Session) -> None:
    assert alice.run("import sys; said = [name for name in sys.modules if name.startswith('twisted')]") == []
    with alice.connect() as connected:
        connected.sendall(b"GET /slow/0.05 HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    time.sleep(0.1)
    assert alice.run("said = 'alive'") == "alive"


@root
def test_a_home_that_only_its_owner_may_enter_is_where_the_worker_is(alice: Session, accounts: Accounts) -> None:
    assert accounts["alice"].home.stat().st_mode & 0o777 == 0o700
    assert os.readlink(f"/proc/{alice.pid}/cwd") == str(accounts["alice"].home)


@root
def test_many_uploads_at_once_are_streamed(alice: Session) -> None:
    def upload() -> None:
        sizes.append(alice.ask("PUT", "/size", (b"x" * 65536 for _ in range(160)))[1])

    sizes: list[int] = []
    threads = [threading.Thread(target=upload) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [10 * 1024 * 1024] * 6
    assert int(status_of(alice.pid)["VmHWM"].split()[0]) < 60 * 1024


# What it cannot do.


@root
@pytest.mark.parametrize(
    "code",
    [
        "os.setuid(0)",
        "os.seteuid(0)",
        "os.setresuid(-1, 0, -1)",
        "os.setreuid(0, 0)",
        "os.setgid(0)",
        "os.setresgid(-1, 0, -1)",
        "os.setgroups([0])",
        "os.setgroups([])",
        "os.setuid(20002)",
        "os.chown('.', 0, 0)",
        "os.chroot('/')",
        "os.listdir('/root')",
        "open('/etc/shadow').read()",
        "os.kill(1, 0)",
        "os.kill(os.getppid(), signal.SIGKILL)",
    ],
)
def test_there_is_no_way_back_to_root(alice: Session, code: str) -> None:
    assert attempt(alice, code) == "PermissionError"


@root
def test_a_setuid_program_that_a_worker_starts_gains_nothing(alice: Session) -> None:
    code = "import os, subprocess; said = subprocess.run(['su', '-c', 'id', 'root'], stdin=-3, capture_output=True)\n"
    assert alice.run(code + "said = said.returncode") != 0
    code = "import subprocess; said = subprocess.check_output(['grep', '-E', '^(CapEff|NoNew)', '/proc/self/status'])"
    assert alice.run(f"{code}.decode().split()") == ["CapEff:", "0" * 16, "NoNewPrivs:", "1"]


@root
def test_a_worker_cannot_trace_the_front_the_zygote_its_holder_or_another_worker(
    alice: Session, site: Zygote, accounts: Accounts
) -> None:
    bob = site.started(accounts["bob"].uid, "bob")
    front = accounts.run_as("dave", ["sleep", "60"])
    holder = int(status_of(alice.pid)["PPid"])
    for pid in (front.pid, site.process.pid, holder, bob.pid):
        trace = f"import ctypes; said = ctypes.CDLL(None).ptrace(16, {pid}, 0, 0)"  # PTRACE_ATTACH
        assert alice.run(trace) == -1, pid
        for name in ("mem", "environ", "fd/0", "root/etc"):
            assert attempt(alice, f"os.stat('/proc/{pid}/{name}').st_ino and open('/proc/{pid}/{name}')") != "worked"
        assert attempt(alice, f"os.kill({pid}, 0)") == "PermissionError"


@root
def test_a_worker_cannot_read_the_tls_key(alice: Session, accounts: Accounts) -> None:
    """It is readable by the front's group, so that a reload works without root; and the front may have it open."""
    folder = Path(tempfile.mkdtemp(prefix="supercloud-tls-", dir="/tmp"))
    folder.chmod(0o755)
    key = folder / "key.pem"
    key.write_text("a key")
    os.chown(key, 0, accounts["dave"].gid)
    key.chmod(0o640)
    try:
        code = f"import time; opened = open({str(key)!r}); print(opened.fileno(), flush=True); time.sleep(60)"
        front = accounts.run_as("dave", [PYTHON, "-c", code], stdout=subprocess.PIPE, text=True)
        assert front.stdout is not None
        descriptor = front.stdout.readline().strip()
        for path in (key, f"/proc/{front.pid}/fd/{descriptor}", f"/proc/{front.pid}/root/{key}"):
            assert attempt(alice, f"open('{path}').read()") == "PermissionError"
        for change in (f"os.chmod('{key}', 0o644)", f"os.rename('{key}', '{key}.mine')"):
            assert attempt(alice, change) == "PermissionError"
        steal = f"ctypes.CDLL(None, use_errno=True).syscall(438, os.pidfd_open({front.pid}), {descriptor}, 0)"
        assert alice.run(f"import ctypes, os; said = {steal}") == -1  # pidfd_getfd(2)
    finally:
        shutil.rmtree(folder)


@root
def test_a_worker_cannot_read_the_terminal_of_whoever_started_the_portal(accounts: Accounts) -> None:
    """Its standard error would be one; so would that of programs which it starts."""
    ours, theirs = pty.openpty()
    try:
        with zygote(stderr=theirs) as site:
            worker = site.started(accounts["alice"].uid, "alice")
            look = "[os.readlink(f'/proc/self/fd/{fd}') for fd in range(3)]"
            assert worker.run(f"import os; said = {look}") == ["/dev/null"] * 3
            start = "subprocess.check_output(['readlink', '/proc/self/fd/2'], text=True)"
            assert worker.run(f"import subprocess; said = {start}") == "/dev/null\n"
            assert attempt(worker, f"open({os.ttyname(theirs)!r})") == "PermissionError"
            assert worker.ask("GET", "/broken")[0] == 500  # which it would write about
    finally:
        os.close(ours)
        os.close(theirs)


@root
def test_another_process_of_the_account_cannot_look_into_its_worker(alice: Session, accounts: Accounts) -> None:
    code = f"""
import ctypes, os
print(ctypes.CDLL(None).ptrace(16, {alice.pid}, 0, 0))
for name in ("mem", "environ", "maps"):
    try:
        open(f"/proc/{alice.pid}/{{name}}").read(1)
    except PermissionError:
        print("refused")
try:
    os.listdir("/proc/{alice.pid}/fd")
except PermissionError:
    print("refused")
"""
    looking = accounts.run_as("alice", [PYTHON, "-c", code], stdout=subprocess.PIPE, text=True)
    assert looking.communicate(timeout=10)[0].split() == ["-1", *["refused"] * 4]


@root
def test_a_worker_cannot_connect_to_the_worker_of_another_user(
    alice: Session, site: Zygote, accounts: Accounts
) -> None:
    bob = site.started(accounts["bob"].uid, "bob")
    for path in (bob.path, alice.path):
        assert attempt(alice, f"socket.socket(socket.AF_UNIX).connect({str(path)!r})") == "PermissionError"


@root
@pytest.mark.parametrize("uid", [0, 20001, 20002])
def test_a_connection_from_another_uid_than_the_fronts_gets_nothing(alice: Session, uid: int) -> None:
    os.chmod(alice.path, 0o666)
    try:
        with alice.connect(uid) as stranger:
            try:
                stranger.sendall(b"GET /environ HTTP/1.1\r\nHost: portal.test\r\n\r\n")
                received = stranger.recv(1)
            except (BrokenPipeError, ConnectionResetError):
                received = b""
        assert received == b""
    finally:
        os.chmod(alice.path, 0o600)
    assert alice.run("said = 'alive'") == "alive"


@root
def test_a_worker_holds_no_line_of_the_shadow_file(service: str, accounts: Accounts) -> None:
    """What the holder read before the fork would be in the worker's memory too; see `admission`."""
    with zygote(pam_service=service) as site:
        worker = site.started(accounts["alice"].uid, "alice")
        memory = b"".join(readable_memory(worker.pid))
    shadow = Path("/etc/shadow").read_bytes()
    assert b"supercloud.workers.confine" in memory
    assert not [piece for at in range(len(shadow) - 24) if (piece := shadow[at : at + 24]) in memory]


@root
def test_a_worker_does_not_hold_roots_session_keyring(accounts: Accounts) -> None:
    join = (
        "import ctypes, os, sys; libc = ctypes.CDLL(None); libc.syscall(250, 1, b'of-root');"
        " print(libc.syscall(248, b'user', b'of-root', b'secret', 6, -3), flush=True);"
        " os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = (sys.executable, "-c", join, sys.executable, "-I", str(APPLICATION))
    with zygote(command=command) as site:
        worker = site.started(accounts["alice"].uid, "alice")
        search = "import ctypes; said = ctypes.CDLL(None).syscall(250, 10, -3, b'user', b'of-root', 0)"
        assert worker.run(search) == -1
