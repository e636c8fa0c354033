"""The queue's rows: put in, claim, give back. Every function works in the caller's transaction.

On the way of a mail: `enqueue`, `claim`, then `groups` and `recipients` for what was made of it,
`give_back`. Beside it: `take`, for a person; `deaths`, when a worker dies; `replan`, when times are
no longer right; `settled`, when all is done.
"""
