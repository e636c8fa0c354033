"""Differential test of path validation: made-up chains, our verdict, those of other programs."""
