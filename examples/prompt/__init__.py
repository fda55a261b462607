"""Prompts: small programs, each of which can be copied on its own."""
