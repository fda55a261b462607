"""Functions for AWS Lambda and the like; start them with ``python -m examples.serverless.lambda_handler``."""
