"""Long runs: `./dev soak NAME`. Each module here has `run(seed, rounds)`, and is listed by it."""
