"""A page on this machine that shows a study while it runs.

from llem_report.watching import WatchServer
with WatchServer("results/my-study") as server:
    print(server.url)
    input()
"""

from llem_report._watch.server import WatchServer

__all__ = ["WatchServer"]
