"""Stands in for lm-eval, which needs torch: it checks what lm-eval 0.4.13 was seen to insist on."""
