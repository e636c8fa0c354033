"""Trust, paths and revocation with real servers and other programs as judges: `./dev test-pki`."""
