"""Certificates of others and our own keys: found, checked at a moment, explained.

`pki` knows nothing of mail queues or of the archive. It answers one question, "may this
certificate be used for this address and purpose at this moment?", and says why.
"""
