"""Settings of every test process, also when pytest is called without the Makefile."""

import os

# Before any library of the hub is imported: no test reaches for it, and none reports its use.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
