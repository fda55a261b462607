"""Calls of the platform's API that the library has no function for."""
