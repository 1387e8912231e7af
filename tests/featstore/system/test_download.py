import time

import pytest

from featstore.errors import WeightsError
from featstore.system.download import fetch
from tests.support.download_server import BODY, SHA256


@pytest.mark.parametrize("page", ["good", "moved", "unsized"])
def test_good_bytes_arrive_under_the_target(server, tmp_path, page):
    seen = []
    fetch(f"{server}/{page}", tmp_path / "new" / "w.pth", SHA256[:8], progress=lambda *call: seen.append(call))
    assert (tmp_path / "new" / "w.pth").read_bytes() == BODY
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["w.pth"]
    assert seen[-1] == (len(BODY), 0 if page == "unsized" else len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    ("page", "error", "match"),
    [
        ("missing", OSError, "404"),
        ("truncated", ConnectionError, f"broke after {len(BODY) // 2} of {len(BODY)} bytes"),
        ("silent", OSError, "timed out"),
        ("stalled", OSError, "timed out"),
        ("dripping", TimeoutError, "bytes came in"),
        ("nonsense", ConnectionError, "made no sense"),
    ],
)
def test_bad_server_leaves_the_target_as_it_was(server, tmp_path, page, error, match):
    (tmp_path / "w.pth").write_bytes(b"before")
    began = time.monotonic()
    with pytest.raises(error, match=match):
        fetch(f"{server}/{page}", tmp_path / "w.pth", SHA256[:8], timeout=0.3)
    assert time.monotonic() - began < 5
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"w.pth": b"before"}


def test_wrong_hash_is_refused(server, tmp_path):
    with pytest.raises(WeightsError, match=f"SHA-256 {SHA256[:16]}.*the name promises 00000000"):
        fetch(f"{server}/good", tmp_path / "w.pth", "00000000")
    assert not list(tmp_path.iterdir())


def test_no_server_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="refused"):
        fetch("http://127.0.0.1:9/w.pth", tmp_path / "w.pth", SHA256[:8], timeout=1)
    assert not list(tmp_path.iterdir())
