"""What is wrong with a setup: a wrong token, workspace, address or proxy, found one step at a time.

Most of a first hour with an SDK is lost on these. ``python -m cozeloop_lite check`` asks each question on its own, from
the settings to a span that is found again, and says which setting to change.
"""
