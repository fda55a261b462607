"""OAuth JWT: the program signs with a private key, and gets tokens that live for 15 minutes, as long as it runs.

A personal access token belongs to a person, lives long and is sent with every request. The private key of an OAuth
application belongs to the program and is never sent. It needs an extra: pip install "cozeloop-lite[jwt]"
"""

from __future__ import annotations

import os
import sys

import cozeloop_lite


def main() -> None:
    if not any(name.startswith("COZELOOP_JWT_OAUTH_") for name in os.environ):  # a personal token would be used instead
        sys.exit("the three variables are not set: see the page of your OAuth application for the values")
    try:
        client = cozeloop_lite.new_client(
            # These three come from the environment, too, when they are not given here.
            jwt_oauth_client_id=os.environ.get("COZELOOP_JWT_OAUTH_CLIENT_ID"),
            # The fingerprint that the platform shows beside the public key.
            jwt_oauth_public_key_id=os.environ.get("COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID"),
            # The text of the PEM file, not its path; line breaks may be written as \n. For a key that never leaves a
            # key service there is jwt_oauth_signer, a function that signs.
            jwt_oauth_private_key=os.environ.get("COZELOOP_JWT_OAUTH_PRIVATE_KEY"),
        )
    except cozeloop_lite.LoopError as problem:
        sys.exit(str(problem))  # says which setting is missing, or what is wrong with the key

    with client.start_span("oauth_jwt", "custom") as span:
        span.set_input("Who am I?")
        span.set_output("an OAuth application")

    # The first request is what asks for a token; later ones use it until a minute before its end.
    if not client.flush():
        sys.exit("not delivered: %s" % client.stats())
    print("trace", span.trace_id)
    print("delivered to workspace %s by %r" % (client.workspace_id, client.api))


if __name__ == "__main__":
    main()
