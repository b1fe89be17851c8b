"""`tongyun run` at a terminal: a conversation, its keys, and what Ctrl-C stops."""
import os
import re
import signal
import stat

import pytest

from program import QWEN3, checkpoint

SPRING_RAIN = "写一首五言绝句，题为春雨"
LOCALES = [{}, {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "C.UTF-8"}]
SYSTEM = 263        # the token "system" of QWEN3
STATS = re.compile(r"prompt (\d+) tokens, .* answer (\d+) tokens")


def stats(text):
    """(prompt tokens, answer tokens) that --stats told."""
    found = STATS.search(text)
    assert found, text
    return int(found.group(1)), int(found.group(2))


def lines_of_poem(text):
    return [line for line in text.split("\n") if re.fullmatch("[\u4e00-\u9fff]{5}[，。][\u4e00-\u9fff]{5}[，。]", line)]


def test_a_poem_is_written_whatever_the_locale(program):
    for locale in LOCALES:
        with program.chat("run", "--seed", 1, env=locale) as chat:
            assert "tongyun-poet" in chat.prompt()
            assert len(lines_of_poem(chat.say(SPRING_RAIN))) == 2
            chat.type("\x04")
            assert chat.end() == 0


def test_a_turn_sees_the_turns_before_it(program):
    with program.chat("run", "--stats", "--temperature", 0) as chat:
        chat.prompt()
        first_prompt, first_answer = stats(chat.say(SPRING_RAIN))
        second_prompt, second_answer = stats(chat.say(SPRING_RAIN))
        third_prompt, _ = stats(chat.say("hello"))
        assert second_prompt >= 2 * first_prompt + first_answer - 1
        assert third_prompt > second_prompt + second_answer - 1
        chat.say("/clear")
        assert stats(chat.say(SPRING_RAIN)) == (first_prompt, first_answer)


def test_a_system_message_outlives_clear(program):
    with program.chat("run", "--stats", "--system", "你是诗人") as chat:
        chat.prompt()
        prompt, _ = stats(chat.say("hello"))
        chat.say("/clear")
        assert stats(chat.say("hello"))[0] == prompt
    with program.chat("run", "--stats") as chat:
        chat.prompt()
        assert stats(chat.say("hello"))[0] < prompt


def test_ctrl_d_leaves_with_0_and_only_on_an_empty_line(program):
    with program.chat("run") as chat:
        chat.prompt()
        chat.type("/helpX\x1b[D\x04\n")     # back over the X: Ctrl-D deletes it
        assert "/clear" in chat.prompt()
        chat.type("\x04")
        assert chat.end() == 0


@pytest.mark.parametrize("word", ["/bye", "/exit", "/quit", "  /bye  "])
def test_bye_leaves_with_0(program, word):
    with program.chat("run") as chat:
        chat.prompt()
        chat.type(word + "\n")
        assert chat.end() == 0


def test_help_names_every_command_and_a_wrong_one_is_told(program):
    with program.chat("run") as chat:
        chat.prompt()
        text = chat.say("/help")
        for word in ("/clear", "/help", "/bye", "Ctrl-C", "Ctrl-D"):
            assert word in text
        assert "there is no command /nonsense; /help shows them" in chat.say("/nonsense")
        assert "no command" not in chat.say("/usr/bin what is that?")


def test_an_empty_line_asks_nothing(program):
    with program.chat("run", "--stats") as chat:
        chat.prompt()
        for line in ("", "   ", "\t"):
            assert "tokens" not in chat.say(line)


def test_ctrl_c_at_the_prompt_clears_the_line_and_stays(program):
    with program.chat("run") as chat:
        chat.prompt()
        chat.type("/nonsense")
        chat.until("/nonsense")
        chat.type("\x03")
        chat.prompt()
        assert "/clear" in chat.say("/help")
        chat.type("\x03")
        chat.prompt()
        chat.type("\x03")
        chat.prompt()
        chat.type("\x04")
        assert chat.end() == 0


def test_ctrl_c_stops_the_answer_and_only_that(program):
    # One word again and again does not come to an end; what nobody reads fills the terminal, so it cannot run ahead far.
    with program.chat("run", "-m", QWEN3, "--temperature", 0, "--logit-bias", f"{SYSTEM}=100", "--stats", "--threads", 1) as chat:
        chat.prompt()
        chat.type("hello\n")
        chat.until("hello")
        chat.until("system")
        chat.type("\x03")
        prompt, answer = stats(chat.prompt())
        assert 0 < answer < 4000
        chat.type("again\n")
        chat.until("again")
        chat.until("system")
        chat.type("\x03")
        assert stats(chat.prompt())[0] > prompt + answer - 10, "the part that was said belongs to the conversation"
        chat.type("\x04")
        assert chat.end() == 0


