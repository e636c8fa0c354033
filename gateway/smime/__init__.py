"""The S/MIME engine (RFC 8551, RFC 5652): MIME entities in, MIME entities out.

Pure: no database, no network, no clock. What comes is taken apart by `pki.ber` and by nothing
else; what leaves is DER written from parts that are made once per certificate or key.
"""
