"""Sceau, an S/MIME signing and encrypting mail gateway with a hash-chained archive."""

__version__ = "0.1.0"
