"""Long runs, each with `run(seed, rounds)`: what takes too long for every day."""
