"""All readers."""

from __future__ import annotations

from . import answers, entities, files, headers, media, server, settings, streams, templates

_GROUPS = (headers, streams, answers, entities, media, files, templates, settings, server)

READERS = {reader.name: reader for group in _GROUPS for reader in group.READERS}
