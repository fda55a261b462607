"""Questions to the platform about what it has: one trace, and spans that match filters."""
