from __future__ import annotations

import threading
import time

import pytest

from nni_darts.experiment.guard import guarded


class Counter:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.caught: list[str] = []
        self.count = 0

    def _caught(self, error: Exception) -> int:
        self.caught.append(str(error))
        return -1

    @guarded
    def add(self, more: int) -> int:
        """Add, not at once."""
        before = self.count
        time.sleep(0.01)
        self.count = before + 10 // more
        return self.count

    @guarded
    def twice(self, more: int) -> int:
        return self.add(more) + self.add(more)

    @guarded
    def end(self) -> None:
        raise KeyboardInterrupt


def test_exceptions_are_handed_over_and_others_are_not() -> None:
    counter = Counter()
    assert counter.add(5) == 2
    assert counter.add(0) == -1
    assert len(counter.caught) == 1
    assert "zero" in counter.caught[0]
    with pytest.raises(KeyboardInterrupt):
        counter.end()
    assert Counter.add.__doc__ == "Add, not at once."


def test_one_call_at_a_time_that_may_call_others() -> None:
    counter = Counter()
    threads = [threading.Thread(target=counter.twice, args=(10,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.count == 16
