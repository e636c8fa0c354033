"""What one message may cost."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits for one message.

    cpu: seconds of processor, of all threads together; cpu_per_megabyte: in addition, for its
        size: digests and base64 of a large message are honest work.
    patience: how many times that in seconds of the wall clock: for a function that waits, and for
        a process that is stopped. Ample, for a loaded machine harms no mail.
    memory: octets above what the worker has before, and above the message itself; copies: times
        the size of the message that count as the message: as it came, decoded, and what is inside.
    answer: octets of the answer as JSON.
    """

    cpu: float = 2.0
    cpu_per_megabyte: float = 0.05
    patience: float = 15.0
    memory: int = 256 * MEGABYTE
    copies: float = 3.0
    answer: int = 8 * MEGABYTE

    def processor(self, size: int) -> float:
        """Seconds of processor for a message of `size` octets."""
        return self.cpu + self.cpu_per_megabyte * size / MEGABYTE

    def wall(self, size: int) -> float:
        """Seconds of the wall clock for it."""
        return self.patience * self.processor(size)

    def resident(self, size: int) -> int:
        """Octets of memory that a worker may take for it."""
        return self.memory + int(self.copies * size)
