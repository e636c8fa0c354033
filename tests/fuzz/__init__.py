"""Coverage-guided fuzzing of what strangers send: `./dev fuzz`, see `__main__.py`."""
