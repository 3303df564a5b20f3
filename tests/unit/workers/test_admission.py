"""Who gets a worker; asked in a child, as what is read for it must not stay."""

from __future__ import annotations

import os
import pwd
import select
import signal

import msgspec
import pytest

from supercloud.monitor.accounts import AccountCheck
from supercloud.monitor.wire import AccountState, Task
from supercloud.workers import admission
from supercloud.workers.admission import NoWorkerFor, admit, uses_pam
from tests.unit.workers.test_application import TASK

OWN = msgspec.structs.replace(TASK, only_uid=os.getuid())
LOGIN = pwd.getpwuid(os.getuid()).pw_name


class Judge:
    """Stands in the account database's place, and notes that it was asked in this process."""

    def __init__(self, says: AccountState | BaseException) -> None:
        self._says = says
        self.was_asked = False

    def __call__(self, task: Task, uid: int, login: str, *, pam: AccountCheck | None) -> AccountState:
        self.was_asked = True
        if isinstance(self._says, BaseException):
            raise self._says
        return self._says


@pytest.mark.parametrize(
    "state", ["unknown", "renamed", "root", "below-minimum", "locked", "expired", "closed", "broken"]
)
def test_only_a_good_account_gets_a_worker(monkeypatch: pytest.MonkeyPatch, state: AccountState) -> None:
    monkeypatch.setattr(admission, "read_state", Judge(state))
    with pytest.raises(NoWorkerFor) as refused:
        admit(TASK, os.getuid(), LOGIN)
    assert refused.value.state == state


@pytest.mark.parametrize("error", [OSError("no answer"), SystemExit(0), KeyboardInterrupt()])
def test_an_account_that_nobody_can_judge_gets_none(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(admission, "read_state", Judge(error))
    with pytest.raises(NoWorkerFor) as refused:
        admit(TASK, os.getuid(), LOGIN)
    assert refused.value.state == "broken"


def test_a_judge_that_dies_says_nothing_good(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> AccountState:
        os.kill(os.getpid(), 9)
        return "good"

    monkeypatch.setattr(admission, "read_state", die)
    with pytest.raises(NoWorkerFor) as refused:
        admit(TASK, os.getuid(), LOGIN)
    assert refused.value.state == "broken"


def test_what_is_read_to_judge_an_account_stays_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of the shadow file, of other accounts too: a worker is forked from whoever calls this."""
    judge = Judge("good")
    monkeypatch.setattr(admission, "read_state", judge)
    admit(TASK, os.getuid(), LOGIN)
    assert not judge.was_asked


def test_a_judge_ends_with_whoever_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()

    def hang(*_: object, **__: object) -> AccountState:
        os.write(writing, b"hangs")
        signal.pause()
        return "good"

    monkeypatch.setattr(admission, "read_state", hang)
    holder = os.fork()
    if holder == 0:
        admit(TASK, 1000, "somebody")
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 5) == b"hangs"
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert select.select([reading], [], [], 10)[0]  # at its end: nobody has the other one any more
    os.close(reading)


def test_an_account_that_was_renamed_by_now_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "read_state", Judge("good"))
    with pytest.raises(NoWorkerFor) as refused:
        admit(TASK, os.getuid(), f"{LOGIN}-as-it-was")
    assert refused.value.state == "renamed"


def test_an_account_that_is_gone_by_now_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "read_state", Judge("good"))
    with pytest.raises(NoWorkerFor) as refused:
        admit(TASK, 2**32 - 2, "nobody-there")
    assert refused.value.state == "unknown"


def test_the_embedded_portals_account_gets_one() -> None:
    assert admit(OWN, os.getuid(), LOGIN).pw_uid == os.getuid()


def test_the_embedded_portal_gives_none_to_anybody_else() -> None:
    with pytest.raises(NoWorkerFor):
        admit(OWN, os.getuid() + 1, "somebody")


def test_the_embedded_portal_gives_none_when_it_runs_as_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getresuid", lambda: (os.getuid(), os.getuid() + 1, os.getuid()))
    with pytest.raises(NoWorkerFor, match="this runs as"):
        admit(OWN, os.getuid(), LOGIN)


def test_pam_is_asked_where_the_site_has_a_service_and_people_sign_in() -> None:
    with_pam = msgspec.structs.replace(TASK, pam_service="portal")
    assert uses_pam(with_pam)
    assert not uses_pam(TASK)
    assert not uses_pam(msgspec.structs.replace(with_pam, only_uid=1000))


def test_a_pam_service_that_is_not_there_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    task = msgspec.structs.replace(TASK, pam_service="there-is-no-such-service", min_uid=0)
    with pytest.raises(NoWorkerFor) as refused:
        admit(task, os.getuid() or 1, LOGIN)
    assert refused.value.state != "good"
