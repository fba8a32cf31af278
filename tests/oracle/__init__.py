"""The definitions of DESIGN.md again, as plain loops over plain rows: what the SQL must equal."""
