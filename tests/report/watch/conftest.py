"""The browser of the tests of pages."""

from report.browser.conftest import browser

__all__ = ["browser"]
