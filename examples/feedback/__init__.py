"""Feedback on a trace; start it with ``python -m examples.feedback.feedback``."""
