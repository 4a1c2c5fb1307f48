"""Downloads from a server in a thread: resumed, checked, and refused in one sentence."""

import gzip
import hashlib
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from optim.data import download as module
from optim.data.added import data_cards, open_registered_data
from optim.data.download import DOWNLOADS, Download, RemoteFile, download, fetch
from optim.errors import DataError

ROOT = Path(__file__).parents[3]
CONTENT = np.random.default_rng(0).bytes(100_000)


class Handler(BaseHTTPRequestHandler):
    """Serve files, and misbehave as asked."""

    def do_GET(self):
        server, name = self.server, self.path.rpartition("/")[2]
        asked = self.headers.get("Range", "")
        server.asked.append((name, asked))
        if name not in server.files:
            self.send_error(404)
            return
        content = server.files[name]
        start = 0
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            stated = start + server.shift
            self.send_header("Content-Range", f"bytes {stated}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = len(content) if server.cut is None else start + server.cut
        self.wfile.write(content[start:stop])
        server.cut = None  # only the first answer is cut

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    """A client that hangs up is part of the tests."""

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def server():
    """A server of files on this machine."""
    found = Server(("127.0.0.1", 0), Handler)
    found.files, found.asked, found.cut, found.ranges, found.shift = {}, [], None, True, 0
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def remote(server, name="a.bin", content=CONTENT, *, hosts=1):
    server.files.setdefault(name, content)
    urls = tuple(f"http://127.0.0.1:{server.server_port}/mirror{i}/{name}" for i in range(hosts))
    return RemoteFile(urls, hashlib.sha256(content).hexdigest(), len(content))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_file_is_fetched_once_and_checked(server, tmp_path):
    file, path, seen = remote(server), tmp_path / "deep" / "a.bin", []
    fetch(file, path, seen.append)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert seen == sorted(seen)
    fetch(file, path)
    assert server.asked == [("a.bin", "")]
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]


def test_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.cut = 30_000
    with pytest.raises(DataError, match=r"the connection ended after 30,000 of 100,000 bytes") as e:
        fetch(remote(server), tmp_path / "a.bin")
    assert "the next attempt goes on from there" in e.value.hint
    assert not (tmp_path / "a.bin").exists()
    fetch(remote(server), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.asked == [("a.bin", ""), ("a.bin", "bytes=30000-")]


def test_server_that_cannot_go_on_in_the_middle_begins_anew(server, tmp_path):
    server.cut = 30_000
    with pytest.raises(DataError):
        fetch(remote(server), tmp_path / "a.bin")
    server.ranges = False
    fetch(remote(server), tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_answer_from_another_place_begins_anew(server, tmp_path):
    server.cut = 30_000
    with pytest.raises(DataError):
        fetch(remote(server), tmp_path / "a.bin")
    server.shift = 5
    with pytest.raises(DataError, match="ended after 70,000 of 100,000"):
        fetch(remote(server), tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_other_content_is_deleted_and_the_next_server_asked(server, tmp_path):
    file = remote(server, hosts=2)
    server.files["a.bin"] = CONTENT[::-1]
    with pytest.raises(DataError, match=r"another checksum and was deleted; 127.*another checksum"):
        fetch(file, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 2


def test_second_server_helps_where_the_first_is_down(server, tmp_path):
    file = remote(server)
    down = RemoteFile((f"http://127.0.0.1:{free_port()}/a.bin", *file.urls), file.sha256, file.size)
    fetch(down, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_changed_file_of_that_name_is_replaced_only_by_the_right_one(server, tmp_path):
    file, path = remote(server), tmp_path / "a.bin"
    path.write_bytes(b"mine")
    server.files.clear()
    with pytest.raises(DataError, match="it answers 404"):
        fetch(file, path)
    assert path.read_bytes() == b"mine"
    server.files["a.bin"] = CONTENT
    fetch(file, path)
    assert path.read_bytes() == CONTENT


def test_more_than_was_expected_is_not_written(server, tmp_path):
    file = remote(server)
    server.files["a.bin"] = CONTENT * 40
    with pytest.raises(DataError, match="more than the 100,000 bytes that were expected"):
        fetch(file, tmp_path / "a.bin")
    assert sum(entry.stat().st_size for entry in tmp_path.iterdir()) == 0


def test_without_a_network_there_is_one_sentence(tmp_path):
    file = RemoteFile((f"http://127.0.0.1:{free_port()}/a.bin",), "0" * 64, 5)
    with pytest.raises(
        DataError, match=r"a\.bin could not be fetched \(127\.0\.0\.1.*: it cannot"
    ) as e:
        fetch(file, tmp_path / "a.bin")
    assert "open the file itself" in e.value.hint
    assert str(tmp_path) not in str(e.value)


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def test_data_that_were_fetched_are_found_by_name(server, own_cache, monkeypatch):
    files = {
        "train-images-idx3-ubyte.gz": idx(np.arange(6 * 9).reshape(6, 3, 3)),
        "train-labels-idx1-ubyte.gz": idx(np.arange(6) % 3),
        "t10k-images-idx3-ubyte.gz": idx(np.zeros((3, 3, 3))),
        "t10k-labels-idx1-ubyte.gz": idx(np.arange(3)),
    }
    remotes = tuple(remote(server, name, content) for name, content in files.items())
    small = Download("Small", "Made here.", remotes, {"class_names": ("a", "b", "c")})
    monkeypatch.setitem(module.DOWNLOADS, "mnist", small)
    seen = []
    card = download("mnist", progress=lambda share, what: seen.append(share))
    assert (card.name, card.title) == ("mnist", "Small")
    assert seen[-1] == 1.0
    data = open_registered_data("mnist")
    assert data.parts == {"train": 6, "test": 3}
    assert data.task.class_names == ("a", "b", "c")
    assert data_cards()["mnist"].listed
    download("mnist")
    assert len(server.asked) == 4


def test_unknown_data_are_refused_with_those_there_are():
    with pytest.raises(DataError, match="no data 'imagenet' to fetch") as caught:
        download("imagenet")
    assert "speech-commands" in caught.value.hint


@pytest.mark.parametrize("name", DOWNLOADS)
def test_what_can_be_fetched_is_described_in_full(name):
    wanted = DOWNLOADS[name]
    assert wanted.files
    for file in wanted.files:
        assert len(file.sha256) == 64
        assert set(file.sha256) <= set("0123456789abcdef")
        assert file.size > 1_000
        assert all(url.startswith(("https://", "http://")) for url in file.urls)
        assert len({url.rpartition("/")[2] for url in file.urls}) == 1


def test_importing_or_listing_opens_no_connection():
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "socket.create_connection = refuse\n"
        "sys.argv = ['optim', 'download']\n"
        "import optim.data.download\n"
        "from optim.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Fashion-MNIST" in done.stdout
    assert "a connection was opened" not in done.stderr
