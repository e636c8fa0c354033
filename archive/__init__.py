"""The archive: an append-only, hash-chained log with sealed content.

`archive` knows nothing of certificates or of SMTP. The format is described for strangers in
`docs/archive-format.md`.
"""
