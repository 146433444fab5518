#!/usr/bin/env python3
"""Puts the latest readings of the other benchmarks together: a page of the manual, a picture
and a file with all of them.

    record.py DIRECTORY [--to src/manual]

DIRECTORY is where they have left their JSON: hold-queue.json, mover.json, scale.json. Writes
measured.md, measured.svg and measured.json.
"""

import argparse
import json
import math
from pathlib import Path

import plot


def hold_rows(report):
    for scenario in report["scenarios"].values():
        result = scenario["result"]
        rates = [f"{line['median_per_s']:,.0f}/s ({line['lowest_per_s']:,.0f} to {line['highest_per_s']:,.0f})"
                 for line in result.values()]
        yield scenario, result, dict(zip(result, rates))


def hold_table(report):
    yield "| | relay | Postfix | others | relay : Postfix |"
    yield "|---|---:|---:|---:|---:|"
    for scenario, result, rates in hold_rows(report):
        others = "; ".join(f"{name} {rate}" for name, rate in rates.items()
                           if name not in ("relay", "Postfix"))
        written = scenario.get("relay_written_per_accepted_byte")
        about = scenario["about"] + (f"; {written:.2f} bytes written for one" if written else "")
        yield (f"| {about} | {rates['relay']} | {rates['Postfix']} | {others} |"
               f" **{result['relay']['of_postfix']}** |")


def mover_table(report):
    yield "| | relay | others | relay is |"
    yield "|---|---:|---:|---:|"
    for scenario in report["scenarios"].values():
        result = scenario["result"]
        said = {name: f"{line['median_s']:.2f} s ({line['lowest_s']:.2f} to {line['highest_s']:.2f})"
                for name, line in result.items()}
        others = [name for name in result if name != "relay"]
        theirs = "; ".join(f"{name} {said[name]}" for name in others)
        ratios = "; ".join(f"**{result[name]['relay_is_times_as_fast']}** times {name}" for name in others)
        yield f"| {scenario['about']} | {said['relay']} | {theirs} | {ratios} |"


SCALES = {
    "start_ms": "ready behind a restart, ms",
    "accept_ms": "accept, median, ms",
    "accept_p99_ms": "accept, 99th percentile, ms",
    "status_ms": "`relay status`, ms",
    "list_ms": "`relay list --limit 100`, ms",
    "release_per_s": "released a second",
    "resident_mib": "resident, MiB",
}


def scale_table(report):
    points = report["points"]
    yield "| held messages | " + " | ".join(f"{point['messages']:,}" for point in points) + " |"
    yield "|---|" + "---:|" * len(points)
    for name, about in SCALES.items():
        values = [f"{point[name]:,.2f}" if point[name] < 10 else f"{point[name]:,.0f}" for point in points]
        yield f"| {about} | " + " | ".join(values) + " |"


def machine(report):
    what = report["machine"]
    yield (f"{what['cpus']} x {what['cpu']}, {what['memory_bytes'] >> 30} GiB, Linux {what['kernel']},"
           f" {what['file_system']}, {what['fdatasync_4k_ms']} ms for a write of 4 KiB with fdatasync;"
           f" {what['relay']}, {what['profile']}; Postfix {what['postfix']}.")


SECTIONS = {
    "hold-queue": ("Hold and release", hold_table,
                   "The same load by `smtp-source`, into `smtp-sink`, in turns in one run; the median"
                   " of the rounds, with the lowest and the highest."),
    "mover": ("The mover", mover_table,
              "The same mailbox from one Dovecot to another, in turns in one run."),
    "scale": ("A spool that grows", scale_table,
              "One spool, 1 kB messages, each step measured behind a restart."),
}


def page(reports):
    yield "# What was measured"
    yield ""
    yield "Written by `make bench`, which measures all of it again. Machines differ, and this one is"
    yield "shared: the ratios of one run hold better than its rates."
    yield ""
    yield "![the ratios, and what a growing spool costs](measured.svg)"
    for name, (title, table, about) in SECTIONS.items():
        if name in reports:
            yield from ["", f"## {title}", "", about, "", *machine(reports[name]), "", *table(reports[name])]


def picture(reports):
    bars = []
    if "hold-queue" in reports:
        bars += [(scenario["about"], result["relay"]["of_postfix"], "Postfix")
                 for scenario, result, _ in hold_rows(reports["hold-queue"])]
    if "mover" in reports:
        for scenario in reports["mover"]["scenarios"].values():
            bars += [(scenario["about"], line["relay_is_times_as_fast"], name)
                     for name, line in scenario["result"].items() if name != "relay"]
    drawing = plot.Drawing()
    drawing.ratios("relay, in multiples of", bars)
    if "scale" in reports:
        points = reports["scale"]["points"]
        xs = [math.log10(point["messages"]) for point in points]
        for name, about in SCALES.items():
            drawing.curve(about.replace("`", ""), xs, [point[name] for point in points])
    return drawing.svg()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    manual = Path(__file__).resolve().parent.parent / "src/manual"
    parser.add_argument("--to", type=Path, default=manual)
    arguments = parser.parse_args()
    files = {name: arguments.directory / f"{name}.json" for name in SECTIONS}
    reports = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    if not reports:
        parser.error(f"no readings in {arguments.directory}")
    text = "\n".join(page(reports)) + "\n"
    (arguments.to / "measured.md").write_text(text)
    (arguments.to / "measured.svg").write_text(picture(reports))
    (arguments.to / "measured.json").write_text(json.dumps(reports, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
