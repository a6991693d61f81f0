"""Records of runs put beside the paper's tables: rows, statistics, claims, pages, figures."""
