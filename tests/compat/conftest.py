"""The marker of the tests that compare with the official client: they install it, which takes a network."""


def pytest_configure(config):
    config.addinivalue_line("markers", "compat: compares with the official client, installed from PyPI")
