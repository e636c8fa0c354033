"""Longer tests of the PKI: with servers, tokens, other programs. `./dev test-pki` runs them."""
