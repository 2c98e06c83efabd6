"""Signals interrupt a run, except in the code by which Python imports modules."""

import runpy
import signal
import sys
from threading import Event

import pytest

from attnbench.cli.interrupt import interrupted_by_signals

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_at_once(number):
    with pytest.raises(KeyboardInterrupt), interrupted_by_signals():
        signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_python_itself_is_not_interrupted_while_it_imports(number):
    steps = []
    importing = compile("send(number); steps.append('imported')", "<frozen importlib._bootstrap>", "exec")

    def run():
        exec(importing, {"send": signal.raise_signal, "number": number, "steps": steps})
        Event().wait(60)  # ended by the signal
        steps.append("after a minute")

    with pytest.raises(KeyboardInterrupt), interrupted_by_signals():
        run()
    assert steps == ["imported"]


def test_handlers_are_restored_and_ignored_signals_stay_ignored():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        signal.signal(SIGNALS[-1], signal.SIG_IGN)
        with interrupted_by_signals():
            signal.raise_signal(SIGNALS[-1])
        assert signal.getsignal(SIGNALS[-1]) is signal.SIG_IGN
    finally:
        signal.signal(SIGNALS[-1], before[SIGNALS[-1]])
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_ctrl_c_while_the_command_is_imported_gives_no_traceback(monkeypatch):
    class Interrupting:
        def find_spec(self, name, *_):
            if name == "attnbench.cli":
                raise KeyboardInterrupt

    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "attnbench.cli", raising=False)
    with pytest.raises(SystemExit, match="130"):
        runpy.run_module("attnbench", run_name="__main__")
