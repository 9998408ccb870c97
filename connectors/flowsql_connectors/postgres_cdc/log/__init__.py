"""Every change: the log of a slot as rows for the tables of a job."""
