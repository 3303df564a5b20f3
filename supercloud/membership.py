"""Ends what a group let in, once its viewer has left the group."""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime

from supercloud.authn.recurring import Recurring
from supercloud.errors import NotAuthorized, PortalError, Undecided
from supercloud.ownership.authorize import Grant
from supercloud.ownership.rule import Verdict
from supercloud.upstream.pool import Pool
from supercloud.watch import Watch

LOOK: Final = 10.0  # seconds between two rounds; what changed about groups counts within 30 s
# Seconds that the account database does not answer before what it let in ends. A new connection is refused at once
# then; one that was verified outlives a restart of the directory's server.
PATIENCE: Final = 60.0
AT_ONCE: Final = 4  # questions at the same time

_Ground = tuple[int, int, int | None, object]
"""Who was let in to whose listener under which group, by node and port or by which forward's file."""


class Judge(Protocol):
    """Applies the rule anew; see ownership.authorize."""

    async def judge_again(self, grant: Grant) -> Verdict:
        """:raises PortalError: nobody can say."""


class Membership:
    """Looks after verified connections, in use and kept, that were permitted by a group."""

    def __init__(self, clock: IReactorTime, *, authorizer: Judge, watch: Watch, pool: Pool[Grant]) -> None:
        self._clock = clock
        self._judge = authorizer
        self._watch = watch
        self._pool = pool
        self._answered: dict[_Ground, float] = {}
        self._askers = DeferredSemaphore(AT_ONCE)
        self._recurring = (
            Recurring(clock, LOOK, self._end_silent, "ending what nobody can say about"),
            Recurring(clock, LOOK, self._look, "looking after connections that a group permitted"),
        )

    def start(self) -> None:
        """Begin to look."""
        for one in self._recurring:
            one.start()

    def stop(self) -> None:
        """Leave no timer behind."""
        for one in self._recurring:
            one.stop()

    def _grounds(self) -> dict[_Ground, Grant]:
        return {_ground(grant): grant for grant in self._pool.grants if grant.verdict.is_by_group}

    async def _end_silent(self) -> None:
        """Waits for nobody: a directory that does not answer may hold a question for very long."""
        now = self._clock.seconds()
        self._answered = {ground: self._answered.get(ground, now) for ground in self._grounds()}
        for ground, answered in self._answered.items():
            if now - answered > PATIENCE:
                self._end(ground, Undecided(f"nobody could say for {now - answered:.0f} s"))

    async def _look(self) -> None:
        """Judge each ground once, however many connections stand on it."""
        grounds = self._grounds()
        await gatherResults([self._askers.run(self._ask, ground, grant) for ground, grant in grounds.items()])

    def _ask(self, ground: _Ground, grant: Grant) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ask_about(ground, grant))

    async def _ask_about(self, ground: _Ground, grant: Grant) -> None:
        permit = grant.permit
        try:
            verdict = await self._judge.judge_again(grant)
        except NotAuthorized as error:
            self._end(ground, error)
        except PortalError:
            return  # nobody can say; see PATIENCE
        else:
            self._answered[ground] = self._clock.seconds()
            if not verdict.permits:
                why = f"{verdict.value}, gid {grant.owner.gid}"
                self._end(ground, NotAuthorized(f"{permit.principal} -> {permit.target}: {why}"))

    def _end(self, ground: _Ground, error: PortalError) -> None:
        self._watch.end_grants(lambda grant: _ground(grant) == ground, error, "you are not in its group any more")


def _ground(grant: Grant) -> _Ground:
    owner = grant.owner
    return grant.permit.principal.uid, owner.uid, owner.gid, grant.permit.reservation
