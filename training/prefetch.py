"""Batches brought to the device while it computes."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

Read = TypeVar("Read")
Put = TypeVar("Put")


class Prefetch(Generic[Read, Put]):
    """Iterates `put(batch)` for the batches of `make()`, made and put by a thread, up to `depth` ahead.

    The thread starts at once, so that a pipeline is built while the model compiles. Its errors are raised to the
    consumer.

    Attributes:
      waited: seconds that the consumer has spent waiting.
    """

    def __init__(self, make: Callable[[], Iterator[Read]], put: Callable[[Read], Put], depth: int = 2):
        self.waited = 0.0
        self._queue: queue.Queue[Put | BaseException] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(make, put), name="prefetch", daemon=True)
        self._thread.start()

    def _run(self, make: Callable[[], Iterator[Read]], put: Callable[[Read], Put]) -> None:
        try:
            for batch in make():
                if not self._offer(put(batch)):
                    return
            self._offer(StopIteration())
        except BaseException as error:  # carried to the consumer, whatever it is
            self._offer(error)

    def _offer(self, item: Put | BaseException) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Put:
        start = time.perf_counter()
        item = self._queue.get()
        self.waited += time.perf_counter() - start
        if isinstance(item, BaseException):
            self._queue.put(item)  # it stays the answer
            raise item
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
