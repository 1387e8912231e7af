"""A server of downloads with one misbehaviour a path."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One misbehaviour a path."""

    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
        elif self.path == "/silent":
            self.server.over.wait(20)
        elif self.path == "/nonsense":
            self.wfile.write(b"220 this is a mail server\r\n\r\n")
        else:
            self.send_response(200)
            if self.path != "/unsized":
                self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            if self.path == "/dripping":
                while not self.server.over.wait(0.05):
                    self.wfile.write(b"x")
            self.wfile.write(BODY[: len(BODY) // 2] if self.path in ("/truncated", "/stalled") else BODY)
            if self.path == "/stalled":
                self.server.over.wait(20)

    def log_message(self, *args):
        pass


@contextmanager
def serving() -> Iterator[str]:
    """Its address while it runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.over = threading.Event()
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()
