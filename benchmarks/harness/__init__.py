"""Common parts of the benchmarks: data, contestants in separate processes, timing, the machine, reports, plots."""
