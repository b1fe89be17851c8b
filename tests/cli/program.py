"""The real binary in a home of its own: one-shot, as a server, and at a terminal."""
import fcntl
import http.client
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.abspath(os.environ.get("TONGYUN_BUILD", os.path.join(ROOT, "build", "release")))
TONGYUN = os.path.join(BUILD, "src", "cmd", "tongyun")
GOLDEN = os.path.join(ROOT, "tests", "golden")
QWEN3 = os.path.join(GOLDEN, "checkpoints", "qwen3-f32")     # random weights: says anything, for as long as one likes
POET = "tongyun-poet"                                        # the model inside
NANO = 10**9
SECONDS_MAX = 60                                             # of anything that is waited for


def checkpoint(folder, source=QWEN3, **changed):
    """A copy of a checkpoint in folder; generation_config={...} are fields of its generation_config.json, None: the file
    is not there."""
    shutil.copytree(source, folder)
    for name, fields in changed.items():
        path = os.path.join(folder, name + ".json")
        document = {}
        if fields is None:
            os.unlink(path)
            continue
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**document, **fields}, file)
    return str(folder)


def store_add(program, name, type, source, model=""):
    """The files of a folder, or one file, as a model in the store; model: the file that is opened."""
    folder = os.path.join(program.home, "models", name, type)
    files = [os.path.basename(source)] if os.path.isfile(source) else sorted(os.listdir(source))
    source = os.path.dirname(source) if os.path.isfile(source) else source
    os.makedirs(folder)
    for file in files:
        shutil.copy(os.path.join(source, file), folder)
    with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as out:
        json.dump({"format": 1, "name": name, "type": type, "created": "2026-11-24T16:13:36Z", "model": model, "files": [
            {"path": file, "size": os.path.getsize(os.path.join(source, file))} for file in files]}, out)
    return folder


