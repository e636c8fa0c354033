"""A port that was given out stays its taker's: no other program of the machine happens upon it."""

from __future__ import annotations

import socket

from gateway.demo.process import free_port


def test_a_port_is_given_to_one_only_and_is_closed_until_he_listens() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    for port in ports[:5]:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        for _ in range(2):  # and again after a stop
            with (
                socket.create_server(("127.0.0.1", port)),
                socket.create_connection(("127.0.0.1", port), timeout=20),
            ):
                pass


def test_the_system_gives_it_to_nobody_else() -> None:
    """Two hundred thousand chances, and some fourteen thousand ports that it gives out."""
    ours = {free_port() for _ in range(20)}
    for number in range(10_000):
        with socket.socket() as other:
            if number % 2:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", 0))
            assert other.getsockname()[1] not in ours
