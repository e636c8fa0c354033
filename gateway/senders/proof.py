"""What the archive keeps of how a sender was proved (`sender.proof`, docs/archive-format.md)."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.mail import Peer


def proof_of(peer: Peer, rules: Mapping[str, str]) -> dict[str, str]:
    """method, and what that method rests on; texts only, no key that says nothing.

    rules: field that names an author ("from", "sender", "resent-from"…) → the rule that allowed it.
    """
    who = peer.identity
    proof = {
        "method": "relay" if who is None else who.method,
        # Whose word it is: the machine that was really connected, not the one it spoke for.
        "address": peer.via_ip or peer.ip,
        "relay": peer.via or peer.relay,
        "front": "xclient" if peer.via else "",
        "login": "" if who is None or who.certificate else who.name,
        "client": who.name if who is not None and who.certificate else "",
        "certificate": "" if who is None else who.certificate,
    }
    for field, rule in rules.items():
        proof["rule" if field == "from" else f"rule.{field}"] = rule
    return {name: value for name, value in proof.items() if value}
