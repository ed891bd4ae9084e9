"""What a training script prints before `fit`, and what it tests, prints and writes after it."""

from __future__ import annotations

import keras

from data.datasets import DatasetListing, Sample
from data.pipeline import Pipeline
from models.config import ModelConfig
from models.trainer import LandmarkReader
from models.weights import load_network, save_network
from utils.common.cli import printable
from utils.evaluation.reports import write_report
from utils.evaluation.scoring import Scores, score_samples
from utils.training.config import TrainConfig
from utils.training.run_folder import RunFolder


def print_summary(
    config: TrainConfig,
    run: RunFolder,
    listing: DatasetListing,
    parts: dict[str, list[Sample]],
    pipeline: Pipeline,
    network: keras.Model,
    model_config: ModelConfig,
) -> None:
    """Print what is about to be trained, on what, and how much of it."""
    for problem in listing.problems:
        print(f"left out: {problem}")
    counts = ", ".join(f"{len(samples)} {part}" for part, samples in parts.items())
    landmarks = " and ".join(f"{len(head)} {task} landmarks" for task, head in model_config.heads.items())
    print(f"images:   {counts} (from {printable(', '.join(config.data))})")
    print(
        f"network:  {model_config.preset}, {network.count_params():,} parameters, {model_config.input_size} px, "
        f"{model_config.stages} stage{'s' if model_config.stages > 1 else ''}, {landmarks}, {config.precision}"
    )
    print(
        f"training: {config.epochs} epochs of {pipeline.steps} steps of {pipeline.batch_size}, "
        f"run folder {printable(run.path)}"
    )
    if not parts["validation"]:
        print("note:     no validation images, so the last epoch counts as the best")


def test_and_export(run: RunFolder, config: TrainConfig, tests: dict[str, list[Sample]]) -> dict[str, Scores]:
    """Score the best network once on the test images, draw its predictions, and write it to `config.out`.

    `tests`: task -> images. The report of several tasks goes into a folder each. Returns the scores by task.
    """
    best = load_network(run.best)
    record = best.record | {"minutes": run.state.minutes}
    nme = run.state.best_nme
    what = "validation NME" if len(tests) == 1 else "sum of the validation NMEs"
    why = "the last: there are no validation images" if nme is None else f"{what} {nme:.2f} %"
    print(f"best:     epoch {run.state.best_epoch}, {why}")
    results: dict[str, Scores] = {}
    for task, test in tests.items():
        name = f"{task} " if len(tests) > 1 else ""
        if not test:
            print(f"test:     no {name}test images, so no score")
            continue
        results[task] = score_samples(LandmarkReader(best.network, best.config, (task,)), test, config.batch_size)
        write_report(run.path / task if name else run.path, results[task], task)
        for line in (results[task].line, *results[task].detail_lines):
            print(f"test:     {name}{line}")
    summaries = {task: scores.summary for task, scores in results.items()}
    if summaries:
        record["test"] = summaries if len(tests) > 1 else next(iter(summaries.values()))
    save_network(config.out, best.network, best.config, record)
    print(f"written:  {printable(config.out)}; curves, images and scores in {printable(run.path)}")
    return results
