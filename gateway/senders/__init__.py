"""Who may send as whom: proof of identity, and the addresses that it gives a right to."""
