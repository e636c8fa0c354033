"""SMTP client with connection reuse: one outcome for each recipient, always."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.smtp.lookup import Resolver
from gateway.smtp.nexthop import NextHop, Outcome, Result, Timeouts, TlsDemand
from gateway.smtp.transaction import Greeted, Mail, Stale, Transaction, greet, refuse_here
from gateway.smtp.wire import TlsError, WireError
from gateway.smtp.wishes import NO_WISHES, Wishes

__all__ = ["Deliverer", "NextHop", "Outcome", "Result", "Timeouts", "TlsDemand"]


class _Pool:
    """Connections to one next hop."""

    def __init__(self, size: int) -> None:
        self.turn = asyncio.Semaphore(size)
        self.moved = 0.0  # when a delivery began or the peer gave a sign of life (loop time)
        self.idle: list[tuple[Greeted, asyncio.TimerHandle]] = []  # the last used is taken first

    def move(self) -> None:
        """Something has moved."""
        self.moved = asyncio.get_running_loop().time()


class Deliverer:
    """Delivers mails, keeping connections open for the next one. One event loop only.

    max_connections_per_hop: further deliveries to that hop wait for their turn.
    idle_seconds: an unused connection gets QUIT after this time.
    patience_seconds: when a hop has been silent for so long on all its connections, those who
        wait for a turn are told to try later. Otherwise one hop that takes connections and says
        nothing would gather all deliveries of a worker, and mail to everybody else stood still.
    before_dot: called right before the end of a mail is handed to the connection; ends the process
        if the mail may not leave from here any more.
    """

    def __init__(
        self,
        max_connections_per_hop: int = 20,
        idle_seconds: float = 30.0,
        patience_seconds: float = 30.0,
        before_dot: Callable[[], None] = lambda: None,
    ) -> None:
        self._before_dot = before_dot
        self._size = max_connections_per_hop
        self._patience = patience_seconds
        self._idle_seconds = idle_seconds
        self._pools: dict[NextHop, _Pool] = {}
        self._resolver = Resolver()
        self._closed = False

    async def deliver(
        self,
        hop: NextHop,
        mail_from: str,
        recipients: Sequence[str],
        data: bytes,
        *,
        eight_bit: bool,
        smtputf8: bool,
        on_dot_sent: Callable[[], None] | None = None,
        wishes: Wishes = NO_WISHES,
    ) -> list[Outcome]:
        """Deliver one mail to `recipients`; outcomes in their order. Never raises for the peer.

        mail_from: "" is the null sender. data: with CRLF line ends, not dot-stuffed.
        eight_bit: the mail has octets over 127; smtputf8: addresses or headers have (RFC 6531).
        on_dot_sent: called once, right after the final dot was handed to the connection and
            before the reply is awaited: from here on the peer may have the mail.
        wishes: of the sender about notices, for a next hop that announces DSN.
        """
        mail = Mail(
            mail_from,
            tuple(recipients),
            data,
            eight_bit,
            smtputf8,
            on_dot_sent,
            self._before_dot,
            wishes,
        )
        if not recipients:
            return []
        if refused := refuse_here(mail, hop):
            return refused
        pool = self._pools.get(hop)
        if pool is None:
            pool = self._pools[hop] = _Pool(self._size)
        if not await self._turn(pool):
            name = f"{hop.host}:{hop.port}"
            error = WireError(f"{name}: silent on all connections, so none was tried for this mail")
            return [_temporary(address, error, name) for address in mail.recipients]
        try:
            pool.move()
            wire = self._take_idle(pool)
            if wire is not None:
                try:
                    return await self._transact(pool, wire, mail, reused=True)
                except Stale:
                    pass  # closed while it lay idle, and nothing of this mail was taken
            try:
                wire = await _open(hop, pool.move, self._resolver)
            except WireError as error:
                return [_temporary(a, error, f"{hop.host}:{hop.port}") for a in mail.recipients]
            return await self._transact(pool, wire, mail, reused=False)
        finally:
            pool.turn.release()

    async def _turn(self, pool: _Pool) -> bool:
        """Wait for a turn; False where the peer is silent and nobody's turn comes."""
        loop = asyncio.get_running_loop()
        while pool.turn.locked():
            left = pool.moved + self._patience - loop.time()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(left):
                    return await pool.turn.acquire()
            except TimeoutError:
                continue  # unless something has moved meanwhile
        return await pool.turn.acquire()

    async def close(self) -> None:
        """Say QUIT on idle connections; running deliveries end by themselves."""
        self._closed = True
        for pool in self._pools.values():
            while pool.idle:
                wire, timer = pool.idle.pop()
                timer.cancel()
                wire.quit()
        await asyncio.sleep(0)

    async def _transact(
        self, pool: _Pool, wire: Greeted, mail: Mail, *, reused: bool
    ) -> list[Outcome]:
        transaction = Transaction(wire, mail, reused=reused)
        try:
            outcomes = await transaction.run()
        except BaseException:
            wire.close()  # cancelled, or Stale: nobody knows where the dialogue stands
            raise
        if not transaction.reusable or not wire.usable or self._closed:
            wire.quit()
        else:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._idle_seconds, self._retire, pool, wire)
            pool.idle.append((wire, timer))
        return outcomes

    def _take_idle(self, pool: _Pool) -> Greeted | None:
        while pool.idle:
            wire, timer = pool.idle.pop()
            timer.cancel()
            if wire.usable:
                return wire
            wire.close()
        return None

    def _retire(self, pool: _Pool, wire: Greeted) -> None:
        pool.idle = [entry for entry in pool.idle if entry[0] is not wire]
        wire.quit()


async def _open(hop: NextHop, progress: Callable[[], None], resolver: Resolver) -> Greeted:
    """A connection that was greeted, and is encrypted if demanded or possible."""
    try:
        return await greet(hop, progress, allow_tls=True, resolver=resolver)
    except TlsError:
        if hop.tls is TlsDemand.VERIFIED:
            raise
        # RFC 7435: what promises nothing must not stop the mail.
        return await greet(hop, progress, allow_tls=False, resolver=resolver)


def _temporary(address: str, error: WireError, host: str) -> Outcome:
    return Outcome(address, Result.TEMPORARY, error.code, error.status, str(error), host)
