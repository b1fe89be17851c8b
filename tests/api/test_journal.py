"""The journal beside a running server: bounded, and still knowing what was open when it is needed."""
import os

from cloud import body, hello, post

BOUND = 20000
LONG = dict(stream=True, max_tokens=3000, ignore_eos=True)


def test_a_journal_that_was_full_many_times_knows_who_was_open(home):
    home.start("--journal-bytes", BOUND, "--step-us", 1000)
    client = home.client()
    with home.connect() as s:
        s.sendall(post(body(**LONG)))
        raw = b""
        for _ in range(40):
            client.chat.completions.create(**hello(max_tokens=2))
            raw += s.recv(65536)
        home.kill()
    files = [os.path.join(home.home, name) for name in ("journal", "journal.old")]
    assert all(os.path.getsize(path) <= BOUND for path in files)
    tokens = raw.count(b'"content":') - 1   # the first says who speaks
    assert tokens > 40
    home.start()
    home.check()
    assert [row["finish"] for row in home.usage()].count("error") == 1
    assert home.metrics()["tongyun_usage_unrecorded_total"] >= tokens


def test_a_run_is_replayed_over_two_files(home):
    home.start("--journal-bytes", BOUND)
    client = home.client()
    old = os.path.join(home.home, "journal.old")
    while not os.path.exists(old):
        client.chat.completions.create(**hello(max_tokens=5))
    client.chat.completions.create(**hello(max_tokens=5))
    assert home.stop() == 0
    assert home.last_words.startswith("replay same ")
