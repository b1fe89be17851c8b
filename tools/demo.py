#!/usr/bin/env python3
"""tools/demo.py - what `make run` shows: one request through the public API, and what it cost.

Starts `tongyun serve` with the model inside the program on a free loopback port, for a demo tenant with
a key and a prepaid balance; everything lives in build/demo, which is made anew. Standard library only.
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TONGYUN = ROOT / "build" / "tongyun"
HOME = ROOT / "build" / "demo"
MODEL = "tongyun-poet"
PROMPT = "写一首五言绝句，题为春雨"
START_SECONDS = 30


def environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TONGYUN_")}
    return {**kept, "TONGYUN_HOME": str(HOME)}


def verb(*arguments):
    done = subprocess.run([str(TONGYUN), *arguments, "--json"], env=environment(),
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"tongyun {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def amount(nano):
    sign = "-" if nano < 0 else ""
    return f"{sign}{abs(nano) // 10**9}.{abs(nano) % 10**9:09d}"


def start_server():
    """The server and the port it chose; its log goes to build/demo/server.log."""
    log_path = HOME / "server.log"
    with open(log_path, "wb") as log:
        server = subprocess.Popen([str(TONGYUN), "serve", "--host", "127.0.0.1", "--port", "0"],
                                  env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(rb"listening on http://127\.0\.0\.1:(\d+)", log_path.read_bytes())
        if found:
            return server, int(found.group(1))
        time.sleep(0.02)
    sys.stderr.write(log_path.read_text(errors="replace"))
    if server.poll() is None:
        server.kill()
    sys.exit("the server did not start")


def ask(port, key):
    """Streams one answer to the terminal; gives its id, usage, time to first token and whole time."""
    body = {"model": MODEL, "stream": True, "stream_options": {"include_usage": True}, "seed": 7,
            "messages": [{"role": "user", "content": PROMPT}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    start = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body),
                       {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    if response.status != 200:
        sys.exit(f"HTTP {response.status}: {response.read().decode(errors='replace')}")
    first, usage = None, None
    for line in response:
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        chunk = json.loads(line[6:])
        if "error" in chunk:
            sys.exit(f"error: {chunk['error']['message']}")
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text = choice["delta"].get("content")
            if text:
                first = first or time.monotonic()
                print(text, end="", flush=True)
    print()
    return response.headers["x-request-id"], usage, (first or start) - start, time.monotonic() - start


def show_money(request_id, before, after, currency):
    print("\nledger")
    for transaction in verb("ledger", "list", "--request", request_id):
        for entry in transaction["entries"]:
            print(f"  {transaction['kind']:<8} {entry['account']:<24} {amount(entry['amount_nano']):>16}")
    print(f"\nbalance before  {amount(before):>16} {currency}")
    print(f"balance after   {amount(after):>16} {currency}")
    print(f"this request    {amount(before - after):>16} {currency}")


def curl_line(port, key):
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "写一首七言律诗，题为秋夜"}]},
                      ensure_ascii=False)
    return (f"curl -N http://127.0.0.1:{port}/v1/chat/completions -H 'Authorization: Bearer {key}'"
            f" -H 'Content-Type: application/json' -d '{body}'")


def show(port, key, before):
    print(f"\n> {PROMPT}\n")
    request_id, usage, first_s, whole_s = ask(port, key)
    decode_s = max(whole_s - first_s, 1e-9)
    print(f"\nusage           {usage['prompt_tokens']} prompt + {usage['completion_tokens']} completion tokens")
    print(f"first token     {first_s * 1000:.0f} ms")
    print(f"decode          {(usage['completion_tokens'] - 1) / decode_s:.0f} tokens/s")
    after = verb("tenant", "show", "demo")
    show_money(request_id, before, after["balance_nano"], after["currency"])
    print(f"\ntry it yourself, as long as the server runs:\n  {curl_line(port, key)}", flush=True)


def main():
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    before = verb("tenant", "create", "demo", "--balance", "10.00")["balance_nano"]
    key = verb("key", "create", "demo", "--name", "make-run")["key"]
    verb("price", "set", MODEL, "--input", "2.00", "--output", "8.00")
    server, port = start_server()
    try:
        show(port, key, before)
        if sys.stdout.isatty():
            print("\nCtrl-C ends the server.", flush=True)
            server.wait()
        else:
            print("\nThis is no terminal, so the server ends now.", flush=True)
    except KeyboardInterrupt:
        print()
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)


if __name__ == "__main__":
    main()
