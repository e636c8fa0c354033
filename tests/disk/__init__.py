"""A disk that forgets what was not synced and fails when told, for programs that run unchanged.

Why a shim of our own and not LazyFS: docs/decisions/0017-what-a-power-cut-leaves.md.
"""
