"""A proxy on loopback: forwards requests and opens tunnels, and keeps what it was asked for.

Every name leads to this machine, so that a test may use names that nobody knows.
"""

from __future__ import annotations

import base64
import http.client
import select
import socket
import socketserver
import threading
from urllib.parse import urlsplit

from .recording import LOOPBACK


class Asked:
    """What the proxy was asked for: ``CONNECT host:port``, or a request for a whole address."""

    def __init__(self, method, target, headers):
        self.method = method
        self.target = target
        self.headers = headers


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        words = self.rfile.readline().decode("latin-1").split()
        if len(words) != 3:
            return
        asked = Asked(words[0], words[1], http.client.parse_headers(self.rfile))
        self.server.proxy.asked.append(asked)
        if self.server.proxy.answer is not None:
            self.server.proxy.answer(self, asked)
        elif not self.server.proxy.knows(asked):
            self.say(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\n{}")
        elif asked.method == "CONNECT":
            self.tunnel(int(asked.target.rpartition(":")[2]))
        else:
            self.forward(asked)

    def say(self, data):
        self.connection.sendall(data)

    def tunnel(self, port):
        with socket.create_connection((LOOPBACK, port)) as there:
            self.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.pump(there)

    def forward(self, asked):
        address = urlsplit(asked.target)
        body = self.rfile.read(int(asked.headers.get("Content-Length") or 0))
        path = address.path + ("?" + address.query if address.query else "")
        lines = ["%s %s HTTP/1.1" % (asked.method, path)]
        lines += ["%s: %s" % item for item in asked.headers.items() if not item[0].lower().startswith("proxy-")]
        with socket.create_connection((LOOPBACK, address.port)) as there:
            there.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            self.pump(there)

    def pump(self, there):
        """Bytes either way, until one side has had enough."""
        other = {self.connection: there, there: self.connection}
        while True:
            for side in select.select(list(other), [], [])[0]:
                data = side.recv(65536)
                if not data:
                    return
                other[side].sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # a client that goes away is what some tests are about


class ForwardProxy:
    """See the module's docstring.

    ``asked`` has what was asked for so far. ``answer(handler, asked)``, where set, takes the place of what proxies do.
    """

    def __init__(self, user="", password=""):
        self.asked = []
        self.answer = None
        self._credentials = "%s:%s" % (user, password) if user else ""
        self._server = _Server((LOOPBACK, 0), _Handler)
        self._server.proxy = self
        self.port = self._server.server_address[1]
        self.url = "http://%s:%d" % (LOOPBACK, self.port)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="proxy", daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._server.server_close()

    def knows(self, asked):
        wanted = "Basic " + base64.b64encode(self._credentials.encode("utf-8")).decode("ascii")
        return not self._credentials or asked.headers.get("Proxy-Authorization") == wanted
