"""Requests to the platform's API: one client, one reading of answers, one connection pool."""
