"""Were others on the GPUs while a program metered them? Their energy is then part of its own.

    from llem_energy.tenants import Idles, IdleSpan, TenantLists, foreign_use, gpu_tenants
    at_start = gpu_tenants()             # before the program has a context on a GPU
    ...                                  # load the model; idle for some seconds: `before`
    before_window = gpu_tenants()
    ...                                  # the window; idle again: `after`
    lists = TenantLists(at_start, before_window, gpu_tenants())
    idles = Idles(before=before, after=after)
    reasons = foreign_use(source, samples, span, lists, own_pids={os.getpid()}, idles=idles)

`llem_energy.measure` does this in every run; `llem_energy.sources` has the source and its samples.
"""

from llem_energy._measurement.foreign_use import foreign_use
from llem_energy._measurement.gpu_sharing import TenantLists
from llem_energy._measurement.idle import Idles, IdleSpan
from llem_energy._sources.gpu_tenants import GpuTenants, gpu_tenants

__all__ = [
    "GpuTenants",
    "IdleSpan",
    "Idles",
    "TenantLists",
    "foreign_use",
    "gpu_tenants",
]