def test_backspace_takes_whole_characters(program):
    with program.chat("run") as chat:
        chat.prompt()
        chat.type("/he春雨\x7f\x7flp\n")
        assert "/clear" in chat.prompt()
        chat.type("/he春雨")
        chat.type("\x1b[D\x1b[D")           # left, twice
        chat.type("\x0blp\n")               # kill to the end of the line
        assert "/clear" in chat.prompt()


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_a_line_longer_than_the_window_arrives_whole(program, columns):
    text = "写一首七言律诗，题为秋夜，" * 12
    want = stats(program.run("run", "--stats", "--max-tokens", 1, text).stderr)
    with program.chat("run", "--stats", "--max-tokens", 1, size=(24, columns)) as chat:
        chat.prompt()
        assert stats(chat.say(text)) == want


def test_a_line_of_many_thousand_bytes_arrives_whole(program):
    text = "春" * 1400     # 4200 bytes
    want = stats(program.run("run", "--stats", "--max-tokens", 1, stdin=text).stderr)
    with program.chat("run", "--stats", "--max-tokens", 1) as chat:
        chat.prompt()
        assert stats(chat.say(text)) == want


def test_a_window_that_changes_keeps_the_line(program):
    with program.chat("run") as chat:
        chat.prompt()
        chat.type("/he")
        chat.until("/he")
        for columns in (10, 132, 40):
            chat.resize(24, columns)
        chat.type("lp\n")
        assert "/clear" in chat.prompt()


def test_lines_come_back_in_the_next_session_and_are_the_owners_alone(program):
    with program.chat("run") as chat:
        chat.prompt()
        chat.say("/nonsense")
        chat.say("写春")
        os.kill(chat.pid, signal.SIGKILL)
    history = os.path.join(program.home, "history")
    assert stat.S_IMODE(os.stat(history).st_mode) == 0o600
    with program.chat("run") as chat:
        chat.prompt()
        chat.type("\x1b[A")
        chat.until("写春")
        chat.type("\x1b[A\n")
        assert "no command /nonsense" in chat.prompt()


def test_a_home_that_cannot_be_written_only_costs_the_history(program):
    with program.chat("run", env={"TONGYUN_HOME": "/proc/nowhere"}) as chat:
        chat.prompt()
        assert "/clear" in chat.say("/help")


def test_a_full_context_forgets_the_oldest_turns_and_goes_on(program):
    with program.chat("run", "--stats", "--ctx-size", 96, "--temperature", 0) as chat:
        chat.prompt()
        forgot = 0
        for _ in range(8):
            text = chat.say(SPRING_RAIN)
            prompt, answer = stats(text)
            assert prompt + answer <= 96 and prompt <= 84 and answer > 1
            forgot += "the oldest turns are forgotten" in text
        assert forgot > 0


def test_a_question_that_does_not_fit_is_told_and_forgotten(program):
    with program.chat("run", "--stats", "--ctx-size", 64, "--temperature", 0) as chat:
        chat.prompt()
        want = stats(chat.say("hello"))
        chat.say("/clear")
        assert "error: the prompt does not fit into the context of 64 tokens" in chat.say("春" * 100)
        assert stats(chat.say("hello")) == want


def test_a_template_that_does_not_end_is_told_and_nothing_is_forgotten(program, tmp_path):
    """It is no full context: the turns before it stay."""
    model = checkpoint(tmp_path / "model", tokenizer_config={"chat_template": "{% for m in messages %}<|im_start|>"
                       "{{ m.content }}{% if 'spin' in m.content %}{% for a in range(99999) %}{% for b in range(99999) %}"
                       "{% endfor %}{% endfor %}{% endif %}{% endfor %}"})
    with program.chat("run", model, "--stats", "--max-tokens", 1) as chat:
        chat.prompt()
        first, second = stats(chat.say("one"))[0], stats(chat.say("one"))[0]
        assert "error: chat template: line 1: the template takes too many steps" in chat.say("spin")
        assert stats(chat.say("one"))[0] > second > first
    assert program.fails("run", model, "spin") == "chat template: line 1: the template takes too many steps"


def test_a_raw_conversation_is_refused(program):
    with program.chat("run", "--raw") as chat:
        chat.until("tongyun: error: --raw continues one text")
        assert chat.end() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_leaves_the_terminal_as_it_was(program, number):
    with program.chat("run") as chat:
        assert chat.echoes()
        chat.prompt()
        chat.type("abc")
        chat.until("abc")
        assert not chat.echoes()
        os.kill(chat.pid, number)
        assert chat.end() == -number
        assert chat.echoes()


def test_what_a_model_says_does_not_command_the_terminal(program):
    # Random weights say random bytes; at a temperature as high all of them; in f32 the same on every machine.
    with program.chat("run", "-m", QWEN3, "--kv-type", "f32", "--temperature", 50, "--seed", 3, "--max-tokens", 400,
                      "hello") as chat:
        while chat._more():
            pass
        said = chat.bytes.replace(b"\r\n", b"\n").decode(errors="ignore")
    assert len(said) > 100 and "?" in said
    assert not [c for c in said if (ord(c) < 32 and c not in "\n\t") or 0x7f <= ord(c) < 0xa0]


def test_what_is_typed_during_an_answer_waits_for_the_prompt(program):
    with program.chat("run") as chat:
        chat.prompt()
        chat.type(f"{SPRING_RAIN}\n/help\n")
        chat.prompt()
        assert "/clear" in chat.prompt()
