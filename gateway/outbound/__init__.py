"""The way out, steps 3 to 6 of docs/flow.md: decide, find, choose, sign, encrypt.

Everything here is done on one mail in memory; what comes out (`work.Work`) is committed by the
worker in one transaction before anything is sent.

`steps`: all of it in order, read from top to bottom. `candidate`: one recipient, up to what he gets
and by which signer and certificate. `copies`: recipients whom rules add. `alike`: who is sealed
together. `inside`: what is inside their envelope, signed once a mail. `group`: signed, encrypted.
`sealed`: the octets and the log entry that says why. `notice`: the gateway's own notices, which go
as they are. `route`: the way a mail takes from here. `unserved`: who gets nothing now, and what is
written down of it.
"""
