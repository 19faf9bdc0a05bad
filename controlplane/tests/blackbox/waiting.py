"""Waiting for a condition, never for a time."""

import time

POLL_SECONDS = 0.01


def eventually(condition, seconds=10.0, what=None):
    """Calls `condition` until it is truthy and returns its value; fails at the deadline with what it last said."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            said = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {said or condition}; last value: {value!r}")
        time.sleep(POLL_SECONDS)
