"""Compare the ways to teach a face network ears: `python -m utils.compare RUN...`.

  python -m utils.compare runs/distill-at runs/finetune            # the table of runs that are there
  python -m utils.compare --run-missing --base runs/compare -- --data data --epochs 20 --input-size 160

Reads what each run of `train_face2ear.py` measured, prints the table (Markdown), and draws forgetting against ear NME.
With `--run-missing` it trains every strategy that has no finished run below `--base`, one after the other; what follows
`--` goes to `train_face2ear.py`. Interrupted, it goes on where it stopped; runs that were started with other flags are
refused.
"""

from __future__ import annotations

import sys
from pathlib import Path

from utils.common.cli import CommandLine, InputError, positive_int, run_main
from utils.common.files import replacing, write_json
from utils.training.comparison import check_same, merge_seeds, plan_runs, plot_strategies, train
from utils.training.flags import CONFIG_FILE
from utils.training.table import TABLE, markdown_table, read_row


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    arguments = sys.argv[1:] if argv is None else argv
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = CommandLine(prog="python -m utils.compare", description="Compare ways to teach a face network ears.")
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="run folders of train_face2ear.py (default: all in --base)"
    )
    parser.add_argument(
        "--base", default="runs/compare", help="folder of the runs and of the table (default: %(default)s)"
    )
    parser.add_argument("--run-missing", action="store_true", help="train the strategies that have no finished run")
    parser.add_argument("--seeds", type=positive_int, default=1, help="runs of each strategy (default: 1)")
    args = parser.parse_args(arguments[:split])
    base = Path(args.base)
    runs = [Path(run) for run in args.runs]
    if args.run_missing:
        for run, own in plan_runs(base, args.seeds, arguments[split + 1 :]):
            runs.append(run)
            if (run / CONFIG_FILE).exists():
                check_same(run, own)
            if not (run / TABLE).exists():
                print(f"--- {run}", flush=True)
                train(run, own)
    runs = runs or sorted(path.parent for path in base.glob(f"*/{TABLE}"))
    if not runs:
        raise InputError(f"{base}: no finished runs of train_face2ear.py; name them, or train them with --run-missing")
    rows = merge_seeds([read_row(run) for run in dict.fromkeys(runs)])
    table = markdown_table(rows)
    print(table)
    with replacing(base / "table.md") as part:
        part.write_text(table + "\n", encoding="utf-8")
    write_json(base / "table.json", rows)
    plot_strategies(base / "strategies.png", rows)
    print(f"table.md, table.json and strategies.png in {base}")


if __name__ == "__main__":
    run_main(main)
