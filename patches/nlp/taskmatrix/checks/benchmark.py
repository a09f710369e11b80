"""The tool-selection benchmark where no language model is needed: the oracle must be right everywhere, chance and keywords are baselines."""

import os

from proving.record import arguments, write_metrics
from proving.tree import on_path


def main():
    args = arguments()
    on_path(os.path.join(os.getcwd(), "pipelines", "examples", "agents", "taskmatrix", "benchmark"))
    import selection as bench

    table = bench.decisions()
    metrics = {"decisions": len(table), "requests": len({(d.request, d.language) for d in table})}
    for format in ("text", "json"):
        oracle = bench.run(bench.Oracle(), format)["summary"]["all"]
        metrics.update({"oracle_%s_%s" % (format, what): share[0] for what, share in oracle.items()})
    for model in (bench.Chance(), bench.Keywords()):
        for what, share in bench.run(model)["summary"]["all"].items():
            metrics["%s_%s" % (model.name, what)] = share[0]
    write_metrics(args.out, metrics)


if __name__ == "__main__":
    main()
