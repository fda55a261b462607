"""A copy of the package inside a project; start with ``python -m examples.vendored.into_a_project``."""
