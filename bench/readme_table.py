"""Write the README's results from the files in this folder: no figure there is typed by hand.

``--check`` changes nothing and fails where the README says something else.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from common import ROOT

from optim.quantity import Quantity

START, END = "<!-- results: python bench/readme_table.py -->", "<!-- end of results -->"


def results(name: str) -> dict[str, Any]:
    """Return what a bench recorded; empty if it was never run."""
    path = ROOT / "bench" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else {}


def rows() -> list[tuple[str, str, str]]:
    """Return ``(what, figure, bench)``."""
    found = []
    if pair := results("default_pair"):
        accuracy, latency = pair["accuracy_validation"], pair["latency_half_the_channels"]
        found += [
            ("Default model, validation accuracy", str(Quantity.from_json(accuracy))),
            ("50 % of the weights zero", _points(pair["points_by_sparsity"]["0.5"])),
            ("90 % of the weights zero", _points(pair["points_by_sparsity"]["0.9"])),
            (
                "4-bit weights, one scale a tensor",
                _points(pair["points_by_weight_bits_minmax"]["4 bits per_tensor"]),
            ),
            ("Half the channels, ONNX Runtime, batch 1", f"{latency['faster']:.1f}x faster"),
            *(
                (
                    f"{100 * float(ratio):.0f} % of the channels removed, "
                    f"{run['epochs']} epochs of distillation",
                    _points(run["points"]["value"]),
                )
                for ratio, run in pair["distillation_by_channels_removed"].items()
            ),
        ]
        found = [(*row, "default_pair") for row in found]
    for model, measured in results("interactive").items():
        if not isinstance(measured, dict):
            continue
        calm = measured["calm (0.7-1.2 s between moves)"]
        for kind, about in (("hits", "known positions"), ("misses", "new positions")):
            if kind in calm:
                found.append(
                    (
                        f"{model}: slider to new numbers and charts, {about}",
                        f"{calm[kind]['median_ms']:.0f} ms (p95 {calm[kind]['p95_ms']:.0f} ms)",
                        "interactive",
                    )
                )
        if "drag" in measured:
            rate = measured["drag"]["updates_per_s"]
            found.append(
                (f"{model}: updates while dragging", f"{rate:.0f} a second", "interactive")
            )
    for crowd in results("load").get("crowds", ()):
        shown, how = crowd["to_new_numbers_s"], "jumping" if crowd["jumps"] else "at keys"
        figure = f"{shown['p50']:.2f} s (p95 {shown['p95']:.2f} s)"
        what = f"{crowd['visitors']} people {how}: slider to new numbers"
        found.append((what, figure, "load"))
    if startup := results("startup"):
        found += [
            ("Start to first chart", f"{startup['first_chart_s']['median']:.1f} s", "startup"),
            ("`import optim`", f"{startup['import_optim_s']['median']:.2f} s", "startup"),
        ]
    found += [(*row, "deployed") for row in deployed()]
    found += [(*row, "recover") for row in recovered()]
    if evaluate := results("evaluate"):
        ours = evaluate["ours"]["times_plain_loop"]
        found.append(
            ("Accuracy evaluation against a plain PyTorch loop", f"{ours:.1f}x", "evaluate")
        )
    if train := results("train"):
        ways = {"": "ours", "compiled ": "ours, compiled", "in bfloat16 ": "ours, bfloat16"}
        figure = ", ".join(f"{how}{train[w]['times_plain_loop']:.1f}x" for how, w in ways.items())
        found.append(("Training ResNet-20 on CIFAR-10 against a DataLoader loop", figure, "train"))
    if probed := results("probe"):
        found.append(
            (
                f"Latency on a probed machine, {probed['networks']} networks: median error",
                f"{100 * probed['median_error']:.0f} %",
                "probe",
            )
        )
    if runs := results("runs"):
        killed = runs["job_killed_until_progress"]
        found += [
            (
                "Worker killed: its run waits again after",
                _seconds(runs["job_killed_until_requeued"]),
            ),
            ("Worker killed: its run gets on after", _seconds(killed["no_waiting_child"])),
            (
                "Supervisor killed and started again: its run gets on after",
                _seconds(runs["supervisor_restarted_until_progress"]),
            ),
            ("Run cancelled: its process is gone after", _seconds(runs["cancelled_until_gone"])),
            (
                "Run cancelled that is stuck: its process is gone after",
                _seconds(runs["cancelled_until_gone_stuck"]),
            ),
        ]
        found = [row if len(row) == 3 else (*row, "runs") for row in found]
    if devices := results("devices"):
        known = devices["all rows with MACs"]
        baseline = min(known["log_linear_percent"], known["roofline_percent"])
        found += [
            (
                f"Latency predicted on published devices, {known['rows']:,} rows of models kept "
                "aside: median error",
                f"{known['ours_percent']:.1f} % ({baseline:.1f} % by the better simple model)",
                "devices",
            ),
            (
                "Published latencies inside their 80 % interval",
                f"{100 * known['coverage']:.0f} %",
                "devices",
            ),
        ]
    for bench in ("one_click", "one_click_detector"):
        for model, clicked in results(bench).items():
            if not isinstance(clicked, dict):
                continue
            metric, unit = ("map", "% mAP") if "map_recovered" in clicked else ("accuracy", "%")
            before, after = (
                f"{100 * clicked[f'{metric}_{name}']['value']:.1f}"
                for name in ("compressed", "recovered")
            )
            found.append(
                (
                    f"{model}: half the channels and int8, *Recover accuracy*",
                    f"{before} to {after} {unit} in {_duration(clicked['seconds'])}",
                    "one_click",
                )
            )
    return found


def _seconds(times: dict[str, float]) -> str:
    return f"{times['median_s']:.2f} s (at most {times['max_s']:.2f} s)"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


COMPARED = ("ours", "reference", "fine-tuning")


def recovered() -> list[tuple[str, str]]:
    """Return what training won back at each size, after each length that was run."""
    from recover import EPOCHS, TARGETS, gain, group, mean_accuracy, read

    kept = read()
    rows = []
    for target in TARGETS:
        for epochs in EPOCHS:
            every = {name: group(kept, name, target, epochs) for name in COMPARED}
            if not all(every.values()):
                continue  # a figure that stands alone says little
            ours = every["ours"]
            fewer = kept["original"]["macs"] / max(result["macs"] for result in ours.values())
            before = 100 * kept["original"]["accuracy_test"]["value"]
            accuracy, *seeds = mean_accuracy(ours).partition(" (")
            more, tuned = (
                gain(kept, method, target, epochs).partition(" (")[0]
                for method in ("reference", "fine-tuning")
            )
            rows.append(
                (
                    f"ResNet-20, CIFAR-10: {fewer:.1f}x fewer MACs, distilled for {epochs} "
                    f"epoch{'s' * (epochs > 1)}, test accuracy",
                    f"{accuracy} % of {before:.1f} %, {more} against uniform L2 pruning and plain "
                    f"distillation, {tuned} against fine-tuning on labels{''.join(seeds)}",
                )
            )
    return rows


def deployed() -> list[tuple[str, str]]:
    """Return how much faster the fastest file of each network is than that of other toolkits."""
    from deployed import NETWORKS, fastest, lost, ratio, read

    rows = []
    for name, kept in read().items():
        for runtime in ("ONNX Runtime", "OpenVINO"):
            situation = f"{runtime}, batch 1, threads 1"
            ours, peer = (fastest(kept, situation, ours=side) for side in (True, False))
            title = NETWORKS[name].title
            change = lost(kept, ours, "test")
            rows.append(
                (
                    f"{title[0].upper()}{title[1:]}: fastest int8 file that loses at most a point, "
                    f"against that of other toolkits, {runtime}, batch 1",
                    f"{ratio(kept, situation, peer, ours)}, "
                    f"{kept['files'][ours]['bytes'] / 1000:.0f} kB for "
                    f"{kept['files'][peer]['bytes'] / 1000:.0f} kB, {_points(change.value)}",
                )
            )
    return rows


def _points(value: float) -> str:
    return f"{value:+.1f} points".replace("-", "−")


def table() -> str:
    """Return the Markdown between the two markers."""
    lines = ["| | measured | by |", "|:--|--:|:--|"]
    lines += [f"| {what} | {figure} | `bench/{bench}.py` |" for what, figure, bench in rows()]
    return "\n".join(lines)


def main() -> None:
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    wanted = f"{before}{START}\n{table()}\n{END}{after}"
    if "--check" in sys.argv:
        sys.exit(0 if wanted == text else "README.md differs: python bench/readme_table.py")
    path.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
