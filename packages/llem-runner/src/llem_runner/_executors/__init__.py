"""How runs are executed: the protocol, and one module or sub-package per executor.

Imports storage, events and GPU state; knows no study.
"""
