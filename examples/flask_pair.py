"""Two services of Flask, one trace: the shop asks the warehouse, and both say what they are doing.

Needs Flask. The middleware makes a span of each request; the pool of connections carries the span to the other service.
"""

from __future__ import annotations

import threading
from wsgiref import simple_server

import flask
import urllib3

import cozeloop_lite
from cozeloop_lite.integration.http import trace_urllib3
from cozeloop_lite.integration.wsgi import TraceMiddleware

pool = trace_urllib3(urllib3.PoolManager())
shop, warehouse = flask.Flask("shop"), flask.Flask("warehouse")
addresses: dict[str, str] = {}


@shop.route("/orders/<number>")
def order(number: str) -> str:
    with cozeloop_lite.start_span("answer", "agent") as span:
        span.set_input(number)
        stock = pool.request("GET", addresses["warehouse"] + "/stock/tea").data.decode("utf-8")
        span.set_output("order %s: %s" % (number, stock))
        return "order %s: %s, trace %s" % (number, stock, span.trace_id)


@warehouse.route("/stock/<item>")
def stock(item: str) -> str:
    cozeloop_lite.get_span_from_context().set_tags({"item": item})  # the span that the middleware made
    return "3 of %s left" % item


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep stderr quiet."""


def serve(name: str, app: flask.Flask) -> simple_server.WSGIServer:
    """Two real services would be two programs, served by gunicorn or the like."""
    app.wsgi_app = TraceMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's manual does it
    server = simple_server.make_server("127.0.0.1", 0, app, handler_class=Handler)
    addresses[name] = "http://127.0.0.1:%d" % server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment
    servers = [serve("shop", shop), serve("warehouse", warehouse)]
    answer = urllib3.PoolManager().request("GET", addresses["shop"] + "/orders/7").data.decode("utf-8")
    print(answer.replace(", trace", "\ntrace"))
    for server in servers:
        server.shutdown()
        server.server_close()
    cozeloop_lite.flush()


if __name__ == "__main__":
    main()
