"""What was promised and what arrived, kept and compared by programs that share no code with the
gateway: standard library, `cryptography` and `zstandard`, `openssl`, and docs/archive-format.md.
`tests/unit/test_ledger.py` holds this folder to that.
"""
