"""Real servers that tests start by themselves, and the tests that need them."""
