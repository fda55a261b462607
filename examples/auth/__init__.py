"""One small program for each way to authenticate; start them with ``python -m examples.auth.oauth_jwt``."""
