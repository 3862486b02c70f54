"""The look of the report: one style sheet, light and dark, nothing loaded from anywhere."""

CSS = """
:root { color-scheme: light dark;
  --bg: #f6f7f9; --panel: #ffffff; --ink: #16202c; --soft: #5b6876; --line: #dfe4ea; --track: #eef1f5; --accent: #2563a8;
  --accent-soft: #cfe0f3;
  --good: #1f8a5b; --fair: #3a7ca5; --warn: #b7791f; --bad: #b3261e; --second: #2a9d8f; --third: #e0a030; --hist: #6f93b8;
  --clip: #c9423a; --shadow: 0 1px 2px rgba(16,24,40,.06), 0 4px 14px rgba(16,24,40,.05); }
@media (prefers-color-scheme: dark) { :root {
  --bg: #10151b; --panel: #181f28; --ink: #e6ebf1; --soft: #98a6b5; --line: #2a3440; --track: #222b36; --accent: #6aa9e9;
  --accent-soft: #24405e;
  --good: #4cc38a; --fair: #6bb3d8; --warn: #e0a94a; --bad: #f0766d; --second: #43b8a6; --third: #e0a94a; --hist: #5b80a8;
  --clip: #ef7a72; --shadow: none; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 72px; }
header { margin-bottom: 22px; }
.brand { color: var(--accent); font-weight: 700; letter-spacing: .04em; font-size: 13px; }
h1 { font-size: 32px; line-height: 1.15; margin: 2px 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 0 0 4px; }
p.lead, .note { color: var(--soft); margin: 0 0 14px; }
.chips { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 10px; }
.chip { border: 1px solid var(--line); background: var(--panel); border-radius: 999px; padding: 2px 12px; font-size: 13px;
  color: var(--soft); }
.chip b { color: var(--ink); font-weight: 600; }
.chip.bad { border-color: var(--bad); color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 14px; margin-bottom: 26px; }
.tile, section { background: var(--panel); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shadow); }
.tile { padding: 16px 18px 14px; display: flex; flex-direction: column; }
.tile .label { font-size: 13px; color: var(--soft); }
.tile .value { font-size: 29px; font-weight: 650; letter-spacing: -.02em; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile .value small { font-size: 15px; font-weight: 500; color: var(--soft); letter-spacing: 0; margin-left: 4px; }
.tile .parts { font-size: 13px; margin: 2px 0 6px; }
.tile .source { font-size: 12px; color: var(--soft); margin-top: auto; padding-top: 6px; overflow-wrap: anywhere; line-height: 1.4; }
.split { display: flex; height: 6px; border-radius: 3px; overflow: hidden; background: var(--track); margin: 6px 0; gap: 2px; }
.split i { display: block; height: 100%; }
.key { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 5px; }
.part { margin-right: 12px; white-space: nowrap; display: inline-block; }
section { padding: 22px 24px; margin-bottom: 22px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 12px; font-weight: 600; color: var(--soft); padding: 6px 10px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
td { padding: 7px 10px; border-bottom: 1px solid var(--line); vertical-align: middle; }
tr:last-child td { border-bottom: 0; }
.num { text-align: right; white-space: nowrap; }
table.layers { table-layout: fixed; min-width: 900px; }
table.layers td { height: 48px; padding: 0 10px; }
table.layers td.rail { padding: 0; border-bottom: 0; }
table.layers tr.worst td { background: color-mix(in srgb, var(--warn) 9%, transparent); }
table.layers tr.worst td.rail { background: none; }
td.rail svg { display: block; }
.name { font-weight: 600; font-size: 14px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.sub { color: var(--soft); font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.bar { height: 5px; border-radius: 3px; background: var(--track); margin-top: 3px; overflow: hidden; }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--accent); }
.good { color: var(--good); } .fair { color: var(--fair); } .warn { color: var(--warn); } .bad { color: var(--bad); }
i.good { background: var(--good); } i.fair { background: var(--fair); } i.warn { background: var(--warn);
  } i.bad { background: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(310px, 1fr)); gap: 12px; margin-top: 12px; }
.card { border: 1px solid var(--line); border-left: 4px solid var(--warn); border-radius: 10px; padding: 12px 14px; }
.card h3 { margin: 0; font-size: 15px; overflow-wrap: anywhere; }
.card .cause { color: var(--warn); font-weight: 600; font-size: 13.5px; margin: 3px 0; }
.card p { margin: 4px 0 0; font-size: 13.5px; }
.card p.help::before { content: "→ "; color: var(--accent); font-weight: 700; }
.hists { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 14px; }
.hist { border: 1px solid var(--line); border-radius: 10px; padding: 10px 12px 8px; min-width: 0; }
.hist svg { display: block; width: 100%; height: auto; margin: 6px 0 4px; }
.hist .bars rect { fill: var(--hist); } .hist .bars rect.out { fill: var(--clip); }
.hist .range { fill: var(--accent-soft); opacity: .55; } .hist .edge { stroke: var(--accent); stroke-width: 1.4;
  } .hist .axis { stroke: var(--line); }
.hist text { fill: var(--soft); font-size: 10px; }
.plan svg { display: block; width: 100%; height: auto; min-width: 720px; }
.plan svg > rect[fill="#ffffff"] { fill: none; }
.plan svg text { fill: var(--ink); }
.plan svg > text[fill="#a4161a"] { display: none; }
.plan svg line { stroke: var(--line); }
.plan pattern rect { fill: var(--track); } .plan svg pattern line { stroke: var(--soft); }
.sensitivity svg { display: block; max-width: 100%; height: auto; min-width: 720px; }
.sensitivity svg text { fill: var(--ink); } .sensitivity svg .soft { fill: var(--soft); }
.sensitivity svg .b0 { fill: var(--accent); } .sensitivity svg .b1 { fill: var(--warn); } .sensitivity svg .b2 { fill: var(--second); }
.hist .sub { white-space: normal; }
.plan svg line[stroke-dasharray], .plan svg line[stroke="#a4161a"] { stroke: var(--bad); }
.plan svg g text[fill="#a4161a"] { fill: var(--bad); }
.plan svg > rect[fill="#a4161a"] { fill: var(--bad); }
dl.figures { display: grid; grid-template-columns: minmax(150px, max-content) 1fr; gap: 3px 18px; margin: 0; font-size: 13.5px; }
dl.figures dt { color: var(--soft); } dl.figures dd { margin: 0; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 12.5px; }
code { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (max-width: 640px) { main { padding: 18px 12px 48px; } section { padding: 16px 14px; } h1 { font-size: 25px;
  } dl.figures { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } section, .tile { break-inside: avoid; box-shadow: none; } }
"""
