"""Tasks of one event loop that go on side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Tasks:
    """Tasks on their way, and the first fault of one."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    def __len__(self) -> int:
        return len(self.running)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run it; what it raises comes out of `raise_fault`."""
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if task.cancelled():  # by the end of the process, which has a reason of its own
            return
        fault = task.exception()  # asked for in any case: asyncio prints what nobody asks for
        self._fault = self._fault or fault

    def raise_fault(self) -> None:
        """Raise the first fault, if there was one: the process gives up."""
        if self._fault is not None:
            raise self._fault

    async def wait(self, seconds: float | None = None) -> None:
        """Until all have ended, or the time is over."""
        if self.running:
            await asyncio.wait(self.running, timeout=seconds)


async def first_of(*groups: Tasks) -> None:
    """Until one of all of them has ended."""
    running = [task for group in groups for task in group.running]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
