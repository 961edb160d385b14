/** The one style sheet of the page: for screens, dark and light, and for paper. Text has a contrast of 4.5 to 1 and more. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #1b2430; --soft: #55606e; --edge: #d9dee5; --grid: #e6e9ee; --accent: #0b5cad;
  --good: #1a7f4b; --fair: #9a6200; --poor: #c0322b; --unknown: #5d6874;
  --c0: #0b6bcb; --c1: #d1402f; --c2: #1c8a55; --c3: #c07a00; --c4: #7a4fc4; --c5: #00838f; --c6: #6f7a87; --c7: #b0388a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f141b; --card: #171e27; --text: #e6ebf1; --soft: #a3afbd; --edge: #2c3643; --grid: #253040; --accent: #7ab8ff;
    --good: #57c98b; --fair: #e6b04a; --poor: #ff8078; --unknown: #a3afbd;
    --c0: #66adff; --c1: #ff7a6b; --c2: #58c98c; --c3: #e9b14d; --c4: #b79bff; --c5: #4cc7d2; --c6: #9aa6b4; --c7: #ee8ad0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", Arial, sans-serif;
}
main, header, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 28px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 0 0 10px; max-width: 75ch; }
a { color: var(--accent); }
.about, .note, .pack { color: var(--soft); }
.note { font-size: 13px; margin-top: 6px; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; margin: 14px 0 0; padding: 0; font-size: 14px; }
section {
  background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 20px 22px; margin: 18px 0;
}
.glance { display: grid; grid-template-columns: 190px minmax(0, 1fr); gap: 12px 28px; align-items: center; }
.gauge { display: block; width: 170px; height: auto; margin: 0 auto; }
.gauge .ring { fill: none; stroke: var(--grid); stroke-width: 12; }
.gauge .score { fill: none; stroke-width: 12; stroke-linecap: round; }
.gauge text { text-anchor: middle; fill: var(--text); }
.gauge .big { font-size: 44px; font-weight: 700; }
.gauge .small { font-size: 13px; fill: var(--soft); }
.good { --tone: var(--good); } .fair { --tone: var(--fair); } .poor { --tone: var(--poor); } .unknown, .plain { --tone: var(--unknown); }
.plain { --tone: var(--c0); }
.gauge .score { stroke: var(--tone); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 12px; margin: 0; }
.tiles > div { border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px; }
.tiles dt { font-size: 13px; color: var(--soft); }
.tiles dd { margin: 0; font-size: 21px; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles dd small { display: block; font-size: 12px; font-weight: 400; color: var(--soft); }
.watch { margin: 16px 0 0; padding: 0; list-style: none; }
.watch li { border-left: 4px solid var(--tone); padding: 4px 0 4px 12px; margin: 6px 0; }
.badge {
  display: inline-block; border: 1px solid currentColor; border-radius: 999px; padding: 0 8px; font-size: 12px; font-weight: 650;
  color: var(--tone); white-space: nowrap;
}
.scroll { overflow-x: auto; margin: 8px 0 4px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; font-weight: 650; padding: 10px 0 6px; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--edge); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 600; font-size: 13px; white-space: nowrap; }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.number { min-width: 56px; }
.bar { width: 110px; height: 8px; border-radius: 4px; vertical-align: middle; margin-right: 8px; }
.bar .rest { fill: var(--grid); } .bar .part { fill: var(--tone); }
.charts, .pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 20px 32px; }
.charts { margin: 8px 0 16px; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 650; margin-bottom: 4px; }
.chart { display: block; width: 100%; height: auto; }
.chart .grid { stroke: var(--grid); stroke-width: 1; } .chart .mark { stroke: var(--soft); stroke-width: 1; }
.chart .tick { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.area { opacity: 0.14; }
th, td { overflow-wrap: break-word; }
.legend { font-size: 13px; margin-top: 4px; } .legend tbody th { width: 100%; } .legend th, .legend td { padding: 2px 10px 2px 0; border: 0; }
.legend th:last-child, .legend td:last-child { padding-right: 0; }
.key { width: 10px; height: 10px; margin-right: 8px; }
${[0, 1, 2, 3, 4, 5, 6, 7].map((n) => `.line.c${n} { stroke: var(--c${n}); } .area.c${n}, .dot.c${n}, .key .c${n} { fill: var(--c${n}); }`).join("\n")}
time, .barred { white-space: nowrap; }
code { font: 13px/1.4 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
footer p { max-width: none; } footer { color: var(--soft); font-size: 13px; padding-bottom: 32px; }
@media (max-width: 720px) {
  main, header, footer { padding-left: 14px; padding-right: 14px; }
  section { padding: 16px 14px; }
  .glance { grid-template-columns: minmax(0, 1fr); }
}
@media print {
  @page { size: A4; margin: 14mm; }
  :root {
    color-scheme: light;
    --page: #fff; --card: #fff; --text: #000; --soft: #444; --edge: #bbb; --grid: #ddd; --accent: #000;
    --good: #1a7f4b; --fair: #9a6200; --poor: #c0322b; --unknown: #5d6874;
    --c0: #0b6bcb; --c1: #d1402f; --c2: #1c8a55; --c3: #c07a00; --c4: #7a4fc4; --c5: #00838f; --c6: #6f7a87; --c7: #b0388a;
  }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10.5pt; }
  main, header, footer { max-width: none; padding: 0; }
  nav { display: none; }
  section { border: 0; border-top: 1px solid var(--edge); border-radius: 0; padding: 12px 0 0; margin: 14px 0 0; }
  h2, h3, caption, figcaption { break-after: avoid; }
  figure, tr, .tiles > div, .watch li, .glance { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; }
  .charts, .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px 18px; }
  table { font-size: 9pt; } thead th { white-space: normal; } th, td { padding: 4px 8px 4px 0; overflow-wrap: anywhere; }
  tbody th { overflow-wrap: break-word; } thead th { font-size: 8pt; overflow-wrap: normal; } .badge { padding: 0 5px; font-size: 8pt; }
  .glance { grid-template-columns: 150px minmax(0, 1fr); } .gauge { width: 140px; }
  .tiles { gap: 6px; } .tiles > div { padding: 6px 8px; } .tiles dd { font-size: 13pt; }
  .legend, .legend thead th { font-size: 7.5pt; } .legend tbody th { overflow-wrap: anywhere; } .legend td, .legend th { padding-right: 6px; } .bar { width: 60px; }
}
`;
