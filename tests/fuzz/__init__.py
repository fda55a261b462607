"""Hostile bytes for everything that reads bytes from outside: no exception but the documented one, in linear time.

A *reader* (``reader.py``) is a function ``fuzz_one(data)`` that makes of some bytes what arrives from outside, hands it
to the library, and raises if the library raises what it does not document, or if what came out cannot be right. All
readers are in ``readers.py``. Three drivers feed them:

``make fuzz``, which is ``python -m tests.fuzz``
    A million inputs for each reader: mutations of valid examples, the same ones in each run. Then the slowest inputs
    are made longer, which shows whether the time grows faster than the length. ``--help`` tells the options.

``python -m tests.fuzz.guided READER [FOLDER] [-max_total_time=60]``
    libFuzzer, which looks for inputs that reach new code, through atheris. That is no requirement of the tests, and
    does not install everywhere: ``pip install atheris urllib3 jinja2 PyJWT cryptography`` in an environment of its own.

``test_fuzz_short.py``
    A thousand inputs for each reader, by hypothesis and from the first driver, among the tests.
"""
