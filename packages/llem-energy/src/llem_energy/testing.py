"""Checks for authors of backends: what every backend must do.

    from llem_energy.testing import BACKEND_CHECKS

    @pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
    def test_backend(check):
        check(config)

Any small experiment is suitable; it needs at least 3 prompts and 3 output tokens.
"""

from llem_energy._backend_checks.all_checks import BACKEND_CHECKS
from llem_energy._backend_checks.support import BackendCheckFailed

__all__ = ["BACKEND_CHECKS", "BackendCheckFailed"]
