"""Operators, one test module each; `harness.py` runs them as the runtime does."""
