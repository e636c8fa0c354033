"""Asks the real Thunderbird what it thinks of mails; see README.md here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
INSTALLED = Path(os.environ.get("SCEAU_THUNDERBIRD", "/usr/lib/thunderbird"))

_NOWHERE = "http://127.0.0.1:9/"  # the discard port: no request leaves the machine
PREFERENCES: dict[str, Any] = {
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "app.donation.eoy.version.viewed": 999,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.unified": False,
    "extensions.update.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "mail.spotlight.firstRunDone": True,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.winsearch.firstRunDone": True,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.spam.version": 1,
    "mail.instrumentation.lastNotificationSent": "x",
    "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore",
    "mailnews.start_page.override_url": "",
    "mailnews.start_page.url": "",
    "calendar.registered": True,
    "calendar.timezone.useSystemTimezone": True,
    "mail.chat.enabled": False,
    "mailnews.database.global.indexer.enabled": False,
    "mail.server.default.check_new_mail": False,
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": _NOWHERE,
    "browser.safebrowsing.downloads.enabled": False,
    "security.OCSP.enabled": 0,
    "security.default_personal_cert": "Select Automatically",
    "toolkit.startup.max_resumed_crashes": -1,
    "browser.sessionstore.resume_from_crash": False,
    "mail.inappnotifications.enabled": False,
    "mail.donation_appeal.enabled": False,
    "mailnews.message_display.disable_remote_image": True,
}


class JudgeError(Exception):
    """Thunderbird could not be asked."""


def ask(
    files: Sequence[Path], *, ca: Path, p12: Sequence[Path], password: str, window: bool = False
) -> list[dict[str, Any]]:
    """One verdict a file, in order.

    ca: certificates to trust (DER). p12: keys of the reader. window: open the real message window
    too and report what it shows (key "ui").
    A verdict has `signed`, `signedStatus` (0 is good), `signedName`, `encrypted`,
    `encryptionStatus` (0 is opened), `text`; or `error`. Raises JudgeError.
    """
    if not (INSTALLED / "libxul.so").exists() or not shutil.which("pk12util"):
        raise JudgeError("apt-get install --no-install-recommends thunderbird libnss3-tools")
    cache = Path(tempfile.gettempdir()) / f"sceau-thunderbird-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise JudgeError(f"{cache} belongs to somebody else")
    application = _application(cache)
    work = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    try:
        profile = _profile(work, ca, p12, password)
        return _run(application, profile, work, files, window)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _application(cache: Path) -> Path:
    """A private application folder: links to the installed one, and our AutoConfig."""
    script = HERE / "judge.cfg.js"
    stamp = f"{(INSTALLED / 'libxul.so').stat().st_mtime_ns}-{script.stat().st_mtime_ns}"
    folder = cache / f"app-{stamp}"
    if folder.is_dir():
        return folder
    made = Path(tempfile.mkdtemp(dir=cache))
    for item in INSTALLED.iterdir():
        if item.name in ("thunderbird", "thunderbird-bin"):
            shutil.copy2(item.resolve(), made / item.name)  # it finds the rest by its real path
        elif item.name != "defaults":
            (made / item.name).symlink_to(item.resolve())
    shutil.copytree(INSTALLED / "defaults", made / "defaults")
    (made / "defaults" / "pref" / "autoconfig.js").write_text(
        'pref("general.config.filename", "judge.cfg");\n'
        'pref("general.config.obscure_value", 0);\n'
        'pref("general.config.sandbox_enabled", false);\n'
    )
    shutil.copy(script, made / "judge.cfg")
    try:
        made.rename(folder)
    except OSError:  # another run was faster
        shutil.rmtree(made)
    return folder


def _profile(work: Path, ca: Path, p12: Sequence[Path], password: str) -> Path:
    profile = work / "profile"
    profile.mkdir()
    database = f"sql:{profile}"
    _tool("certutil", "-N", "-d", database, "--empty-password")
    _tool("certutil", "-A", "-d", database, "-n", "judge", "-t", "CT,CT,CT", "-i", ca)
    for path in p12:
        _tool("pk12util", "-i", path, "-d", database, "-K", "", "-W", password)
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    return profile


def _tool(*arguments: object) -> None:
    done = subprocess.run(list(map(str, arguments)), capture_output=True, check=False)
    if done.returncode:
        raise JudgeError(f"{arguments[0]}: {(done.stderr or done.stdout).decode().strip()}")


def _run(
    application: Path, profile: Path, work: Path, files: Sequence[Path], window: bool
) -> list[dict[str, Any]]:
    out, job, log = work / "out.jsonl", work / "job.json", work / "log"
    job.write_text(
        json.dumps(
            {
                "files": [str(path.resolve()) for path in files],
                "out": str(out),
                "chars": 500,
                "ui": window,
                "html": False,
            }
        )
    )
    environment = {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
    environment |= {
        "HOME": str(work),
        "SCEAU_JUDGE_JOB": str(job),
        "MOZ_HEADLESS": "1",
        "MOZ_CRASHREPORTER_DISABLE": "1",
        "MOZ_DISABLE_CONTENT_SANDBOX": "1",
        "NO_AT_BRIDGE": "1",
        "XDG_RUNTIME_DIR": str(work),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [application / "thunderbird-bin", "--headless", "--no-remote", "--profile", profile],
            env=environment, cwd=work, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
            start_new_session=True,
        )  # fmt: skip
        try:
            rows = _wait(process, out, time.monotonic() + 60 + 10 * len(files))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # the group started here, no other
            process.wait()
    if not rows or "done" not in rows[-1]:
        raise JudgeError(f"Thunderbird ended early: {log.read_text(errors='replace')[-2000:]}")
    return rows[:-1]


def _wait(process: subprocess.Popen[bytes], out: Path, deadline: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        text = out.read_text() if out.exists() else ""
        if text.endswith("\n"):
            rows = [json.loads(line) for line in text.splitlines()]
            if "done" in rows[-1] or "fatal" in rows[-1]:
                return rows
        if ended:
            return rows
        time.sleep(0.03)
    return rows
