"""Compare the ways to teach a face network ears: `python -m utils.compare RUN...`.

  python -m utils.compare runs/distill-at runs/finetune            # the table of runs that are there
  python -m utils.compare --run-missing --base runs/compare -- --data data --epochs 20 --input-size 160
  python -m utils.compare --run-missing --seeds 3 --score ear ears_ibug all -- --data data

Reads what each run of `train_face2ear.py` measured, prints the table (Markdown), and draws forgetting against ear NME.
With `--run-missing` it trains every strategy that has no finished run below `--base`, one after the other; what follows
`--` goes to `train_face2ear.py`. Interrupted, it goes on where it stopped; runs that were started with other flags are
refused.
"""

from __future__ import annotations

import sys
from pathlib import Path

from data.datasets import PARTS
from data.schemes import SCHEMES
from utils.common.cli import CommandLine, InputError, positive_int, run_main
from utils.common.files import replacing, write_json
from utils.common.keras_runtime import start_keras
from utils.demo.writers import end_as_on_ctrl_c
from utils.training.comparison import ScoringSet, check_same, merge_seeds, plan_runs, plot_strategies, score_run, train
from utils.training.flags import CONFIG_FILE
from utils.training.table import TABLE, markdown_table, read_row


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    arguments = sys.argv[1:] if argv is None else argv
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = CommandLine(
        prog="python -m utils.compare",
        description="Compare ways to teach a face network ears. After -- come flags of train_face2ear.py.",
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="run folders of train_face2ear.py (default: all in --base)"
    )
    parser.add_argument(
        "--base", default="runs/compare", help="folder of the runs and of the table (default: %(default)s)"
    )
    parser.add_argument("--run-missing", action="store_true", help="train the strategies that have no finished run")
    parser.add_argument("--seeds", type=positive_int, default=1, help="runs of each strategy (default: 1)")
    parser.add_argument(
        "--score",
        nargs=3,
        action="append",
        default=[],
        metavar=("TASK", "DIR", "PART"),
        help="score every network on these images too, such as: ear ears_ibug all (PART: train, validation, test, all)",
    )
    args = parser.parse_args(arguments[:split])
    if not args.run_missing and (arguments[split:] or args.seeds > 1):
        raise InputError("what follows -- , and --seeds, is of --run-missing; add that, or leave them out")
    base, sets = Path(args.base), [scoring_set(*each) for each in args.score]
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
    runs = list(dict.fromkeys(runs))
    rows = [read_row(run) for run in runs]
    if sets:
        start_keras("float32")
        rows = [row | {"scored": score_run(run, sets)} for run, row in zip(runs, rows, strict=True)]
    rows = merge_seeds(rows, runs)
    table = markdown_table(rows)
    print(table)
    with replacing(base / "table.md") as part:
        part.write_text(table + "\n", encoding="utf-8")
    write_json(base / "table.json", rows)
    plot_strategies(base / "strategies.png", rows)
    print(f"table.md, table.json and strategies.png in {base}")


def scoring_set(task: str, folder: str, part: str) -> ScoringSet:
    """The images of a `--score`. Raises `InputError` for a task, folder or part that there is not."""
    if task not in SCHEMES:
        raise InputError(f"--score {task}: no such task; there are {', '.join(SCHEMES)}")
    if not Path(folder).is_dir():
        raise InputError(f"--score {task} {folder}: no such folder")
    if part not in (*PARTS, "all"):
        raise InputError(f"--score {task} {folder} {part}: no such part; there are {', '.join((*PARTS, 'all'))}")
    found = ScoringSet(task, folder, part)
    found.samples()
    return found


if __name__ == "__main__":
    end_as_on_ctrl_c()  # and with it the training that runs
    run_main(main)
