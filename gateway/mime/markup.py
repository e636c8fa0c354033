"""The text of an HTML part, for search, in one pass over it.

No tree is built: a parser that follows the HTML rules for wrong nesting takes quadratic to cubic
time (selectolax 1.0: 20 s for 90 kB of `<b id=…><p>`), and the sender chooses the nesting.
"""

from __future__ import annotations

import html
import re

# Each alternative runs to the end of the text where its own end is missing, as a browser does:
# so no place is looked at twice.
_MARKUP = re.compile(
    r"""<(?:
        !--(?:-?>|.*?(?:--!?>|\Z))                                   # comment
      | (script|style|template)(?=[\s/>]).*?(?:</\1(?=[\s/>])[^>]*+(?:>|\Z)|\Z)
      | (/?(?:p|div|br|tr|td|th|li|ul|ol|dt|dd|h[1-6]|table|blockquote|pre|hr|option|title|section
          |article|header|footer)(?=[\s/>]))?                        # breaks the text
        (?:/?[a-z]|(?<=[a-z1-6/]))
        (?:[^>=]|=\s*+"[^"]*+(?:"|\Z)|=\s*+'[^']*+(?:'|\Z)|=)*+(?:>|\Z)
      | [!?/][^>]*+(?:>|\Z)                                          # declarations
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_LONG_NUMBER = re.compile(r"&#x?[0-9a-f]{9,}+;?", re.IGNORECASE)


def text_of(markup: str) -> str:
    """Text between the tags, entities decoded; block elements end a line. Never raises."""
    text = _MARKUP.sub(lambda match: "\n" if match[2] else "", markup)
    # No character has such a number, and int() refuses long ones.
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text))
