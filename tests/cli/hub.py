"""A hub to pull from, on loopback: the APIs of Hugging Face and ModelScope as far as a client sees them, a second server for
storage, and every way in which they may go wrong."""
import functools
import hashlib
import http.server
import json
import threading
import urllib.parse

LFS_BYTES = 1000     # files from here on are large ones, with a SHA-256


@functools.lru_cache(1000)
def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@functools.lru_cache(1000)
def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Server:
    """Answers in threads, until it is closed; ask(handler) does it."""

    def __init__(self, ask, context=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            disable_nagle_algorithm = True

            def do_GET(self):
                try:
                    ask(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):     # a client that left
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Hub:
    """files: {path: bytes} of the one repository; the rest are faults, which a test turns on."""

    def __init__(self, files, repository="Qwen/Small", context=None):
        self.repository, self.files = repository, dict(files)
        self.lock = threading.Lock()
        self.requests = []           # (server, path, headers, bytes sent)
        self.token = None            # what a request must bring, or 401
        self.gated = False           # 403 GatedRepo for files and tree
        self.revisions = {"main": 1}
        self.page = 1000             # entries of a page of the tree
        self.redirect = True         # large files lie in storage
        self.ranges = True
        self.cut = None              # every body of a file ends after so many bytes
        self.cuts = None             # and this often, or always
        self.served = {}             # path: other bytes than those listed
        self.served_once = {}
        self.faults = []             # (part of a path, status, headers), each once
        self.always = []             # the same, each time
        self.entries = None          # a function that changes the listed entries
        self.hold = None             # (path, bytes, event): a body waits there
        self.link = None             # a function that changes the address of the next page
        self.answer = None           # handler -> True when it has answered
        self.expire = 0              # so many signed addresses are refused
        self.hub = Server(self.on_hub, context)
        self.storage = Server(self.on_storage)
        self.url = self.hub.url

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hub.close()
        self.storage.close()

    def commit(self):
        """Of the files as they are now."""
        return hashlib.sha1(repr(sorted((path, sha256(data)) for path, data in self.files.items())).encode()).hexdigest()

    def paths(self, server=None):
        return [path for name, path, _, _ in self.requests if server in (None, name)]

    def sent(self):
        return sum(sent[0] for _, _, _, sent in self.requests)

    # ---- answers

    def send(self, handler, status, body=b"", headers=(), sent=None):
        handler.send_response(status)
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        if "Content-Length" not in dict(headers):
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def send_json(self, handler, document, headers=()):
        self.send(handler, 200, json.dumps(document).encode(), {"Content-Type": "application/json", **dict(headers)})

    def note(self, server, handler):
        sent = [0]
        with self.lock:
            self.requests.append((server, handler.path, dict(handler.headers), sent))
        return sent

    def fault(self, handler):
        with self.lock:
            for fault in self.faults:
                if fault[0] in handler.path:
                    self.faults.remove(fault)
                    break
            else:
                fault = next((fault for fault in self.always if fault[0] in handler.path), None)
        if fault:
            self.send(handler, fault[1], b"no", fault[2])
        return fault is not None

    def send_file(self, handler, path, sent, headers=()):
        with self.lock:
            data = self.served_once.pop(path, None) or self.served.get(path, self.files[path])
        asked, status, at = handler.headers.get("Range"), 200, 0
        headers = {"Content-Length": str(len(data)), **dict(headers)}
        if asked and self.ranges:
            first, last = asked.removeprefix("bytes=").split("-")
            at, end = int(first), min(int(last) + 1 if last else len(data), len(data))
            if at >= len(data):
                self.send(handler, 416, headers={"Content-Range": f"bytes */{len(data)}"})
                return
            headers |= {"Content-Range": f"bytes {at}-{end - 1}/{len(data)}", "Content-Length": str(end - at)}
            data, status = data[at:end], 206
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        self.send_body(handler, path, data, at, sent)

    def send_body(self, handler, path, data, at, sent):
        cut = None
        with self.lock:
            if self.cut is not None and len(data) > self.cut and self.cuts != 0:
                cut = self.cut
                self.cuts = self.cuts - 1 if self.cuts else self.cuts
        whole, data = len(data), data[:cut]
        for i in range(0, len(data), 65536):
            piece = data[i:i + 65536]
            if self.hold and self.hold[0] == path and at + i >= self.hold[1]:
                self.hold[2].wait(60)
            handler.wfile.write(piece)
            sent[0] += len(piece)
        if len(data) < whole:
            handler.close_connection = True

    # ---- the hub

    def on_hub(self, handler):
        sent = self.note("hub", handler)
        if (self.answer and self.answer(handler)) or self.fault(handler):
            return
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            self.send(handler, 401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        # through a proxy the whole address comes
        url = urllib.parse.urlsplit(handler.path)
        parts = urllib.parse.unquote(url.path).strip("/").split("/")
        query = dict(urllib.parse.parse_qsl(url.query))
        if parts[:2] == ["api", "models"]:
            self.on_api(handler, "/".join(parts[2:4]), parts[4:], query)
        elif parts[:3] == ["api", "v1", "models"]:
            self.on_modelscope(handler, "/".join(parts[3:5]), parts[5:], query)
        else:
            self.on_resolve(handler, parts[1:] if parts[0] == "models" else parts, url.path, sent)

    def on_api(self, handler, repository, rest, query):
        if repository != self.repository:
            self.send(handler, 404, headers={"X-Error-Code": "RepoNotFound"})
        elif self.gated:
            self.send(handler, 403, headers={"X-Error-Code": "GatedRepo"})
        elif rest[0] == "revision" and "/".join(rest[1:]) in {**self.revisions, self.commit(): 1}:
            self.send_json(handler, {"id": repository, "sha": self.commit(), "cardData": {"license": "apache-2.0"}})
        elif rest[0] == "tree" and rest[1] == self.commit():
            self.on_tree(handler, query)
        else:
            self.send(handler, 404, headers={"X-Error-Code": "RevisionNotFound"})

    def listed(self):
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "images"}]
        for path, data in self.files.items():
            entry = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": path}
            if len(data) >= LFS_BYTES:
                entry |= {"oid": "1" * 40, "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 134}}
            entries.append(entry)
        return self.entries(entries) if self.entries else entries

    def on_tree(self, handler, query):
        entries, at = self.listed(), int(query.get("cursor", 0))
        headers = {}
        if at + self.page < len(entries):
            path = handler.path.split("?")[0]
            target = f"{self.url}{path}?recursive=true&cursor={at + self.page}"
            headers["Link"] = f'<{self.link(target) if self.link else target}>; rel="next"'
        self.send_json(handler, entries[at:at + self.page], headers)

    def on_resolve(self, handler, parts, path, sent):
        repository, rest = "/".join(parts[:2]), "/".join(parts[4:])
        if repository != self.repository or parts[2] != "resolve" or parts[3] not in (self.commit(), "master", "v1"):
            self.send(handler, 404, headers={"X-Error-Code": "RevisionNotFound"})
        elif rest not in self.files:
            self.send(handler, 404, headers={"X-Error-Code": "EntryNotFound"})
        elif self.redirect and len(self.files[rest]) >= LFS_BYTES:
            self.send(handler, 302, headers={
                "Location": f"{self.storage.url}/{urllib.parse.quote(rest)}?Signature=secret{len(self.requests)}",
                "X-Repo-Commit": self.commit(), "X-Linked-Etag": f'"{sha256(self.files[rest])}"',
                "X-Linked-Size": str(len(self.files[rest]))})
        else:
            self.send_file(handler, rest, sent, {"X-Repo-Commit": self.commit(), "ETag": f'"{git_sha1(self.files[rest])}"'})

    def on_storage(self, handler):
        sent = self.note("storage", handler)
        if self.fault(handler):
            return
        with self.lock:
            expired = self.expire > 0
            self.expire -= expired
        if expired:
            self.send(handler, 403, b"<Error>expired</Error>")
            return
        self.send_file(handler, urllib.parse.unquote(urllib.parse.urlsplit(handler.path).path).lstrip("/"), sent)

    # ---- ModelScope

    def on_modelscope(self, handler, repository, rest, query):
        if repository != self.repository or query["Revision"] not in ("master", "v1"):
            self.send(handler, 404, json.dumps({"Code": 10010205001, "Message": "not found"}).encode())
            return
        files = [{"Type": "tree", "Path": "images", "Name": "images", "Size": 0, "Sha256": ""}]
        files += [{"Type": "blob", "Path": path, "Name": path.split("/")[-1], "Size": len(data), "Sha256": sha256(data),
                   "IsLFS": len(data) >= LFS_BYTES, "Revision": "2" * 40} for path, data in self.files.items()]
        self.send_json(handler, {"Code": 200, "Success": True, "Message": "success", "Data": {"Files": files}})
