"""How a front end and a daemon talk: message queues, a registry, typed messages."""

from __future__ import annotations
