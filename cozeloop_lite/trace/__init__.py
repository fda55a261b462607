"""Tracing: a span is started (tracer), filled (span, values), finished into a queue, encoded and sent (exporter)."""
