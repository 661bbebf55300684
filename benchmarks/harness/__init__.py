"""What the benchmarks share: data, contestants in processes of their own, timing, the machine, reports and pictures."""
