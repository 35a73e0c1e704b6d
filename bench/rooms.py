"""The benchmarks of single rooms: programs that measure themselves and their peers in one run.

Usage: bench/run rooms [NAME ...]      NAME: one of the programs, "telemetry_metrics"
"""
import subprocess
import sys

from figures import BUILD, RESULTS, fail

PROGRAMS = ("core_codecs", "base_chan", "base_mem", "rpc_echo", "telemetry_metrics")


def main(names):
    unknown = set(names) - set(PROGRAMS)
    if unknown:
        fail(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(PROGRAMS)}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names or PROGRAMS:
        program = BUILD / "bench" / f"bench_{name}"
        if subprocess.run([program, RESULTS], timeout=300, check=False).returncode != 0:
            failed.append(name)
    if failed:
        fail(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
