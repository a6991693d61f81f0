"""Compare the records of runs with the paper: rows, statistics, claims, tables, pages, figures."""
