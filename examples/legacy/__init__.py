"""A script that was there before tracing, and the same script traced."""
