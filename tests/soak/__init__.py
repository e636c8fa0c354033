"""Long runs: what a minute of tests cannot show."""
