"""Work on hostile octets in processes that may be killed (design §3, threats L11).

A message that makes a parser loop, recurse, crash or want all memory costs its own process and its
own verdict, nothing else. Workers live long and take one message after the other: no process is
started per mail. Each has a budget per message (`budget`), is shut off from network, files and
children as far as the system lets it (`walls`), and is replaced when a message has ended it.

`Guarded` (`pool`) is a pool for a service, with many threads that ask; `Single` (`single`) is one
worker for a command. Both give what the function found, or a `Problem` that says what the message
took too much of: never a verdict about the message, so that whoever gets it says "unverified,
because …".

The function must not hide MemoryError (`except Exception` without it): an answer that was made of
what was left out for want of memory would look like one that was not.
"""
