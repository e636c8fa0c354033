"""docs/pki-differential.md."""

from __future__ import annotations

from collections.abc import Sequence

from tests.judges.paths.classes import CLASSES
from tests.judges.paths.compare import Peer
from tests.judges.paths.run import Result

_HEAD = """\
# Paths: what others say of the same chains

Made by `./dev judge-paths`, never by hand. A generator makes chains with one to four things
done to them: cross-certificates and dead ends, dates, lengths, usages, name constraints, policies
with mappings, CRLs of every kind, purposes and addresses. Each is judged by `pki.path` and
`pki.verdict` and by programs of others. Where they disagree, the case must be in a class below:
facts of the case say which, and then we and the peer are asked once more without the one thing the
class is about (the chain made again with it put right, a CRL taken away, our path offered alone,
each certificate by itself). All must agree then, or disagree in another class; a case that is in
none fails the run.

`python -m tests.judges.paths --seed {seed} --chains {chains}` makes the same chains again;
`--keep FOLDER` leaves the files and the `openssl` command of what is in no class.

Seed {seed}, {chains} chains, each with fresh keys (RSA, P-256, P-384, Ed25519). Asked were
{peers}.
Where several CRLs could speak, Bouncy Castle takes them in the order of their hashes, so its counts
differ by a few from run to run; ours and openssl's do not.

| Peer | both valid | both refuse | only we refuse | only they refuse |
|---|---:|---:|---:|---:|
"""


def page(result: Result, peers: Sequence[Peer], seed: int) -> str:
    """The whole file."""
    versions = " and ".join(f"{peer.name} ({peer.version})" for peer in peers)
    lines = [_HEAD.format(seed=seed, chains=result.cases, peers=versions)]
    for peer in peers:
        counts = [
            result.verdicts[peer.name, *pair]
            for pair in ((True, True), (False, False), (False, True), (True, False))
        ]
        lines.append(f"| {peer.name} | {' | '.join(map(str, counts))} |\n")
    lines.append("\n## Classes of disagreement\n")
    for peer in peers:
        lines.append(
            f"\n### {peer.name}\n\n| cases | class | they | we, and why |\n|---:|---|---|---|\n"
        )
        lines += [
            f"| {len(result.classes.get((peer.name, one.key), ()))} | {one.key} | {one.they} "
            f"| {one.rule} |\n"
            for one in CLASSES[peer.name]
        ]
    lines.append("\n## What was done to chains\n\n")
    done = sorted(result.traits.items())
    lines.append(", ".join(f"{trait} {count}" for trait, count in done) + ".\n")
    return "".join(lines)
