"""What a signer says in signed attributes (RFC 2634), for people: labels, hints, receipts, lists.

It decides nothing: who shall see a mail so labelled, or answers it with a receipt, has the verdict
to look at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.cli.output import Output
from gateway.smime.ess import facts
from gateway.smime.signed import Attribute

_NAMES = 5  # of those who are asked for a receipt, or get one: the whole list stands in JSON


def show_said(output: Output, attributes: Iterable[Attribute]) -> None:
    """A line for each thing said."""
    for one in attributes:
        said = facts(one.oid, one.values)
        if said is None:
            continue
        for problem in said.get("problems", ()):
            output.line("     " + problem["text"])
        if "problems" not in said:
            _show(output, said)


def _show(output: Output, said: Mapping[str, Any]) -> None:
    match said["attribute"]:
        case "securityLabel":
            output.say("     security label: {label}", label=_label(said))
        case "equivalentLabels":
            for label in said["labels"]:
                output.say("     equivalent security label: {label}", label=_label(label))
        case "contentHint":
            hint = said["description"] or said["content_type"]
            output.say("     content hint: {hint}", hint=hint)
        case "receiptRequest":
            asked = said["receipts_from"]
            output.say(
                "     asks for a receipt from {who}, to {receivers}",
                who=asked if isinstance(asked, str) else _names(asked),
                receivers=_names(said["receipts_to"]),
            )
        case "mlExpansionHistory":
            for one in said["lists"]:
                output.say(
                    "     came through the list {list} at {time}",
                    list=_identifier(one["list"]),
                    time=one["time"],
                )


def _label(label: Mapping[str, Any]) -> str:
    """Policy, classification, mark, categories: what there is of them."""
    level = label["classification_name"] or label["classification"]
    mark = label["privacy_mark"]
    categories = [one["text"] or one["type"] for one in label["categories"]]
    found = [label["policy"], level, None if mark is None else f"“{mark}”", *categories]
    return ", ".join(str(one) for one in found if one is not None)


def _names(groups: Iterable[Iterable[Mapping[str, str]]]) -> str:
    names = [name for group in groups for name in _each(group)]
    return ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")


def _each(group: Iterable[Mapping[str, str]]) -> Iterator[str]:
    for name in group:
        yield from name.values()


def _identifier(identifier: Mapping[str, str]) -> str:
    if "issuer" in identifier:
        return f"{identifier['issuer']} #{identifier['serial']}"
    return identifier["key_identifier"]
