"""JSON as it stands in the log and in the queue: sorted keys, no blanks, UTF-8."""

from __future__ import annotations

from json import JSONEncoder

# Made once: json.dumps with arguments makes an encoder anew for every text.
encode = JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
