import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from featstore.errors import DownloadError, FeatstoreError
from featstore.sources import remote
from featstore.sources.remote import download_of, fetched, is_url, promises_hash

BODY = bytes(range(256)) * 40
SHA256 = hashlib.sha256(BODY).hexdigest()
PAGE = b"\n  <!DOCTYPE html><html><body>Log in to download</body></html>"


class Handler(BaseHTTPRequestHandler):
    """One kind of answer a path; every request is counted."""

    def do_GET(self):
        self.server.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path == "/missing.pth":
            self.send_error(404)
        elif path == "/private.pth":
            self.send_error(403)
        elif path == "/moved.pth":
            self.to("/x.pth")
        elif path == "/round.pth":
            self.to("/round.pth")
        elif path == "/out.pth":
            self.to("file:///etc/hostname")
        elif path == "/other.pth":
            self.to("ftp://127.0.0.1/x.pth")
        elif path == "/page.pth":
            self.answer(b"anything", {"Content-Type": "text/html; charset=utf-8"})
        elif path == "/hidden-page.pth":
            self.answer(PAGE, {"Content-Type": "application/octet-stream"})
        elif path == "/huge.pth":
            self.answer(BODY, {}, length=1 << 60)
        elif path == "/nonsense.pth":
            self.answer(BODY, {}, length="many")
        elif path == "/empty.pth":
            self.answer(b"", {})
        elif path == "/cut.pth":
            self.answer(BODY, {}, length=len(BODY) * 2)
        else:
            self.answer(BODY, {})

    def to(self, place):
        self.send_response(302)
        self.send_header("Location", place)
        self.end_headers()

    def answer(self, body, headers, length=None):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "featstore" / "downloads"


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def files(cache):
    return sorted(path.name for path in cache.rglob("*") if path.is_file()) if cache.exists() else []


def test_a_file_is_downloaded_once_and_its_hash_is_recorded(server, cache):
    seen = []
    path = fetched(f"{server.url}/x.pth", lambda *call: seen.append(call))
    assert path.name == "x.pth" and path.read_bytes() == BODY and path.is_relative_to(cache)
    assert seen[-1] == (len(BODY), len(BODY))
    assert fetched(f"{server.url}/x.pth#part") == path
    assert server.asked == ["/x.pth"]
    known = download_of(path)
    assert (known.url, known.sha256, known.path) == (f"{server.url}/x.pth", SHA256, path)
    assert files(cache) == ["x.pth", "x.pth.origin.json"]


def test_a_file_that_changed_or_lost_its_record_is_downloaded_again(server):
    path = fetched(f"{server.url}/x.pth")
    path.write_bytes(b"half")
    assert download_of(path) is None
    assert fetched(f"{server.url}/x.pth").read_bytes() == BODY
    path.with_name("x.pth.origin.json").write_text("{")
    assert fetched(f"{server.url}/x.pth").read_bytes() == BODY
    assert len(server.asked) == 3


def test_addresses_do_not_mix_whatever_their_files_are_called(server):
    paths = {
        fetched(f"{server.url}{place}") for place in ("/a/x.pth", "/b/x.pth", "/b/x.pth?v=2", "/", "/%2e%2e/..%2f")
    }
    assert len(paths) == 5
    assert {path.name for path in paths} == {"x.pth", "download"}


@pytest.mark.parametrize(
    "promise", [f"/x.pth#sha256={SHA256}", f"/x.pth#sha256={SHA256[:8].upper()}", f"/x-{SHA256[:8]}.pth"]
)
def test_the_promised_hash_is_checked(server, promise):
    assert promises_hash(f"{server.url}{promise}")
    assert fetched(f"{server.url}{promise}").read_bytes() == BODY


@pytest.mark.parametrize("promise", ["/x.pth#sha256=" + "ab" * 32, "/x-0123abcd.pth"])
def test_another_hash_is_refused_and_nothing_kept(server, cache, promise):
    with pytest.raises(
        DownloadError, match=f"sent bytes with the SHA-256 {SHA256[:16]}.* is promised; nothing was kept"
    ):
        fetched(f"{server.url}{promise}")
    assert files(cache) == []


def test_a_promise_is_checked_against_what_was_downloaded_without_one(server):
    path = fetched(f"{server.url}/x.pth")
    with pytest.raises(DownloadError, match="is promised"):
        fetched(f"{server.url}/x.pth#sha256=0123abcd")
    assert path.read_bytes() == BODY
    assert fetched(f"{server.url}/x.pth#sha256={SHA256}") == path and len(server.asked) == 2


def test_digits_alone_may_be_a_date_and_promise_nothing(server):
    assert fetched(f"{server.url}/pets-20240131.zip").read_bytes() == BODY


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ("missing.pth", "the server says 404 Not Found; check the address"),
        ("private.pth", "403 Forbidden; it wants a login or an agreement"),
        ("round.pth", "cannot be fetched: the server says 302"),
        ("out.pth", "file:///etc/hostname|address of file"),
        ("other.pth", "leads on to an address of ftp; expected https or http: if you trust it"),
        (
            "page.pth",
            r"is a web page, not a file \(the server calls it text/html\); give the address of the file itself",
        ),
        ("hidden-page.pth", r"is a web page, not a file \(it begins as one\)"),
        ("huge.pth", "is too large: 1,152,921,504,606,846,976 bytes or more, and the disk of .* has room for"),
        ("nonsense.pth", "cannot be fetched .the answer made no sense"),
        ("empty.pth", "sent nothing: the file is empty"),
        ("cut.pth", f"broke after {len(BODY)} of {2 * len(BODY)} bytes"),
    ],
)
def test_what_is_no_file_is_one_sentence_and_nothing_is_kept(server, cache, place, match):
    with pytest.raises(DownloadError, match=match) as caught:
        fetched(f"{server.url}/{place}")
    assert "\n" not in str(caught.value)
    assert files(cache) == []


def test_moved_files_are_followed_from_http_to_http_but_not_from_https(server):
    assert fetched(f"{server.url}/moved.pth").read_bytes() == BODY
    request = remote.urllib.request.Request("https://example.org/x.pth")
    with pytest.raises(DownloadError, match="leads on to an address of http; expected https:"):
        remote._Redirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/x.pth")


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("ftp://example.org/x.pth", "is an address of ftp; expected one that begins with https://"),
        ("s3://bucket/x.pth", "is an address of s3"),
        ("file:///etc/passwd", "is an address of file"),
        ("https:///x.pth", "lacks the name of a server"),
        ("https://example.org/a b.pth", "or holds a space"),
        ("https://example.org/x.pth#sha256=xyz", "promises 'xyz', which is no SHA-256"),
        ("https://[::1/x.pth", "is no address"),
        ("http://127.0.0.1:9/x.pth", "cannot be fetched .*refused"),
    ],
)
def test_what_is_no_address_to_download_from(url, match):
    with pytest.raises(DownloadError, match=match):
        fetched(url, timeout=1)
    assert issubclass(DownloadError, FeatstoreError) and issubclass(DownloadError, OSError)


def test_what_is_meant_as_an_address():
    assert is_url("https://example.org/x") and is_url("S3://b/x") and not is_url("a/b.zip") and not is_url("C://x")