class Program:
    """One TONGYUN_HOME, and an environment in which nothing else of the user's is left."""

    def __init__(self, folder):
        self.home = os.path.join(str(folder), "home")
        self.env = {"TONGYUN_HOME": self.home, "HOME": str(folder), "PATH": "/usr/bin:/bin"}
        self.folder = str(folder)

    def run(self, *arguments, stdin="", env=(), binary=False, **options):
        if isinstance(stdin, str):
            stdin = stdin.encode()
        done = subprocess.run([TONGYUN, *map(str, arguments)], input=stdin, capture_output=True,
                              env={**self.env, **dict(env)}, cwd=self.folder, timeout=SECONDS_MAX, **options)
        if not binary:
            done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    def ok(self, *arguments, **options):
        """stdout of a run that succeeds."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def json(self, *arguments, **options):
        """The one document on stdout of a run that succeeds and has nothing else to say."""
        done = self.run(*arguments, "--json", **options)
        assert (done.returncode, done.stderr) == (0, ""), (arguments, done.stderr)
        return json.loads(done.stdout)

    def fails(self, *arguments, **options):
        """The one line on stderr of a run that fails: `tongyun: error: what`."""
        done = self.run(*arguments, **options)
        assert done.returncode == 1, (arguments, done.returncode, done.stdout, done.stderr)
        assert done.stderr.startswith("tongyun: error: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr[len("tongyun: error: "):-1]

    def wrong(self, verb, *arguments, **options):
        """What a run says that was called wrongly: `tongyun: VERB: what; see tongyun VERB --help`, exit 2."""
        done = self.run(*verb.split(), *arguments, **options)
        assert (done.returncode, done.stdout) == (2, ""), (verb, arguments, done.returncode, done.stdout, done.stderr)
        line, rest = done.stderr.split("\n", 1)
        assert rest == "", done.stderr
        assert line.startswith(f"tongyun: {verb}: ") and line.endswith(f"; see tongyun {verb} --help"), line
        return line[len(f"tongyun: {verb}: "):-len(f"; see tongyun {verb} --help")]

    def files(self):
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.home) for name in names]

    def serve(self, *arguments, **options):
        return Server(self, *arguments, **options)

    def chat(self, *arguments, **options):
        return Terminal(self, *arguments, **options)


class NotServing(AssertionError):
    """The server ended instead; code is its exit status, or minus a signal."""

    def __init__(self, code, log):
        super().__init__(f"it ended with {code}: {log}")
        self.code, self.log = code, log


class Server:
    """`tongyun serve`, from the line that says where it listens to SIGTERM; the executor without arithmetic unless it is
    asked for another."""

    def __init__(self, program, *arguments, env=(), executor="sim", **options):
        command = [TONGYUN, "serve", "--port", "0", "--executor", executor, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env={**program.env, **dict(env)}, cwd=program.folder,
                                        **options)
        self.log, self.port = "", None
        for line in self.process.stderr:
            self.log += line.decode()
            found = re.search(r"listening on http://([^ ]+):(\d+)$", line.decode().strip())
            if found:
                self.host, self.port = found.group(1), int(found.group(2))
                break
        if self.port is None:
            code = self.stop()
            raise NotServing(code, self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        code = self.stop()
        assert code == 0, self.log

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, rest = self.process.communicate(timeout=SECONDS_MAX)
            self.log += rest.decode()
        finally:
            self.process.kill()
        return self.process.returncode

    def request(self, method, path, key=None, **body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        document = json.loads(response.read())
        connection.close()
        return response, document

    def models(self, key=None):
        response, document = self.request("GET", "/v1/models", key)
        assert response.status == 200, document
        return [model["id"] for model in document["data"]]

    def ask(self, key=None, content="hello", max_tokens=20, **fields):
        """(status, x-request-id, the answer) of a request that is not streamed."""
        response, document = self.request("POST", "/v1/chat/completions", key, max_tokens=max_tokens,
                                          messages=[{"role": "user", "content": content}], **fields)
        return response.status, response.headers["x-request-id"], document


class Terminal:
    """The program at a pseudo terminal; what it prints is read as it comes, nothing waits for a time to pass."""

    PROMPT = "\n> "

    def __init__(self, program, *arguments, size=(24, 80), env=()):
        self.text = ""
        self.bytes = b""
        pid, self.fd = pty.fork()
        if pid == 0:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):    # as a terminal's program has them
                signal.signal(number, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            os.chdir(program.folder)
            os.execve(TONGYUN, [TONGYUN, *map(str, arguments)], {"TERM": "xterm", **program.env, **dict(env)})
        self.pid = pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def _more(self):
        """False at the end."""
        assert select.select([self.fd], [], [], SECONDS_MAX)[0], f"nothing came after {self.text!r}"
        try:
            part = os.read(self.fd, 65536)
        except OSError:     # the other end is closed
            part = b""
        self.bytes += part
        self.text = self.bytes.decode(errors="ignore").replace("\r\n", "\n")
        return part != b""

    def until(self, text):
        """Everything up to and with this text; it is taken."""
        while text not in self.text:
            assert self._more(), f"it ended without {text!r}: {self.text!r}"
        seen, rest = self.text.split(text, 1)
        self.text, self.bytes = rest, rest.encode()
        return seen + text

    def prompt(self):
        return self.until(self.PROMPT)

    def type(self, keys):
        left = keys.encode() if isinstance(keys, str) else keys
        while left:     # a terminal takes only so much that is not read yet; what it echoes must be read too
            readable, writable, _ = select.select([self.fd], [self.fd], [], SECONDS_MAX)
            if readable:
                self._more()
            if writable:
                left = left[os.write(self.fd, left[:256]):]

    def say(self, line):
        """What comes between a line typed in and the next prompt."""
        self.type(line + "\n")
        return self.prompt()

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def end(self):
        """The exit status when it has ended: a code, or minus a signal."""
        while self._more():
            pass
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)
