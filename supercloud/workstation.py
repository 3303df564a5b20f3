"""A portal as a workstation knows it: its API, for a program that waits; described in pages/openapi.py."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from supercloud.entry import Failed
from supercloud.https import Answer, NoAnswer, is_transient
from supercloud.workers.session_told import is_job

PATIENCE: Final = 300.0  # seconds without an answer before a wait is given up: a portal's restart, a train's tunnel
FIRST_PAUSE: Final = 1.0  # seconds between two questions; longer while nothing changes
LONGEST_PAUSE: Final = 10.0
_SLOWER: Final = 1.5
_MUCH: Final = 16 * 1024  # bytes of output; whoever prints as much is asked again at once
_MOST_DETAIL: Final = 1000  # characters of what a portal says of a refusal
_PROBLEM: Final = "application/problem+json"
_NOT_DONE: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_UNTAKEN: Final = (
    "the portal does not take the token: it expired, was revoked, or is not of this portal. "
    "Make a new one for jobs at {url}/tokens, then: supercloud login {url}"
)

T = TypeVar("T")


class WrongFields(Failed):
    """:ivar wrong: field → what would be right."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        super().__init__("some of this has to be changed")
        self.wrong = dict(wrong)


class Idle(msgspec.Struct, frozen=True):
    """Nobody uses it.

    :ivar ends: when it ends for that, in seconds since the epoch.
    """

    ends: float


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job, as far as it is shown. Times are seconds since the epoch.

    :ivar words: what is going on.
    :ivar idle: set when it ends soon, as nobody uses it.
    """

    id: str
    name: str
    stage: str
    words: str = ""
    app: str = ""
    node: str | None = None
    port: int | None = None
    nodes: Sequence[str] = ()
    submitted: float | None = None
    starts: float | None = None
    ends: float | None = None
    idle: Idle | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What can be chosen."""

    value: str


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What an application asks.

    :ivar least, most: of a number: of an integer, of MiB (``size``), of minutes (``time``).
    """

    name: str
    label: str
    kind: str
    default: str
    help: str = ""
    required: bool = False
    choices: Sequence[Choice] = ()
    least: int | None = None
    most: int | None = None


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An application.

    :ivar broken: why it cannot be started; "" when it can.
    :ivar fields: empty in a list of applications.
    """

    id: str
    name: str
    about: str = ""
    broken: str = ""
    fields: Sequence[Field] = ()


class LogPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what a job printed.

    :ivar offset: bytes; where the next part begins.
    :ivar over: the job will print no more.
    """

    text: str
    offset: int
    over: bool


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """:ivar opens: what it is for."""

    opens: Sequence[str] = msgspec.field(name="for")


class _Apps(msgspec.Struct, frozen=True):
    apps: Sequence[App]


class _Jobs(msgspec.Struct, frozen=True):
    jobs: Sequence[Job]


class _Started(msgspec.Struct, frozen=True):
    id: str


class _Problem(msgspec.Struct, frozen=True):
    detail: str = ""
    wrong: Mapping[str, str] = {}


class Sends(Protocol):
    """Sends one request; see `https.Https.send`."""

    def __call__(self, method: str, path: str, body: bytes | None = None) -> Answer: ...


class Tells(Protocol):
    """Says something to the person."""

    def __call__(self, text: str) -> object: ...


class Workstation:
    """Asks a portal.

    Each question raises `NoAnswer` when the portal cannot answer now, and `Failed` when it will not do it.

    :param url: of the portal, for what is said of it.
    """

    def __init__(self, send: Sends, url: str) -> None:
        self._send = send
        self._url = url

    def look(self) -> None:
        """Whether this is a portal at all; a token is not needed."""
        answer = self._send("GET", "/healthz")
        if is_transient(answer.status):
            raise NoAnswer(f"{self._url}: it cannot answer now ({answer.status})")
        if (answer.status, answer.body) != (HTTPStatus.OK, b"ok\n"):
            raise Failed(self._stranger(answer))

    def token(self) -> Token:
        """What the token that is shown is for."""
        return self._ask("GET", "/api/token", Token)

    def apps(self) -> Sequence[App]:
        """All that can be started."""
        return self._ask("GET", "/api/apps", _Apps).apps

    def app(self, app_id: str) -> App:
        """An application, with what it asks."""
        return self._ask("GET", f"/api/apps/{quote(app_id, safe='')}", App)

    def launch(self, app_id: str, values: Mapping[str, str]) -> str:
        """Start an application; the job's id.

        :raises WrongFields: says what would be right.
        """
        names = [one.name for one in self.app(app_id).fields]
        if unknown := {name: _no_such(name, names) for name in values if name not in names}:
            raise WrongFields(unknown)
        try:
            job_id = self._ask("POST", "/api/jobs", _Started, {"app": app_id, "values": values}).id
        except NoAnswer as error:
            if not error.is_unsure:
                raise
            raise Failed(f"{error}. It may have started all the same; see: supercloud jobs") from None
        if not is_job(job_id):
            raise Failed(f"{self._url}: it says that {job_id[:50]!r} was started, which is no job")
        return job_id

    def jobs(self) -> Sequence[Job]:
        """The newest first."""
        return self._ask("GET", "/api/jobs", _Jobs).jobs

    def told_jobs(self) -> Any:
        """The same, as the API tells them."""
        return self._ask("GET", "/api/jobs", dict[str, Any]).get("jobs", [])

    def job(self, job_id: str) -> Job:
        """One of them."""
        return self._ask("GET", _path(job_id), Job)

    def stop(self, job_id: str) -> None:
        """End it."""
        self._request("DELETE", _path(job_id))

    def renew(self, job_id: str) -> None:
        """Have it go on though nobody uses it."""
        self._request("POST", f"{_path(job_id)}/renew")

    def log(self, job_id: str, offset: int) -> LogPart:
        """A part of what a job printed.

        :param offset: bytes.
        """
        return self._ask("GET", f"{_path(job_id)}/log?offset={offset}", LogPart)

    def opens(self, job_id: str) -> str:
        """The address that opens a job in a browser; the portal is not asked."""
        return f"{self._url}/open/{_checked(job_id)}"

    def _ask(self, method: str, path: str, of: type[T], body: Any = None) -> T:
        answer = self._request(method, path, body)
        try:
            return msgspec.json.decode(answer.body, type=of)
        except (ValueError, RecursionError):
            raise Failed(self._stranger(answer)) from None

    def _request(self, method: str, path: str, body: Any = None) -> Answer:
        answer = self._send(method, path, None if body is None else msgspec.json.encode(body))
        if not 200 <= answer.status < 300:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: Answer) -> Failed:
        if answer.location:
            return Failed(f"{self._url}: it sends on to another address, which is not followed. Is the address right?")
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return Failed(_UNTAKEN.format(url=self._url))
        problem = _problem(answer)
        if problem.wrong:
            return WrongFields(problem.wrong)
        text = problem.detail or self._stranger(answer)
        if is_transient(answer.status):
            return NoAnswer(text, is_unsure=answer.status not in _NOT_DONE)
        if answer.status == HTTPStatus.FORBIDDEN:
            return Failed(f"{text} Your tokens are at {self._url}/tokens")
        return Failed(text)

    def _stranger(self, answer: Answer) -> str:
        return f"{self._url}: it does not answer as a portal does ({answer.status}); is the address right?"


class Patience:
    """Asks on for some minutes when nobody answers, and says so once.

    :param clock: seconds.
    """

    def __init__(self, tell: Tells, *, clock: Callable[[], float], sleep: Callable[[float], object]) -> None:
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._pause = FIRST_PAUSE

    def ask(self, question: Callable[[], T]) -> T:
        """:raises NoAnswer: nobody answered for `PATIENCE`."""
        since: float | None = None
        while True:
            try:
                answer = question()
            except NoAnswer as error:
                if since is None:
                    since = self._clock()
                    self._tell(f"{error} (asking again)")
                elif self._clock() - since > PATIENCE:
                    raise
                self.rest()
                continue
            if since is not None:
                self._tell("it answers again")
            return answer

    def rest(self) -> None:
        """Wait before the next question; longer each time, until `hurry`."""
        self._sleep(self._pause)
        self._pause = min(LONGEST_PAUSE, self._pause * _SLOWER)

    def hurry(self) -> None:
        """Something changed: more may follow soon."""
        self._pause = FIRST_PAUSE


def until_ready(workstation: Workstation, job_id: str, patience: Patience, tell: Tells) -> Job:
    """Wait until a job is ready, or over; each change is told.

    :raises Failed: it cannot be told, or not for `PATIENCE`.
    """
    told = ""
    while True:
        job = patience.ask(lambda: workstation.job(job_id))
        now = f"{job.stage}: {job.words}" if job.words else job.stage
        if now != told:
            tell(now)
            told = now
            patience.hurry()
        if job.stage in ("ready", "over"):
            return job
        patience.rest()


def read_log(workstation: Workstation, job_id: str, write: Tells) -> None:
    """All that a job has printed.

    :raises Failed: it cannot be told.
    """
    offset = 0
    while True:
        part = workstation.log(job_id, offset)
        write(part.text)
        if part.offset == offset:
            return
        offset = part.offset


def follow_log(workstation: Workstation, job_id: str, patience: Patience, write: Tells) -> None:
    """All that a job prints, until it is over.

    :raises Failed: it cannot be told, or not for `PATIENCE`.
    """
    offset = 0
    while True:
        part = patience.ask(partial(workstation.log, job_id, offset))
        write(part.text)
        moved, offset = part.offset - offset, part.offset
        if moved == 0 and part.over:
            return
        if moved:
            patience.hurry()
        if moved < _MUCH and not part.over:
            patience.rest()


def _path(job_id: str) -> str:
    return f"/api/jobs/{_checked(job_id)}"


def _checked(job_id: str) -> str:
    if not is_job(job_id):
        raise Failed(f"{job_id[:50]!r} is no job; see: supercloud jobs")
    return job_id


def _no_such(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    return f"there is no such field; {hint}"


def _problem(answer: Answer) -> _Problem:
    """What is said of a refusal: by the API in JSON, by the portal itself in text."""
    if answer.kind == _PROBLEM:
        try:
            return msgspec.json.decode(answer.body, type=_Problem)
        except (ValueError, RecursionError):
            return _Problem()
    if answer.kind == "text/plain":
        return _Problem(" ".join(answer.body.decode("utf-8", "replace")[:_MOST_DETAIL].split("\n")).strip())
    return _Problem()
