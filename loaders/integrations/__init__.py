"""Parts for other pipelines: decoders for FFCV, steps for DALI graphs, reports to Accelerate. Import what you need."""
