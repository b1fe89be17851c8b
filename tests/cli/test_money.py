"""Tenants, keys, prices, usage and ledger: their whole life without a server, then with one, then with a thief."""
import contextlib
import fcntl
import os
import re
import shutil
import socket
import sqlite3
import threading

import pytest

from program import NANO, POET, Program

TENANT = {"name", "currency", "balance_nano", "held_nano", "credit_nano", "requests_per_min", "tokens_per_min"}
KEY = {"id", "tenant", "prefix", "key"}
KEY_ROW = {"id", "tenant", "name", "prefix", "revoked"}
PRICE = {"model", "version", "from_ns", "input_nano", "cached_nano", "output_nano"}
USAGE = {"request_id", "tenant", "key_id", "model", "at_ns", "input", "cached_input", "output", "reasoning", "finish",
         "amount_nano"}
TRANSACTION = {"id", "at_ns", "kind", "request_id", "tenant", "entries"}


def tenant(name, balance=0, credit=0, held=0, requests=0, tokens=0):
    return {"name": name, "currency": "CNY", "balance_nano": balance, "held_nano": held, "credit_nano": credit,
            "requests_per_min": requests, "tokens_per_min": tokens}


def names(program):
    rows = program.json("tenant", "list")
    assert all(set(row) == TENANT for row in rows)
    return sorted(row["name"] for row in rows)


# ---- without a server


