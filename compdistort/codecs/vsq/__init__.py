"""VSQ, the open noise-preserving codec: noise-stabilised, dithered quantisation with lossless coding of the indices."""
