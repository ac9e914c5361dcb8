"""The subject of the book: reference implementations, one module a chapter."""
