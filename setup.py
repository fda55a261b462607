"""Packaging of cozeloop_lite. The version is written once, in ``cozeloop_lite/__init__.py``, and read from there."""

import os
import re

from setuptools import find_packages, setup

HERE = os.path.dirname(os.path.abspath(__file__))


def read(*parts):
    with open(os.path.join(HERE, *parts), encoding="utf-8") as file:
        return file.read()


setup(
    name="cozeloop-lite",
    version=re.search(r'^__version__ = "([^"]+)"', read("cozeloop_lite", "__init__.py"), re.M).group(1),
    description="A small, synchronous, thread-based SDK for CozeLoop: traces that arrive, from any script.",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["cozeloop_lite", "cozeloop_lite.*"]),
    package_data={"cozeloop_lite": ["py.typed"], "cozeloop_lite.local": ["pages/*"]},
    entry_points={"console_scripts": ["cozeloop-lite = cozeloop_lite.__main__:main"]},
    python_requires=">=3.7",
    install_requires=["urllib3>=1.26,<3", "jinja2>=3.0,<4"],
    extras_require={"jwt": ["PyJWT>=2.4,<3", "cryptography>=3.4"]},  # to sign with a private key (OAuth)
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.7",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: System :: Monitoring",
        "Typing :: Typed",
    ],
)
