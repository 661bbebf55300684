"""Parts for other pipelines: decoders for FFCV, steps for DALI graphs. Import the module that you need."""
