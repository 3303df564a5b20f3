from __future__ import annotations

from twisted.internet.task import Clock

from supercloud.ident2.occasional import Occasional


def test_the_first_is_said_and_the_rest_counted() -> None:
    clock, said = Clock(), list[tuple[int, str]]()
    tally = Occasional(clock, lambda count, last: said.append((count, last)), interval=10)
    for name in "abc":
        tally.note(name)
    assert said == [(1, "a")]
    clock.advance(10)
    tally.note("d")
    assert said == [(1, "a"), (3, "d")]
    assert tally.total == 4
