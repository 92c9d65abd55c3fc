"""Stands in for instructlab-training, whose data processing needs torch and transformers."""
