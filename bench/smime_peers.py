"""Others who seal and open the same mails with the same keys, for `./dev bench smime`."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_PEERS = Path(__file__).parent / "peers"
_JARS = [Path("/usr/share/java") / f"bc{name}.jar" for name in ("prov", "pkix", "util")]


@dataclass(frozen=True, slots=True)
class Task:
    """Work on one mail, in files. work: "seal" or "open". cipher: "gcm" or "cbc".

    entity: what is sealed; sealed: the mail that is opened. certificates of readers: PEM.
    """

    work: str
    keys: str
    cipher: str
    entity: Path
    sealed: Path
    signer: Path
    signer_key: Path
    readers: tuple[Path, ...]
    reader_key: Path
    issuer: Path
    root: Path


class Peer(Protocol):
    """Does a task many times over."""

    @property
    def version(self) -> str:
        """Name and version."""
        ...

    def milliseconds(self, task: Task, times: int) -> float | None:
        """Processor time a mail, of all threads; None for what it cannot do.

        Raises SystemExit where it fails.
        """
        ...

    def close(self) -> None:
        """End its process, if it has one."""
        ...


class OpenSSL:
    """`peers/openssl_cms.c`: the floor of a C program."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "openssl_cms"
        source = _PEERS / "openssl_cms.c"
        subprocess.run(["cc", "-O2", "-o", self._program, source, "-lcrypto"], check=True)

    @property
    def version(self) -> str:
        return " ".join(_output("openssl", "version").split()[:2])

    def milliseconds(self, task: Task, times: int) -> float:
        """As `Peer.milliseconds`."""
        if task.work == "open":
            words = [task.sealed, task.readers[0], task.reader_key, task.root, times]
        else:
            words = [task.entity, task.signer, task.signer_key, task.cipher, "oaep", times]
            words += task.readers
        return float(_output(self._program, task.work, *words))

    def close(self) -> None:
        """Each task is a process of its own, which warms up before it measures."""


class BouncyCastle:
    """`peers/BouncyCastle.java`, in one process that is warm for a task before it is measured.

    What counts is the time of all its threads, collector and compiler, too.
    """

    def __init__(self, algorithms: str) -> None:
        """algorithms: "bc", its own, or "jdk", those of the JDK."""
        self._algorithms = algorithms
        source = _PEERS / "BouncyCastle.java"
        self._java = subprocess.Popen(
            ["java", "-cp", os.pathsep.join(map(str, _JARS)), source, algorithms],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        # As clock_getcpuclockid(3) makes it: in nanoseconds, where Java's own has ticks of 10 ms.
        self._clock = ~self._java.pid << 3 | 2
        assert self._java.stdout is not None
        self._version = self._java.stdout.readline().strip()
        self._warm: Task | None = None

    @property
    def version(self) -> str:
        return f"Bouncy Castle {self._version}, algorithms: {self._algorithms}"

    def milliseconds(self, task: Task, times: int) -> float | None:
        """As `Peer.milliseconds`."""
        if (task.work, task.keys, task.cipher) == ("open", "ec", "gcm"):
            return None  # it has no class that opens AuthEnvelopedData by key agreement
        if self._warm != task:
            self._asked(task, 0)
            self._warm = task
        begun = time.clock_gettime(self._clock)
        self._asked(task, times)
        return (time.clock_gettime(self._clock) - begun) * 1000 / times

    def close(self) -> None:
        """End the process."""
        self._java.communicate()

    def _asked(self, task: Task, times: int) -> None:
        words: list[object] = [task.work, times]
        if task.work == "open":
            words += [task.sealed, task.reader_key, task.root]
        else:
            words += [task.entity, task.signer, task.signer_key, task.cipher, *task.readers]
        assert self._java.stdin is not None
        assert self._java.stdout is not None
        self._java.stdin.write("\t".join(map(str, words)) + "\n")
        self._java.stdin.flush()
        answer = self._java.stdout.readline().strip()
        if answer != "done":
            raise SystemExit(f"Bouncy Castle: {answer or 'java ended'}")


class Cmsutil:
    """NSS's command, two processes a mail, without MIME: RSA v1.5 and AES-128-CBC is all it has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = f"sql:{folder / 'nss'}"
        self._known: set[Path] = set()
        (folder / "nss").mkdir()
        self._tool("certutil", "-N", "--empty-password")

    @property
    def version(self) -> str:
        found = _output("dpkg-query", "-W", "-f", "${Version}", "libnss3-tools")
        return f"cmsutil {found.partition(':')[2].partition('-')[0] or found}"

    def milliseconds(self, task: Task, times: int) -> float | None:
        """As `Peer.milliseconds`: opening is of what it sealed itself."""
        if task.keys != "rsa" or task.cipher != "cbc" or len(task.readers) > 1:
            return None
        self._learn(task)
        signed, sealed, out = (self._folder / name for name in ("signed", "cms", "opened"))

        def seal() -> None:
            self._tool(
                "cmsutil", "-S", "-N", _name(task.signer), "-G", "-H", "SHA256",
                "-i", task.entity, "-o", signed,
            )  # fmt: skip
            self._tool("cmsutil", "-E", "-r", _name(task.readers[0]), "-i", signed, "-o", sealed)

        def unseal() -> None:
            self._tool("cmsutil", "-D", "-i", sealed, "-o", out)
            said = self._tool("cmsutil", "-D", "-n", "-h", "0", "-i", out)
            if "GoodSignature" not in said:
                raise SystemExit(f"cmsutil: {said}")

        seal()
        begun = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(times):
            unseal() if task.work == "open" else seal()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime
        return took * 1000 / times

    def close(self) -> None:
        """Each mail is two processes of its own."""

    def _learn(self, task: Task) -> None:
        """Certificates and keys, once."""
        for file, trust in ((task.root, "CT,C,C"), (task.issuer, ",,")):
            if file not in self._known:
                self._tool("certutil", "-A", "-n", _name(file), "-t", trust, "-a", "-i", file)
                self._known.add(file)
        for file, key in ((task.signer, task.signer_key), (task.readers[0], task.reader_key)):
            if file not in self._known:
                p12 = self._folder / "key.p12"
                _output(
                    "openssl", "pkcs12", "-export", "-in", file, "-inkey", key,
                    "-name", _name(file), "-passout", "pass:bench", "-out", p12,
                )  # fmt: skip
                self._tool("pk12util", "-i", p12, "-K", "", "-W", "bench")
                self._known.add(file)

    def _tool(self, program: str, *words: object) -> str:
        return _output(program, "-d", self._database, *words)


def _name(file: Path) -> str:
    """How the database calls the certificate in a file."""
    return f"{file.parent.name}-{file.stem}"


def _output(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{Path(str(words[0])).name}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")
