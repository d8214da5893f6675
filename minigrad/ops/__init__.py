"""The primitives: arrays in, one array out, one derivative rule per input."""
