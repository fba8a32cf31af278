"""Ingest: from data providers and files into the raw tables of the warehouse."""
