"""What the curriculum brings: accuracy and wall time of trainings, searches and pre-trainings."""
