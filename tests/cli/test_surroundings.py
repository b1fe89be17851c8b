"""What a caller may do to the program before it starts: close its descriptors, limit its files and memory, ignore signals."""
import functools
import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from program import SECONDS_MAX, TONGYUN, NotServing

MIB = 1 << 20


def limit(**limits):
    """For preexec_fn: limit(AS=bytes)."""
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def until_it_listens(server, program):
    """On its socket in the home: there is no log to look at."""
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as admin:
            if admin.connect_ex(os.path.join(program.home, "admin.sock")) == 0:
                return
        time.sleep(0.01)
    raise AssertionError(f"it does not listen: {server.poll()}")


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_the_log_of_a_server_with_closed_descriptors_is_in_no_file(program, closed):
    command = f'exec "$0" serve --executor sim --port 0 {closed}'
    server = subprocess.Popen(["/bin/sh", "-c", command, TONGYUN], env=program.env, stdin=subprocess.DEVNULL)
    try:
        until_it_listens(server, program)
        server.send_signal(signal.SIGTERM)
        assert server.wait(SECONDS_MAX) == 0
    finally:
        server.kill()
    for path in program.files():
        with open(path, "rb") as file:
            assert b"SIGTERM" not in file.read(), path


def test_an_answer_to_a_closed_descriptor_is_an_error(program):
    done = subprocess.run(["/bin/sh", "-c", 'exec "$0" --version 1>&-', TONGYUN], env=program.env,
                          stderr=subprocess.PIPE, timeout=SECONDS_MAX)
    assert (done.returncode, done.stderr) == (1, b"tongyun: error: standard output: Bad file descriptor\n")


def test_a_file_that_may_not_grow_is_an_error_that_is_said(program):
    said = program.fails("tenant", "create", "lab", preexec_fn=functools.partial(limit, FSIZE=20 << 10))
    assert program.home in said
    program.ok("tenant", "create", "lab")


def test_a_server_without_memory_for_its_threads_does_not_start(program):
    """Whatever it may have: it ends with an error before it listens, or does the work of a long body."""
    refused = []
    for most in range(256, 4096, 64):
        limits = functools.partial(limit, AS=most * MIB, STACK=64 * MIB)
        try:
            with program.serve(preexec_fn=limits) as server:
                server.ask(content="long " * 20000)
                break
        except NotServing as ended:
            assert ended.code == 1, (most, ended.log)
            refused.append(ended.log)
    else:
        raise AssertionError(f"it never served: {refused}")
    assert any("thread ty-work: " in log for log in refused), refused


def test_a_server_under_nohup_stays_when_the_terminal_goes(program):
    with program.serve(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.ask()[0] == 200
    assert "SIGHUP" not in server.log and "SIGTERM" in server.log
