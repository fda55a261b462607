"""A job that runs every night, whether or not the platform can be reached: what one run cannot send, the next one does.

0 3 * * *  cd /srv/job && COZELOOP_SPOOL_DIR=/var/spool/my-job .venv/bin/python nightly.py
"""

from __future__ import annotations

import os

import cozeloop_lite


@cozeloop_lite.observe(span_type="tool")
def tidy_up(folder: str) -> int:
    """The work of the job."""
    return len(folder)


def main() -> None:
    # Needs a folder that stays, and that nobody else can write to. The variable alone would do; this names a default.
    client = cozeloop_lite.new_client(spool_dir=os.environ.get("COZELOOP_SPOOL_DIR") or "spool")
    with client.start_span("nightly", "custom") as span:
        span.set_output("%d files" % tidy_up("reports"))

    # Nobody waits for a job at night, so there may be time for what earlier runs have left. When the server is down, it
    # ends at once. Without close(), the end of the program does the same, for at most shutdown_timeout.
    client.close(timeout=60)

    print("trace", span.trace_id)
    account = client.stats()
    print("delivered %(delivered)d, of earlier runs %(replayed)d, kept for the next run %(spooled)d" % account)
    if account["dropped"]:
        print("lost:", account["dropped"])


if __name__ == "__main__":
    main()
