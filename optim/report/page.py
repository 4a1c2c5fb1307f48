"""A report as one HTML file: it needs no network, prints well, and runs nothing.

Whatever names a reader gave stand in it as text. A policy in the file forbids scripts and requests,
so that a report from anybody can be opened by anybody.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from optim.export.archive import zip_of
from optim.quantity import Comparison, Quantity
from optim.report.chart import trade_off
from optim.report.facts import DeviceLine, Facts
from optim.report.script import as_check
from optim.runs.figures import Figure

__all__ = ["report_html", "report_zip"]

_COLORS = {"better": "good", "worse": "bad", "same": "even"}


def report_html(facts: Facts, result: Mapping[str, Any]) -> str:
    """Return the report.

    Args:
        facts: What it says.
        result: The stored scorecard, for the program that checks it.
    """
    sections = [
        _figures(facts.figures, facts.measured),
        _section("Quality against size", trade_off(facts.points, facts.metric), _others(facts)),
        _steps(facts),
        _devices(facts),
        _sizes(facts.sizes),
        _section("What to bear in mind", _list(facts.limits)),
        _machine(facts),
        _again(facts, result),
    ]
    return _DOCUMENT.format(
        title=escape(facts.title),
        verdict=escape(facts.verdict),
        about=escape(" · ".join(filter(None, (facts.model, facts.data, facts.finished)))),
        body="\n".join(filter(None, sections)),
        style=_STYLE,
        run=escape(facts.run),
    )


def report_zip(facts: Facts, result: Mapping[str, Any]) -> bytes:
    """Return the report, the recipe and the program that checks it, as one archive."""
    files: dict[str, bytes | str] = {
        "report.html": report_html(facts, result),
        "recipe.yaml": facts.recipe.to_yaml(),
        "reproduce.py": as_check(facts.recipe, result),
    }
    return zip_of(files)


# --- sections -------------------------------------------------------------------------------------


def _figures(figures: Sequence[Figure], measured: str) -> str:
    rows = [
        (
            escape(figure.name),
            _value(figure.before) if not figure.is_relative else "",
            _value(figure.after),
            _change(figure.change),
            _interval(figure.change.difference if figure.change else figure.after),
            escape(str(figure.after.how)) if figure.after else "",
        )
        for figure in figures
    ]
    head = ("", "Original", "Result", "Change", "95 % interval of the change", "How")
    return _section("Figures", _table(head, rows), _note(measured))


def _others(facts: Facts) -> str:
    count = len(facts.points) - 2
    if count < 1:
        return _note("Bars are 95 % intervals.")
    many = f"{count} other finished runs" if count > 1 else "another finished run"
    return _note(f"Bars are 95 % intervals. Small dots: {many} of the same model and data.")


def _steps(facts: Facts) -> str:
    if not facts.steps:
        return _section("What was done", _note("Nothing: this is the original itself."))
    rows = []
    for step in facts.steps:
        about = [escape(line) for line in (step.summary, *step.notes) if line]
        if step.paper:
            about.append(f"<small>After {escape(step.paper)}.</small>")
        rows.append(
            (escape(step.title), escape(step.settings or "as it comes"), "<br>".join(about))
        )
    return _section("What was done", _table(("Step", "Settings", "What it did"), rows))


def _devices(facts: Facts) -> str:
    """Return one device of each kind, and all of them for who opens them."""
    if not facts.devices:
        return ""
    kinds = {device.kind: device for device in reversed(facts.devices)}
    few = [device for device in facts.devices if kinds[device.kind] is device]
    fits = sum(device.fits for device in facts.devices)
    note = _note(
        f"The result fits {fits} of {len(facts.devices)} devices. Times of one inference, batch 1, "
        "are estimates with both ends of an 80 % interval."
    )
    every = (
        f"<details><summary>All {len(facts.devices)} devices</summary>"
        f"{_device_table(facts.devices)}</details>"
    )
    return _section("On devices", _device_table(few), note, every)


def _device_table(devices: Iterable[DeviceLine]) -> str:
    rows = [
        (
            f"{escape(device.title)}<br><small>{escape(device.kind)}</small>",
            "yes" if device.fits else "<b>no</b>",
            _ends_apart(device.before),
            _ends_apart(device.after),
            escape(device.limit),
        )
        for device in devices
    ]
    return _table(("Device", "Fits", "Original", "Result", "Limited by"), rows)


def _ends_apart(text: str) -> str:
    """Return a value with its ends on a line of their own."""
    value, _, ends = text.partition(" (")
    return f"{escape(value)}<br><small>{escape(ends.rstrip(')'))}</small>" if ends else "–"


def _sizes(sizes: Mapping[str, tuple[Quantity, Quantity]]) -> str:
    if not sizes:
        return ""
    rows = [
        (escape(name), _value(before), _value(after)) for name, (before, after) in sizes.items()
    ]
    note = _note("Bytes of the weights, each encoding really written.")
    return _section("Sizes of the weights", _table(("Encoding", "Original", "Result"), rows), note)


def _machine(facts: Facts) -> str:
    rows = [(escape(name), escape(value)) for name, value in facts.environment.items()]
    if facts.energy is not None:
        text = str(facts.energy) if facts.energy.is_exact else facts.energy.with_ends()
        rows.append(("energy of the work", f"{escape(text)} ({facts.energy.how})"))
    table = _table(("", ""), rows) if rows else ""
    return _section("Where it was measured", _note(facts.verified), table)


def _again(facts: Facts, result: Mapping[str, Any]) -> str:
    """Return the recipe and the program, to read and to save."""
    recipe, program = facts.recipe.to_yaml(), as_check(facts.recipe, result)
    links = " ".join(
        f'<a download="{name}" href="data:text/plain;base64,{_encoded(text)}">{name}</a>'
        for name, text in (("recipe.yaml", recipe), ("reproduce.py", program))
    )
    return _section(
        "Do it again",
        f"<p>Save {links}. <code>python reproduce.py</code> runs the recipe and compares counts, "
        "bytes and quality with those above.</p>",
        f"<pre>{escape(recipe)}</pre>",
    )


# --- pieces ---------------------------------------------------------------------------------------


def _section(title: str, *parts: str) -> str:
    body = "\n".join(filter(None, parts))
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>" if parts[0] else ""


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; an empty head is left out."""
    names = list(head)
    top = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    head_row = f"<thead><tr>{top}</tr></thead>" if any(names) else ""
    return f'<div class="wide"><table>{head_row}<tbody>\n{body}\n</tbody></table></div>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>' if text else ""


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _value(value: Quantity | None) -> str:
    return "not measured" if value is None else escape(str(value))


