"""One run: module, callbacks, hardware, and the path through them."""
