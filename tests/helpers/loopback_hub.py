"""A small Hugging Face hub on loopback: enough of its protocol for the real clients, and faults on demand.

It serves repositories from memory: information and file trees (JSON), and files by HEAD and GET, whole or by range, each with the entity
tag that the hub gives it (SHA-256 for large files, git's hash for small ones). What is pushed comes in as it does there: a repository is
made, small files come within the commit, large ones before it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "1" * 40
TEXT = (".json", ".txt", ".md")
"""Kept in git; all else in large file storage, as on the hub."""


class LoopbackHub:
    """Repositories by (type, name): a dict of file names and contents. `with LoopbackHub() as hub:` serves them."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], dict[str, bytes]] = {}
        self.served: dict[tuple[str, str], dict[str, bytes]] = {}
        self.too_many: Counter[str] = Counter()
        """How often requests of a method for an address that ends so are answered 429: `hub.too_many["GET model.pt"] = 2`."""
        self.break_off: Counter[str] = Counter()
        """How often the GET of an address that ends so stops in the middle of the file, or after `stop_at` bytes of it."""
        self.stop_at: int | None = None
        self.may_write = True
        """Else whoever pushes is told that he may not."""
        self.stored: dict[str, bytes] = {}
        """Large files that were sent, by SHA-256."""
        self.made: list[dict[str, Any]] = []
        """What was asked for of each repository that was made."""
        self.closed = False
        self.requests: list[str] = []
        """Method, address and range of each request, in order."""

    def add(self, name: str, files: dict[str, bytes], kind: str = "model", served: dict[str, bytes] | None = None) -> None:
        """A repository; `served`: other contents for some files than the hashes and sizes say."""
        self.repos[kind, name] = files
        self.served[kind, name] = files | (served or {})

    def __enter__(self) -> LoopbackHub:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def close(self) -> None:
        """From now on nobody answers."""
        if not self.closed:
            self.closed = True
            self.server.shutdown()
            self.server.server_close()

    def __exit__(self, *_: Any) -> None:
        self.close()


def ask_it(monkeypatch: Any, url: str, folder: Path) -> None:
    """Have the hub's client ask this one, with a cache of its own, whatever the environment says."""
    import huggingface_hub
    from huggingface_hub import constants

    for name, value in {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HOME": str(folder),
        "HF_HUB_CACHE": str(folder / "hub"),
        "DOWNLOAD_CHUNK_SIZE": 10_000,
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value, raising=False)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", url)


def entity_tag(name: str, content: bytes) -> str:
    """The hash by which the hub names a file's content."""
    if name.endswith(TEXT):
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        if self.hub.closed:
            self.close_connection = True
            return self.connection.close()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(" ".join(filter(None, [self.command, path, self.headers.get("Range")])))
        if self._counted_down(self.hub.too_many, f"{self.command} {path}"):
            return self._send(429, b'{"error":"too many requests"}', {"Retry-After": "0"})
        if path in ("", "/"):
            return self._send(200, b"hub")
        if self._writes(path, body):
            return None
        if found := re.fullmatch(r"/api/(model|dataset)s/(.+?)(?:/(revision|tree|paths-info)/([^/]+)(/.*)?)?", path):
            return self._api(*found.groups(), body)
        if found := re.fullmatch(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)", path):
            return self._file("dataset" if found[1] else "model", found[2], found[4])
        return self._send(404, b'{"error":"not found"}')

    def _api(self, kind: str, name: str, what: str | None, revision: str | None, inside: str | None, body: bytes) -> None:
        files = self.hub.repos.get((kind, name))
        if files is None:
            return self._send(404, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        if what in ("tree", "paths-info"):
            if what == "paths-info":
                wanted = json.loads(body)["paths"]
                return self._json([self._row(path, files[path]) for path in wanted if path in files])
            start = inside.strip("/") + "/" if inside else ""
            below = {path: content for path, content in files.items() if path.startswith(start)}
            if start and not below:
                return self._send(404, b'{"error":"not found"}', {"X-Error-Code": "EntryNotFound"})
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            folders = {start + path[len(start) :].split("/")[0] for path in below if "/" in path[len(start) :]}
            rows = [self._row(path, content) for path, content in below.items() if deep or "/" not in path[len(start) :]]
            return self._json([{"type": "directory", "path": path, "oid": COMMIT, "size": 0} for path in sorted(folders)] + rows)
        siblings = [{"rfilename": path} for path in files]
        return self._json({"_id": "1", "id": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "siblings": siblings})

    def _writes(self, path: str, body: bytes) -> bool:
        """Answer a request of those that push; False where it is none."""
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            if not self.hub.may_write:
                self._send(403, b'{"error":"Forbidden"}', {"X-Error-Message": "you may not write here"})
                return True
            self.hub.made.append(asked)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            if ("model", name) not in self.hub.repos:
                self.hub.add(name, {})
            self._json({"url": f"{self.hub.url}/{name}"})
        elif re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            modes = {True: "regular", False: "lfs"}
            paths = [file["path"] for file in json.loads(body)["files"]]
            self._json({"files": [{"path": p, "uploadMode": modes[p.endswith(TEXT)], "shouldIgnore": False} for p in paths]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            sent = [{name: each[name] for name in ("oid", "size")} for each in json.loads(body)["objects"]]
            objects = [each | {"actions": {"upload": {"href": f"{self.hub.url}/put/{each['oid']}"}}} for each in sent]
            self._json({"transfer": "basic", "objects": objects})
        elif self.command == "PUT" and path.startswith("/put/"):
            assert hashlib.sha256(body).hexdigest() == path.rpartition("/")[2]
            self.hub.stored[path.rpartition("/")[2]] = body
            self._send(200, b"")
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            return False
        return True

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = dict(self.hub.repos["model", name])
        for kind, value in ((line["key"], line["value"]) for line in lines):
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
        self.hub.add(name, files)
        self._json({"success": True, "commitOid": COMMIT, "commitUrl": f"{self.hub.url}/{name}/commit/{COMMIT}", "hookOutput": ""})

    @staticmethod
    def _row(path: str, content: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        row: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git}
        if not path.endswith(TEXT):
            row["lfs"] = {"oid": entity_tag(path, content), "size": len(content), "pointerSize": 134}
        return row

    def _file(self, kind: str, name: str, path: str) -> None:
        files = self.hub.repos.get((kind, name))
        if files is None:
            return self._send(404, b"Repository not found", {"X-Error-Code": "RepoNotFound"})
        if path not in files:
            return self._send(404, b"Entry not found", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content, true = self.hub.served[kind, name][path], files[path]
        tag = entity_tag(path, true)
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if not path.endswith(TEXT):
            headers |= {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(len(true))}
        status, start, stop = 200, 0, len(content)
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, stop = int(wanted[1]), min(int(wanted[2] or len(content) - 1) + 1, len(content))
            if start >= len(content):
                return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            status, headers["Content-Range"] = 206, f"bytes {start}-{stop - 1}/{len(content)}"
        sent = None
        if self.command == "GET" and self._counted_down(self.hub.break_off, "/" + path):
            sent = (stop - start) // 2 if self.hub.stop_at is None else max(self.hub.stop_at - start, 0)
        self._send(status, content[start:stop], headers, sent)

    @staticmethod
    def _counted_down(counter: Counter[str], request: str) -> bool:
        """Does a fault apply to this request, `METHOD /path` or a path? Then it does so once less."""
        for fault in counter:
            method, _, end = fault.rpartition(" ")
            if counter[fault] > 0 and request.startswith(method) and request.endswith("/" + end):
                counter[fault] -= 1
                return True
        return False

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: int | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True
