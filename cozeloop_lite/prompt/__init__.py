"""Prompts: fetched, kept, formatted, executed."""