def test_a_tenant_is_made_topped_up_and_shown(program):
    assert names(program) == ["local"]
    assert program.json("tenant", "create", "lab", "--balance", "10.00") == tenant("lab", 10 * NANO)
    assert program.json("tenant", "create", "a-1", "--credit", "0.5") == tenant("a-1", 0, NANO // 2)
    assert program.json("tenant", "topup", "lab", "0.000000001") == tenant("lab", 10 * NANO + 1)
    assert program.json("tenant", "show", "lab") == tenant("lab", 10 * NANO + 1)
    assert names(program) == ["a-1", "lab", "local"]
    assert program.json("tenant", "list")[1] == program.json("tenant", "show", "lab")
    assert "10.000000001" in program.ok("tenant", "show", "lab") and "CNY" in program.ok("tenant", "list")
    program.ok("ledger", "check")


def test_credit_and_limits_are_changed_one_by_one(program):
    program.ok("tenant", "create", "lab", "--credit", "1.00")
    assert program.json("tenant", "set", "lab", "--requests-per-min", 60) == tenant("lab", 0, NANO, requests=60)
    assert program.json("tenant", "set", "lab", "--tokens-per-min", 5000) == tenant("lab", 0, NANO, 0, 60, 5000)
    assert program.json("tenant", "set", "lab", "--credit", "0") == tenant("lab", requests=60, tokens=5000)
    assert "at most 60 requests/min  at most 5000 tokens/min" in program.ok("tenant", "show", "lab")
    assert program.json("tenant", "set", "lab", "--requests-per-min", 0) == tenant("lab", tokens=5000)
    assert program.json("tenant", "show", "lab") == tenant("lab", tokens=5000)
    assert "nothing to change" in program.wrong("tenant set", "lab")
    assert "no such tenant" in program.fails("tenant", "set", "nobody", "--credit", "1")
    assert "unlimited" in program.ok("tenant", "show", "local")


def test_who_asks_more_often_than_the_limit_is_told_when_to_come_back(program):
    program.ok("tenant", "create", "lab", "--balance", "1.00")
    key = program.json("key", "create", "lab")["key"]
    with program.serve() as server:
        program.ok("tenant", "set", "lab", "--requests-per-min", 2)     # through the running server
        assert [server.ask(key, max_tokens=1)[0] for _ in range(2)] == [200, 200]
        response, answer = server.request("POST", "/v1/chat/completions", key, max_tokens=1,
                                          messages=[{"role": "user", "content": "hello"}])
        assert (response.status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 1 <= int(response.headers["retry-after"]) <= 30
        program.ok("tenant", "set", "lab", "--requests-per-min", 0)
        assert server.ask(key, max_tokens=1)[0] == 200


def test_amounts_reach_their_last_digit_and_no_further(program):
    most = "999999999.999999999"
    assert program.json("tenant", "create", "rich", "--balance", most)["balance_nano"] == 10**18 - 1
    assert most in program.ok("tenant", "show", "rich")
    for amount in ("1000000000", "0.0000000001", "1e3", "-1", "+1", ".5", "5.", "", " 1", "1,0", "٣"):
        assert "is not an amount" in program.wrong("tenant topup", "rich", "--", amount)
    assert "must be more than 0" in program.wrong("tenant topup", "rich", "0.00")
    assert program.json("tenant", "show", "rich")["balance_nano"] == 10**18 - 1


@pytest.mark.parametrize("name", ["", "A", "a_b", "a b", "ä", "a" * 65, "a/b"])
def test_a_name_that_is_none_is_refused(program, name):
    assert "must be" in program.fails("tenant", "create", name)
    assert names(program) == ["local"]


def test_refusals_name_what_they_are_about(program):
    program.ok("tenant", "create", "a" * 64)
    assert program.fails("tenant", "create", "a" * 64) == f"'{'a' * 64}': it exists already"
    assert program.fails("tenant", "show", "nobody") == "'nobody': there is no such tenant"
    assert program.fails("tenant", "topup", "nobody", "1") == "'nobody': there is no such tenant"
    assert program.fails("key", "create", "nobody", "--name", "x") == "'nobody': there is no such tenant"
    assert program.fails("key", "revoke", "7") == "key 7: there is no such key"
    assert "request: must be an x-request-id" in program.fails("usage", "list", "--request", "x")


def test_a_key_is_shown_once_and_kept_nowhere(program):
    program.ok("tenant", "create", "lab")
    made = program.json("key", "create", "lab", "--name", "for tests")
    assert set(made) == KEY and made["tenant"] == "lab" and re.fullmatch(r"sk-[0-9A-Za-z_-]{20,}", made["key"])
    assert made["key"].startswith(made["prefix"])
    done = program.run("key", "create", "lab")
    assert re.fullmatch(r"sk-\S+\n", done.stdout) and "not shown again" in done.stderr      # KEY=$(tongyun key create lab)
    rows = program.json("key", "list")
    assert [set(row) for row in rows] == [KEY_ROW] * 2
    assert [row["name"] for row in rows] == ["for tests", ""] and not any(row["revoked"] for row in rows)
    for path in program.files():
        with open(path, "rb") as file:
            assert made["key"].encode() not in file.read(), path
    assert program.json("key", "revoke", made["id"]) == {"id": made["id"]}
    program.ok("key", "revoke", made["id"])     # again changes nothing
    assert [row["revoked"] for row in program.json("key", "list")] == [True, False]
    assert "revoked" in program.ok("key", "list")


def test_a_price_is_a_new_version_and_cached_costs_as_input_unless_said(program):
    first = program.json("price", "set", "m", "--input", "2.00", "--output", "8.00")
    assert first == [{**first[0], "model": "m", "input_nano": 2 * NANO, "cached_nano": 2 * NANO, "output_nano": 8 * NANO}]
    second, = program.json("price", "set", "m", "--input", "2", "--output", "8", "--cached", "0.25")
    assert second["version"] > first[0]["version"] and second["from_ns"] >= first[0]["from_ns"]
    assert second["cached_nano"] == NANO // 4
    rows = program.json("price", "list")
    assert rows == [first[0], second] and all(set(row) == PRICE for row in rows)
    assert program.json("price", "set", "m", "--input", "1000000", "--output", "0")[0]["input_nano"] == 10**15
    assert "at most 1000000" in program.wrong("price set", "m", "--input", "1000000.000000001", "--output", "0")
    assert "8.000000000" in program.ok("price", "list")


def test_the_currency_is_said_at_the_first_start_and_stays(program):
    with program.serve("--currency", "EUR"):
        pass
    assert program.json("tenant", "create", "lab")["currency"] == "EUR"
    assert "cannot become USD" in program.fails("serve", "--port", 0, "--currency", "USD")


def test_a_verb_that_comes_first_may_say_the_currency(program):
    euro = {"TONGYUN_CURRENCY": "EUR"}
    assert program.json("tenant", "create", "lab", env=euro)["currency"] == "EUR"
    assert program.json("tenant", "show", "lab")["currency"] == "EUR"
    with program.serve("--currency", "EUR"):
        assert program.json("tenant", "show", "lab")["currency"] == "EUR"
    assert "cannot become USD" in program.fails("tenant", "list", env={"TONGYUN_CURRENCY": "USD"})


def test_the_tenant_of_who_has_no_key_is_not_limited_and_the_error_says_so(program):
    with program.serve():
        for limit in ("--requests-per-min", "--tokens-per-min", "--credit"):
            assert "never limited" in program.fails("tenant", "set", "local", limit, 5)


def test_the_start_tells_which_model_costs_nothing(program):
    free = f"model {POET} has no price: it costs nothing"
    with program.serve() as server:
        pass
    assert free in server.log
    program.ok("price", "set", POET, "--input", "2.00", "--output", "8.00")
    with program.serve() as server:
        pass
    assert free not in server.log


def test_an_api_key_that_was_revoked_does_not_start_a_server(program):
    with program.serve("--api-key", "one") as server:
        assert server.models("one")
    program.ok("key", "revoke", program.json("key", "list")[0]["id"])
    assert "was revoked" in program.fails("serve", "--port", 0, "--api-key", "one")


# ---- with a server


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A home where two tenants and `local` have used a server; with the answers they got. Nobody changes it."""
    program = Program(tmp_path_factory.mktemp("used"))
    program.ok("price", "set", POET, "--input", "2.00", "--output", "8.00")
    with program.serve() as server:
        asked = [("local", *server.ask())]
        keys = {}
        for name in ("lab", "ink"):
            program.ok("tenant", "create", name, "--balance", "10.00")
            keys[name] = program.json("key", "create", name)["key"]
            asked += [(name, *server.ask(keys[name], max_tokens=n)) for n in (5, 9)]
    program.asked = [(name, request_id, answer["usage"]) for name, status, request_id, answer in asked if status == 200]
    assert len(program.asked) == 5
    return program


def test_usage_is_what_the_answers_said_and_costs_what_the_price_says(used):
    rows = {row["request_id"]: row for row in used.json("usage", "list")}
    assert len(rows) == 5 and all(set(row) == USAGE for row in rows.values())
    for name, request_id, usage in used.asked:
        row = rows[request_id]
        assert (row["tenant"], row["model"], row["finish"]) == (name, POET, row["finish"])
        assert (row["input"], row["output"]) == (usage["prompt_tokens"], usage["completion_tokens"])
        assert row["amount_nano"] == 2000 * row["input"] + 8000 * row["output"]
        assert (row["key_id"] is None) == (name == "local")
    text = used.ok("usage", "list")
    assert all(request_id in text for _, request_id, _ in used.asked)


def test_usage_and_ledger_have_the_same_filters(used):
    name, request_id, _ = used.asked[-1]
    for verb, keys, per_request in (("usage", USAGE, 1), ("ledger", TRANSACTION, 2)):
        everything = used.json(verb, "list")
        assert all(set(row) == keys for row in everything)
        mine = used.json(verb, "list", "--tenant", name)
        assert mine == [row for row in everything if row["tenant"] == name] and mine
        one = used.json(verb, "list", "--request", request_id)
        assert one == [row for row in everything if row["request_id"] == request_id] and len(one) >= per_request
        assert used.json(verb, "list", "--request", request_id, "--tenant", name) == one
        assert used.json(verb, "list", "--request", request_id, "--tenant", "local") == []
        assert used.json(verb, "list", "--tenant", "nobody") == []
        assert used.json(verb, "list", "--request", "req_" + "0" * 32) == []


def test_every_transaction_adds_up_to_0_and_the_balance_to_what_was_paid(used):
    spent = {}
    for row in used.json("ledger", "list"):
        assert row["kind"] in ("topup", "hold", "settle", "release", "refund", "adjust")
        assert sum(entry["amount_nano"] for entry in row["entries"]) == 0
        assert all(set(entry) == {"account", "amount_nano"} for entry in row["entries"])
    for row in used.json("usage", "list"):
        spent[row["tenant"]] = spent.get(row["tenant"], 0) + row["amount_nano"]
    for name in ("lab", "ink"):
        assert used.json("tenant", "show", name) == tenant(name, 10 * NANO - spent[name])
    assert used.json("ledger", "check") == {"ok": True}
    assert used.ok("ledger", "check").startswith("the ledger holds")


def test_the_verbs_work_on_a_running_server_as_without_one(program):
    program.ok("tenant", "create", "lab", "--balance", "1")
    with program.serve() as server:
        made = program.json("key", "create", "lab", "--name", "x")
        assert set(made) == KEY
        assert server.models(made["key"]) == [POET]
        assert server.ask()[0] == 401 and server.ask("sk-wrong")[0] == 401
        before, _ = program.json("price", "list"), program.json("price", "set", POET, "--input", "1", "--output", "1")
        assert before == [] and len(program.json("price", "list")) == 1
        status, request_id, answer = server.ask(made["key"])
        assert status == 200
        row, = program.json("usage", "list", "--request", request_id)
        assert row["amount_nano"] == 1000 * answer["usage"]["total_tokens"] and row["key_id"] == made["id"]
        assert program.json("tenant", "show", "lab") == tenant("lab", NANO - row["amount_nano"])
        assert program.json("tenant", "topup", "lab", "1") == tenant("lab", 2 * NANO - row["amount_nano"])
        assert program.fails("tenant", "create", "lab") == "'lab': it exists already"
        assert program.fails("tenant", "show", "nobody") == "'nobody': there is no such tenant"
        assert program.json("ledger", "check") == {"ok": True}
        held = program.json("ledger", "list", "--request", request_id)
        assert {r["kind"] for r in held} >= {"hold", "settle"}
        after = program.json("usage", "list")
    assert program.json("usage", "list") == after     # the database says the same
    assert program.json("ledger", "check") == {"ok": True}


def test_a_revoked_key_fails_on_the_next_request_and_the_door_stays_shut(program):
    program.ok("tenant", "create", "lab", "--balance", "1")
    with program.serve() as server:
        assert server.ask()[0] == 200       # nobody has ever made a key
        made = program.json("key", "create", "lab")
        assert server.ask(made["key"])[0] == 200
        program.ok("key", "revoke", made["id"])
        status, _, answer = server.ask(made["key"])
        assert status == 401 and answer["error"]["code"] == "invalid_api_key"
        assert server.ask()[0] == 401
    assert len(program.json("usage", "list")) == 2


def test_money_that_is_not_there_is_refused_and_comes_with_a_topup(program):
    program.ok("price", "set", POET, "--input", "1000000", "--output", "1000000")
    program.ok("tenant", "create", "poor", "--balance", "1")
    with program.serve() as server:
        key = program.json("key", "create", "poor")["key"]
        status, _, answer = server.ask(key)
        assert status == 429 and answer["error"]["code"] == "insufficient_quota"
        program.ok("tenant", "topup", "poor", "1000")
        assert server.ask(key)[0] == 200


def test_a_second_server_and_a_second_home_keep_apart(program, tmp_path_factory):
    with program.serve():
        assert "is in use by tongyun serve" in program.fails("serve", "--port", 0, "--executor", "sim")
        other = Program(tmp_path_factory.mktemp("other"))
        other.ok("tenant", "create", "alone")
        assert names(program) == ["local"]


def test_listening_beyond_loopback_without_a_key_is_refused(program):
    arguments = ["serve", "--port", 0, "--executor", "sim", "--host", "0.0.0.0"]
    assert "--allow-anonymous" in program.fails(*arguments)
    with program.serve("--host", "0.0.0.0", "--api-key", "sk-mine") as server:
        assert server.ask()[0] == 401 and server.ask("sk-mine")[0] == 200
    assert program.json("usage", "list")[0]["tenant"] == "local"


def test_an_address_that_is_not_this_machines_is_not_listened_on(program):
    said = program.fails("serve", "--port", 0, "--executor", "sim", "--host", "192.0.2.1", "--allow-anonymous")
    assert said == "cannot listen on 192.0.2.1 port 0: address not available"


class Impostor:
    """Holds the home as a server would, and answers every command with the same bytes."""

    def __init__(self, program, body):
        os.makedirs(program.home, 0o700)
        self.lock = os.open(program.home, os.O_RDONLY)      # the folder itself is what a server locks
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.join(program.home, "admin.sock"))
        self.socket.listen()
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                if connection.recv(65536):
                    connection.sendall(self.answer)
                connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        os.close(self.lock)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_row_that_is_none_is_an_error_and_not_a_crash(program, options):
    with Impostor(program, b'{"name":"a"}\nno row\n{"name":"b"}\n'):
        assert program.fails("tenant", "list", *options) == "the server's list has a row that is not JSON"
        assert "the server's answer: line 2" in program.fails("tenant", "show", "a", *options)


# ---- with a thief


REQUEST = r"req_[0-9a-f]{32}: "
TRICKS = {      # what was done, and the first contradiction it makes
    "an entry": (
        "UPDATE entry SET amount_nano = amount_nano + 1 WHERE transaction_id = (SELECT max(id) FROM ledger)",
        "settle:" + REQUEST + "does not balance"),
    "an amount that was used": (
        "UPDATE usage SET amount_nano = amount_nano - 1 WHERE request = :request",
        REQUEST + "its amount is not its tokens times their price"),
    "tokens that were used": (
        "UPDATE usage SET output = output + 1 WHERE request = :request",
        REQUEST + "its amount is not its tokens times their price"),
    "an old price": (
        "UPDATE price SET output_nano = output_nano - 1000000", REQUEST + "its amount is not its tokens times their price"),
    "a usage row that is gone": (
        "DELETE FROM usage WHERE request = :request", REQUEST + "is over and has no usage row"),
    "a usage row of nobody": (
        "UPDATE usage SET tenant_id = 99 WHERE request = :request", "a row refers to one that is not there: usage"),
    "a usage row too many": (
        "INSERT INTO usage SELECT 'req_' || printf('%032d', 0), tenant_id, key_id, model, price_version, at_ns, input,"
        " cached_input, output, reasoning, finish, amount_nano FROM usage WHERE request = :request",
        REQUEST + "has a usage row and was neither settled nor released"),
    "a finish that is none": (
        "UPDATE usage SET finish = 'nonsense' WHERE request = :request", "usage, row [0-9]+: bad finish"),
    "a settle that is gone": (
        "DELETE FROM entry WHERE transaction_id = (SELECT id FROM ledger WHERE request = :request AND kind = 'settle'); "
        "DELETE FROM ledger WHERE request = :request AND kind = 'settle'",
        REQUEST + "has a usage row and was neither settled nor released"),
    "a balance": (
        "UPDATE account SET balance_nano = balance_nano + 1000000000 WHERE name = 'lease/1/lab'",
        "account is not the sum of its entries"),
    "a limit": (
        "UPDATE tenant SET requests_per_min = -1 WHERE name = 'lab'", "table tenant, row [0-9]+: bad requests_per_min"),
    "a limit that no bucket holds": (
        "UPDATE tenant SET tokens_per_min = 1 << 60 WHERE name = 'lab'",
        "table tenant, row [0-9]+: its name, its credit or a limit is out of its bounds"),
    "a key's name": (
        "UPDATE api_key SET name = hex(zeroblob(5000))", "table api_key, row 1: bad name"),
    "a key's number": (
        "UPDATE api_key SET id = 0 WHERE id = 1", "table api_key, row 0: its number is not the next"),
    "a topup that nobody paid": (
        "UPDATE entry SET amount_nano = 2 * amount_nano WHERE transaction_id = (SELECT min(id) FROM ledger WHERE "
        "kind = 'topup' AND tenant_id > 1)", "account is not the sum of its entries"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_ledger_that_was_tampered_with_is_told(used, program, trick):
    shutil.copytree(used.home, program.home)
    statements, contradiction = TRICKS[trick]
    with contextlib.closing(sqlite3.connect(program.home + "/cloud.db")) as database, database:
        for statement in statements.split("; "):
            changed = database.execute(statement, {"request": used.asked[-1][1]}).rowcount
            assert changed > 0, statement
    text = program.fails("ledger", "check")
    assert re.search(contradiction, text), text
    assert program.fails("ledger", "check", "--json") == text


@pytest.mark.parametrize("damage", ["not a database", "cut short", "a page of zeros"])
def test_a_database_that_is_damaged_is_told(used, program, damage):
    shutil.copytree(used.home, program.home)
    path = program.home + "/cloud.db"
    with open(path, "rb") as file:
        data = bytearray(file.read())
    if damage == "not a database":
        data[:100] = b"x" * 100
    elif damage == "cut short":
        del data[len(data) // 2:]
    else:
        data[4096 * 3:4096 * 4] = bytes(4096)
    with open(path, "wb") as file:
        file.write(data)
    assert program.fails("ledger", "check")


def cut_short(data):
    del data[-3:]


def a_hole(data):
    data[-3:] = bytes(10000)


@pytest.mark.parametrize("what", [cut_short, a_hole])
def test_a_journal_that_a_crash_cut_short_is_no_contradiction(used, program, what):
    shutil.copytree(used.home, program.home)
    path = program.home + "/journal"
    with open(path, "rb") as file:
        data = bytearray(file.read())
    what(data)
    with open(path, "wb") as file:
        file.write(data)
    done = program.run("ledger", "check")
    assert done.returncode == 0 and done.stdout.startswith("the ledger holds")
    assert re.search(r" warn server/journal: the journal is cut short, as a crash leaves it: its last \d+ bytes .*\n$",
                     done.stderr)
    assert program.json("ledger", "check") == {"ok": True}      # and is as new


def test_a_journal_that_is_damaged_is_told_until_it_is_moved_away(used, program):
    shutil.copytree(used.home, program.home)
    path = program.home + "/journal"
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data[len(data) // 2] ^= 0xff
    with open(path, "wb") as file:
        file.write(data)
    with program.serve() as server:     # which serves all the same
        assert "the journal is damaged at byte" in server.log
        told = program.fails("ledger", "check")
        assert re.match(rf"journal.old is damaged at byte \d+ of {len(data)}, and what is behind cannot be read; ", told)
    assert program.fails("ledger", "check") == told
    shutil.move(path + ".old", program.home + "/kept")
    assert program.json("ledger", "check") == {"ok": True}


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\x9b31m"])
def test_a_name_cannot_write_to_the_terminal_of_who_lists_it(program, name):
    assert "control characters" in program.fails("price", "set", name, "--input", 1, "--output", 1)
    assert "control characters" in program.fails("key", "create", "local", "--name", name)


@pytest.mark.parametrize("verb", ["key list", "price list", "usage list"])
def test_nor_can_one_that_is_in_the_database_already(used, program, verb):
    shutil.copytree(used.home, program.home)
    name = "a\nb\x1b[31m\x7f\x9b\u2028春"
    table, column = {"key list": ("api_key", "name"), "price list": ("price", "model"), "usage list": ("usage", "model")}[verb]
    with contextlib.closing(sqlite3.connect(program.home + "/cloud.db")) as database, database:
        assert database.execute(f"UPDATE {table} SET {column} = ?", [name]).rowcount > 0
    rows = program.json(*verb.split())
    assert [row["name" if "name" in row else "model"] for row in rows] == [name] * len(rows)
    lines = program.ok(*verb.split()).splitlines()
    assert len(lines) == len(rows) and all("a?b?[31m???春" in line for line in lines)
