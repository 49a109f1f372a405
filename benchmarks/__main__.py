"""`make bench`: every report, or those named in ARGS."""

from __future__ import annotations

import argparse
import platform

from benchmarks import codecs, commit, mounts

REPORTS = {"codecs": codecs.main, "mounts": mounts.main, "commit": commit.main}


def main() -> None:
    """Run the reports named on the command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...")
    parser.add_argument("reports", nargs="*", choices=[[], *REPORTS], default=[])
    chosen = parser.parse_args().reports or list(REPORTS)
    print(f"{platform.platform()}, {platform.python_version()}")
    for name in chosen:
        REPORTS[name]()


if __name__ == "__main__":
    main()
