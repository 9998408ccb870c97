"""Writes the bank of `workload` from a process of its own.

python -m flowsql.testing.fake_database FOLDER --transactions 5000 --rate 500
"""

from __future__ import annotations

import argparse
import time

from flowsql.testing.fake_database.workload import Bank


def main() -> None:
    """Make transactions until so many are made; 0: until the process is killed."""
    parser = argparse.ArgumentParser(prog="python -m flowsql.testing.fake_database")
    parser.add_argument("folder")
    parser.add_argument("--accounts", type=int, default=100, help="in each table at first")
    parser.add_argument("--transactions", type=int, default=1000, help="0: without end")
    parser.add_argument("--rate", type=float, default=0, help="transactions a second; 0: at once")
    parser.add_argument("--huge-every", type=int, default=0, help="every nth transaction is huge")
    parser.add_argument("--huge-size", type=int, default=5000, help="transfers in a huge one")
    parser.add_argument("--churn-every", type=int, default=10, help="every nth opens and closes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    bank = Bank(arguments.folder, accounts=arguments.accounts, seed=arguments.seed)
    start = time.monotonic()
    made = 0
    while not arguments.transactions or made < arguments.transactions:
        made += 1
        if arguments.huge_every and made % arguments.huge_every == 0:
            bank.transfer(arguments.huge_size)
        elif arguments.churn_every and made % arguments.churn_every == 0:
            bank.churn()
        else:
            bank.transfer()
        if arguments.rate:
            time.sleep(max(0.0, start + made / arguments.rate - time.monotonic()))
    bank.close()


if __name__ == "__main__":
    main()
