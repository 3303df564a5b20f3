from __future__ import annotations

from supercloud.attention import MOST, Attention


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_passes_while_it_looks() -> None:
    time = Time()
    attention = Attention(time)
    before = attention.seconds()
    for _ in range(10):
        time.now += 0.5
        attention.look()
    assert attention.seconds() - before == 5


def test_what_passes_while_it_does_not_look_does_not_count() -> None:
    time = Time()
    attention = Attention(time)
    before = attention.seconds()
    time.now += 3600
    attention.look()
    assert attention.seconds() - before == MOST
