"""Effects of the curriculum: accuracy and wall time of trainings, searches and pre-trainings."""
