"""The miniature workload's own programs: a trainer with main_ds's command line, and a model server with vLLM's.

Both are small and run on a CPU. What they stand in for, and what in this image is the real thing, is in README.md.
"""
