"""Convolution: a matrix C forward, Cᵀ backward; a transposed convolution is the pair turned round.

To be read in this order: geometry (sizes), im2col, matrix and stretched (three ways to compute the
same numbers), primitives (the three operations, each other's derivatives).
"""
