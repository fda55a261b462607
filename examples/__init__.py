"""Programs that show how cozeloop_lite is used; start with ``python -m examples.demo``."""
