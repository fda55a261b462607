"""A program that answers questions about this repository, with every step traced. ``make demo`` runs it.

``assistant.py`` is the program, ``service.py`` a second service in a process of its own, ``web.py`` what goes between
them, ``passages.py`` and ``model.py`` what they work with. ``__main__.py`` starts it all and shows what arrived.
"""
