"""Asking `sceau policy explain` about every mail that a gateway has decided on."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

from gateway.cli import main
from gateway.queue.states import State
from tests.flows.way_out_scene import Scene

# What an explanation and a decision record call the same.
_SAME = {"encryption": "encryption", "without_certificate": "without-certificate", "sign": "sign"}


def explained_otherwise(scene: Scene, folder: Path) -> list[str]:
    """Recipients for whom `explain`, given the mail as it is in the archive, says something else
    than the gateway has recorded. Empty when all agree; fails when there is nobody to ask about.
    """
    states = [word for state in State for word in ("--state", str(state))]
    lines = [
        line
        for line in scene.json("queue", "list", *states, "--limit", "100000")
        if "rule" in line["decision"]
    ]
    assert lines
    wanted = sorted({line["id"] for line in lines})
    scene.json(
        "archive", "show", *wanted, "--key", str(scene.house.authority_key),
        "--case", "explained", "--out", str(folder / "mails"),
    )  # fmt: skip
    found = []
    for line in lines:
        decision = line["decision"]
        mail = folder / "mails" / (line["id"] + ".eml" if len(wanted) > 1 else "")
        out = io.StringIO()
        with redirect_stdout(out):
            code = main(
                ["policy", "explain", "--json", "--config", str(scene.house.config),
                 "--from", decision["sender"], "--to", line["recipient"],
                 "--at", line["accepted"], str(mail)]
            )  # fmt: skip
        said = json.loads(out.getvalue())
        same = (
            code == 0
            and said["rule"] == decision["rule"]
            and said["policy"].startswith(decision["policy"])
            and all(said[one] == decision[other] for one, other in _SAME.items())
            and (said["action"] != "refuse" or decision["outcome"] == "refused")
            and (
                said["action"] != "hold" or decision["outcome"] == "held" or _released(scene, line)
            )
        )
        if not same:
            found.append(f"{line['id']} {line['recipient']}: {decision['rule']}, but {said}")
    return found


def _released(scene: Scene, line: dict[str, object]) -> bool:
    return "released" in [entry["kind"] for entry in scene.history(str(line["id"]))]
