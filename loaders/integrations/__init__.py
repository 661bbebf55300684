"""Parts for other people's pipelines: a decoder for FFCV, steps for DALI graphs. Import the module you need."""
