"""Mail as octets: headers, parts, transfer encodings (RFC 5322, RFC 2045 to 2047).

Pure functions on bytes. Reading never raises for odd mail unless a docstring says so, costs time
in proportion to the size, and does not recurse with the depth of the mail. Nothing here goes
through Python's `email` package: it re-serialises, and bytes that change break signatures.
"""
