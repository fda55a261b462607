"""ApiClient: requests to the platform, JSON in and JSON out, and an error with data for anything but success."""

from __future__ import annotations

import os
import sys
import time

import cozeloop_lite


def main() -> None:
    workspace = os.environ.get("COZELOOP_WORKSPACE_ID") or sys.exit("COZELOOP_WORKSPACE_ID is not set")
    try:
        api = cozeloop_lite.ApiClient(
            # api_base_url="https://api.coze.cn",   # COZELOOP_API_BASE_URL; HTTPS_PROXY and SSL_CERT_FILE count, too
            # api_token="your_api_token",           # COZELOOP_API_TOKEN; or a function that returns one,
            # api_token_ttl=300,                    # and for how many seconds that is good
            timeout=3,  # seconds that a call may take from beginning to end
            headers={"X-Team": "blue"},  # sent with every request
        )
    except cozeloop_lite.PropertyUnprovidedError as problem:
        sys.exit(str(problem))  # says which argument and which variable is missing

    # A client with a workspace, cozeloop_lite.new_client(), has one of these as client.api.
    now = int(time.time() * 1000)
    question = {"workspace_id": workspace, "start_time": now - 3_600_000, "end_time": now, "page_size": 10}
    # A search changes nothing, so it may be made again when the server is busy or the connection breaks.
    answer = api.post("/v1/loop/spans/search", question, timeout=10, retries=2)
    print("code %s, %d traces in the last hour" % (answer["code"], len(answer["data"]["spans"])))

    try:
        api.post("/v1/loop/spans/search", {**question, "page_size": 100_000})
    except cozeloop_lite.RemoteServiceError as problem:  # the platform answered, and refused
        print("refused: HTTP %s, code %s, %s" % (problem.status, problem.code, problem.msg))
    except cozeloop_lite.NetworkError as problem:  # no answer arrived
        print("no answer: %s" % problem)


if __name__ == "__main__":
    main()