def _change(change: Comparison | None) -> str:
    if change is None:
        return ""
    return f'<span class="{_COLORS[change.direction]}">{escape(change.verdict())}</span>'


def _interval(value: Quantity | None) -> str:
    if value is None or value.is_exact:
        return "exact" if value is not None else ""
    low, high = (Quantity.exact(end, value.unit) for end in (value.low, value.high))
    return f"{escape(str(low))} to {escape(str(high))}"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><p class="brand">Optim Studio · report</p>
<h1>{verdict}</h1>
<p class="note">{title}<br>{about}</p></header>
<main>
{body}
</main>
<footer class="note">Run {run}. Every figure says how it was obtained: measured on samples, bytes or
a clock; simulated by a stand-in for the arithmetic of the file; estimated by a model of a device.
</footer>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #10151f; --dim: #5b6472; --line: #dfe3ea; --paper: #fff;
  --soft: #f5f7fb; --blue: #2a5bd7; --green: #15803d; --red: #b42318; --orange: #d97706; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf3; --dim: #9aa4b5; --line: #2b3342;
  --paper: #0f141c; --soft: #171d28; --blue: #7aa2ff; --green: #4ade80; --red: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 960px; padding: 32px 24px 64px; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
.brand { color: var(--blue); font-weight: 600; margin: 0 0 24px; }
h1 { font-size: 30px; line-height: 1.25; margin: 0 0 12px; text-wrap: balance; }
h2 { font-size: 19px; margin: 0 0 12px; }
section { margin-top: 40px; } h2 { break-after: avoid; } tr, svg { break-inside: avoid; }
.note, footer { color: var(--dim); font-size: 14px; }
footer { margin-top: 48px; border-top: 1px solid var(--line); padding-top: 12px; }
.wide { overflow-x: auto; } .wide table { min-width: 640px; }
small { color: var(--dim); font-weight: 400; } details { margin-top: 16px; }
summary { cursor: pointer; color: var(--blue); margin-bottom: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--dim); font-weight: 500; white-space: nowrap; }
th, td { padding: 7px 16px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { font-weight: 600; }
.good { color: var(--green); } .bad { color: var(--red); } .even { color: var(--dim); }
pre { background: var(--soft); padding: 16px; overflow-x: auto; font-size: 13px;
  border-radius: 8px; }
code { font-size: 14px; } a { color: var(--blue); }
svg { width: 100%; max-width: 680px; height: auto; display: block; }
svg line { stroke: var(--line); } svg text { fill: var(--dim); font-size: 13px; }
svg .axis, svg .mid { text-anchor: middle; } svg .end { text-anchor: end; }
svg circle.original, svg text.original { fill: var(--green); }
svg circle.result, svg text.result { fill: var(--blue); }
svg circle.other { fill: var(--dim); opacity: .5; }
svg .bar { stroke-width: 2; } svg .bar.original { stroke: var(--green); }
svg .bar.result { stroke: var(--blue); } svg .name { font-weight: 600; font-size: 14px; }
@media print {
  :root { color-scheme: light; --ink: #10151f; --dim: #5b6472; --line: #dfe3ea; --paper: #fff;
    --soft: #f5f7fb; --blue: #2a5bd7; --green: #15803d; --red: #b42318; }
  body { max-width: none; padding: 0; } pre { white-space: pre-wrap; }
  .wide { overflow: visible; } .wide table { min-width: 0; } }
"""
