"""Kills, stops and signals at random times; the study is resumed until it is complete."""

from __future__ import annotations

import random
import signal
import time
from typing import get_args

from benchmarks.fault_campaign import disturb
from benchmarks.hostile.place import Kind, Place
from benchmarks.runner.disturbed_study import PROGRAM, DisturbedStudy, Victim, expect

_VICTIMS: tuple[Victim, ...] = get_args(Victim)
_SIGNALS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGQUIT, signal.SIGPIPE),
)
_CODES = (0, 1, 130, -signal.SIGQUIT)
"""Of the program: SIGPIPE is ignored by Python, and SIGQUIT is for those who want no clean end."""


def kill(place: Place, rng: random.Random, index: int) -> int:
    """Kill the processes of a study at random times."""
    del index
    return disturb(place.work / "study", rng, 10, 2.0).total()


def stop(place: Place, rng: random.Random, index: int) -> int:
    """Stop processes of a study for up to two seconds (SIGSTOP, SIGCONT)."""
    del index
    study, n_stops = DisturbedStudy(place.work / "study"), 0
    parent = study.start()
    while parent.poll() is None:
        time.sleep(rng.uniform(0.05, 1.0))
        victim = rng.choice(_VICTIMS)
        n_stops += study.kill(victim, signal.SIGSTOP)
        time.sleep(rng.uniform(0.05, 2.0))
        study.kill(victim, signal.SIGCONT)
    expect(parent.wait() == 0, f"expected exit code 0, found {parent.returncode}")
    study.check()
    study.figures()
    return max(1, n_stops)


def send(place: Place, rng: random.Random, index: int) -> int:
    """Send signals to `llem-cli study run` and `resume`: each ends by a documented exit code."""
    study, n_signals = DisturbedStudy(place.work / "study", program=PROGRAM), 0
    numbers = [_SIGNALS[index % len(_SIGNALS)], rng.choice(_SIGNALS), rng.choice(_SIGNALS)]
    while not study.is_complete:
        parent = study.start()
        study.wait_until_started()
        codes: tuple[int, ...] = _CODES
        if numbers:
            time.sleep(rng.uniform(0.0, 4.0))
            number = numbers.pop()
            n_signals += study.kill("parent", number)
            # Before the program has its handlers, a signal ends it as it ends any program.
            codes = _CODES if number == signal.SIGINT else (*_CODES, -number)
        code = parent.wait(timeout=120)
        expect(code in codes, f"exit code {code}: {study.log()[-600:]}")
        study.check()
    study.figures()
    text = study.log()
    expect("Traceback" not in text, f"a traceback: {text[text.find('Traceback') :][:900]}")
    return max(1, n_signals)


KINDS = (
    Kind("kill", kill, 1, 20),
    Kind("stop", stop, 1, 10),
    Kind("signal", send, 2, 14),
)
