"""What the gateway counts, and how Prometheus gets it (docs/metrics.md).

Each process counts in memory (`tally`), mostly by looking at its own log lines (`events`), and
writes its sums to a small file each second; the keeper adds the files up, asks the database for
what is a state and not a sum (`gauges`), and answers on a loopback port (`page`, `server`).
"""
