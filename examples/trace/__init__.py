"""One small program for each part of tracing; start them with ``python -m examples.trace.root`` and the like."""
