"""A hub on this machine: folders served under the addresses that `huggingface_hub` asks for, one revision each.

Only what a download needs: the references of a repository, the files of a revision, and the files themselves with the
headers that the client checks (commit, ETag, length).
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = "tiny/neox"


def commit_of(revision: str) -> str:
    return hashlib.sha1(revision.encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    root: Path
    served: list[str]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0].strip("/")
        revisions = {folder.name: folder for folder in self.root.iterdir()}
        revisions |= {commit_of(name): folder for name, folder in revisions.items()}
        if path == f"api/models/{MODEL}/refs":
            branches = [
                {"name": f.name, "ref": f"refs/heads/{f.name}", "targetCommit": commit_of(f.name)}
                for f in self.root.iterdir()
            ]
            return self._json({"branches": branches, "tags": [], "converts": []})
        part, _, rest = path.removeprefix(f"{MODEL}/resolve/").partition("/")
        if path.startswith(f"{MODEL}/resolve/") and part in revisions:
            file = revisions[part] / rest
            if file.is_file():
                self.served += [path] if body else []
                return self._file(file, commit_of(revisions[part].name), body)
            return self._missing("EntryNotFound", commit_of(revisions[part].name))
        if path.startswith(MODEL):
            return self._missing("RevisionNotFound")
        return self._missing("RepoNotFound")

    def _json(self, content: object) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _missing(self, code: str, commit: str | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": f"{code} here"}
        self._send(404, headers | ({"X-Repo-Commit": commit} if commit else {}), b"")

    def _file(self, file: Path, commit: str, body: bool) -> None:
        content = file.read_bytes()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        self._send(200, headers, content, body)

    def _send(self, status: int, headers: dict[str, str], content: bytes, body: bool = True) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the subfolders of `root` as revisions; gives the address and the files that were fetched."""
    served: list[str] = []
    handler = type("Handler", (_Handler,), {"root": root, "served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
