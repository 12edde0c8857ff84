"""A window waits for the work that libraries have submitted to devices, and starts no device.

With the real torch on the CPU, and the real jax where it is installed: it is in no package of the
workspace. `benchmarks/energy_meter.py libraries` installs jax and cupy, and measures windows around them.
cupy computes on GPUs only, so a stand-in replaces it here and the modules of jax for what it must not
start.
"""

from __future__ import annotations

import sys
import types

import pytest
from energy.parts import run_python

from llem_energy._meter.synchronise import synchronise_imported


def module(name: str, monkeypatch: pytest.MonkeyPatch, **content: object) -> None:
    stand_in = types.ModuleType(name)
    vars(stand_in).update(content)
    monkeypatch.setitem(sys.modules, name, stand_in)


def test_torch_without_a_context_stays_without_one() -> None:
    program = (
        "import torch\n"
        "from llem_energy import EnergyMeter\n"
        "with EnergyMeter(sources=['none'], mode='light') as meter, meter.window() as window:\n"
        "    torch.ones(3).sum()\n"
        "print(torch.cuda.is_initialized(), [r for r in window.energy.reasons if 'synchron' in r])\n"
    )
    assert run_python(program).strip() == "False []"


def test_jax_is_waited_for_also_if_its_results_are_dropped() -> None:
    jax = pytest.importorskip("jax", reason="no package of the workspace needs jax")
    synchronise_imported()
    xla_bridge = sys.modules["jax._src.xla_bridge"]
    assert not xla_bridge.backends_are_initialized()
    work = jax.jit(lambda x: jax.lax.fori_loop(0, 60, lambda _, y: (y @ x) / 900.0, x))
    x = jax.numpy.ones((900, 900))
    work(x).block_until_ready()
    kept = work(x)
    work(x)
    synchronise_imported()
    assert kept.is_ready()
    assert xla_bridge.backends_are_initialized()


def test_jax_that_has_no_device_yet_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    # Any other name of these modules would raise an AttributeError.
    module("jax", monkeypatch)
    synchronise_imported()  # half imported
    module("jax._src.xla_bridge", monkeypatch, backends_are_initialized=lambda: False)
    synchronise_imported()
    module("jax._src.xla_bridge", monkeypatch, backends_are_initialized=lambda: True)
    with pytest.raises(AttributeError, match="local_devices"):
        synchronise_imported()


@pytest.mark.parametrize("has_gpu", [False, True])
def test_cupy_is_waited_for_where_it_has_a_gpu(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool
) -> None:
    waits: list[str] = []
    device = types.SimpleNamespace(synchronize=lambda: waits.append("device"))
    cuda = types.SimpleNamespace(is_available=lambda: has_gpu, Device=lambda: device)
    module("cupy", monkeypatch)
    synchronise_imported()  # half imported
    module("cupy", monkeypatch, cuda=cuda)
    synchronise_imported()
    assert waits == ["device"] * has_gpu
