"""Measurements with peers: the same work by other people's tools, in the same run."""
