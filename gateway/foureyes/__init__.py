"""Decisions that take two people: who the people are, and which trust anchors they agreed on.

`request`: what is asked for, in one canonical form. `approval`: a signature over it. `persons`:
who is another person. `ledger`: all decisions in order, believed only as far as their signatures
go. `book`: the same in the archive's log. `trust`: the anchors that follow. Everything else but
`book` and `trust` is pure.
"""
