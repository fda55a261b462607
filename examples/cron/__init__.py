"""Jobs that run by the clock; start with ``python -m examples.cron.nightly``."""
