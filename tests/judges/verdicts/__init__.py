"""Published certificates with published verdicts: what we say of each, and why."""
