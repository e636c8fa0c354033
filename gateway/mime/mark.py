"""One parameter more in a Content-Type that came from somebody else. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.mime.entity import Field, closed, split
from gateway.mime.parameters import content_type

_TOKEN = rb"[!#-'*+\-.0-9A-Z^_`a-z{|}~]++"
# Name, colon and media type of the field as it came, folds among its white space.
_MEDIA_TYPE = re.compile(
    rb"[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Tt][Yy][Pp][Ee][ \t]*+:(?:[ \t]|\r\n(?=[ \t]))*+"
    + _TOKEN + rb"/" + _TOKEN
)  # fmt: skip


def marked(field: Field, name: str, value: str) -> Field | None:
    """The Content-Type field with `name="value"`, all its octets kept; None if that is not safe.

    The parameter comes right behind the media type: at the end, a quote or comment that is never
    closed could swallow it, and two readers would see two things. What our own strict reader does
    not understand as the same field with one parameter more is not marked.
    name: lower case. value: without quotes and backslashes.
    """
    before = content_type([field])
    if any(each == name or each.startswith(f"{name}*") for each in before.parameters):
        return None
    raw = closed(field.raw)
    match = _MEDIA_TYPE.match(raw)
    if match is None:
        return None
    end = match.end()
    new = raw[:end] + f';\r\n {name}="{value}"'.encode() + raw[end:]
    after = content_type(split(new + b"\r\n").fields)
    if after != replace(before, parameters={name: value.encode(), **before.parameters}):
        return None
    return Field(new, field.name)
