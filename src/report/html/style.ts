/** Colours of parts and series: told apart by people with any colour vision, in both themes. */
const light = ['#0b5cad', '#c2560a', '#1a7f4b', '#9a3f8f', '#8a6d00', '#4a6572', '#b3261e', '#5b51b5', '#007c89'];
const dark = ['#6cb0ff', '#ffa657', '#56d38a', '#e29bd8', '#e3c341', '#9fb3bf', '#ff8f86', '#b3aaff', '#5fd0dc'];

const paletteOf = (colours: readonly string[]): string =>
  colours.map((colour, index) => `--c${index}:${colour};`).join('');

const lightTheme = `color-scheme:light;--ink:#1c2128;--muted:#57606a;--paper:#fff;--panel:#f6f8fa;--rule:#d0d7de;--good:#116329;--bad:#b3261e;--warn:#7a4b00;--heat:#e8590c;${paletteOf(light)}`;
const darkTheme = `color-scheme:dark;--ink:#e6edf3;--muted:#a3adb8;--paper:#0d1117;--panel:#161b22;--rule:#30363d;--good:#56d364;--bad:#ff7b72;--warn:#e3b341;--heat:#b8470a;${paletteOf(dark)}`;

const classes = light
  .map(
    (_, index) =>
      `.c${index}{fill:var(--c${index})}.line.c${index}{stroke:var(--c${index})}.swatch.c${index}{background:var(--c${index})}`,
  )
  .join('');

/** The one style sheet of reports. Nothing is loaded from anywhere. */
export const styleSheet = `
:root{${lightTheme}}
@media (prefers-color-scheme:dark){:root{${darkTheme}}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.6rem;margin:0 0 .2rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.4rem 0 .6rem;padding-bottom:.3rem;border-bottom:1px solid var(--rule)}
h3{font-size:1.05rem;margin:1.6rem 0 .5rem}
.lead{color:var(--muted);margin:0 0 1rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;margin:1rem 0 0;padding:0}
a{color:var(--c0)}
code,pre{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--panel);border:1px solid var(--rule);border-radius:6px;padding:.8rem;overflow-x:auto}
.outcome{font-weight:600;margin:.6rem 0}
.good,.bad{white-space:nowrap}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.8rem;margin:0}
.tile{background:var(--panel);border:1px solid var(--rule);border-radius:6px;padding:.7rem .9rem}
.tile dt{color:var(--muted);font-size:.85rem;overflow-wrap:anywhere}
.tile dd{margin:0}.tile strong{font-size:1.25rem;display:block}.tile span{color:var(--muted);font-size:.85rem}
.scroll{overflow-x:auto;margin:.8rem 0 1.2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);font-size:.88rem;padding-bottom:.35rem}
th,td{padding:.28rem .6rem;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
thead th,thead .number{color:var(--muted);font-weight:600;font-size:.88rem;white-space:normal;vertical-align:bottom}
tbody th{font-weight:500;overflow-wrap:break-word}
.number{text-align:right;white-space:nowrap}
.heat{width:auto;min-width:50%;font-size:.88rem}
.heat td{background:color-mix(in srgb,var(--heat) calc(var(--share,0%)*.6),var(--paper));border:1px solid var(--paper);min-width:3.2rem;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.heat tbody th{white-space:nowrap}
figure{margin:1rem 0 1.4rem}
figcaption{font-weight:600;margin-bottom:.3rem}
svg{display:block;width:100%;height:auto;print-color-adjust:exact;-webkit-print-color-adjust:exact}
svg text{fill:var(--ink);font-size:12px}
.axis line{stroke:var(--rule)}.axis text{fill:var(--muted);font-size:11px}.axis .title{fill:var(--muted);font-weight:600}
path.line{fill:none;stroke-width:1.6}path.area{opacity:.18;stroke:none}
.front{fill:none;stroke:var(--c0);stroke-dasharray:4 4;opacity:.7}
.whisker{stroke:var(--muted);stroke-width:1.4}.reference{fill:var(--muted)}
line.limit{stroke:var(--bad);stroke-dasharray:5 4}text.limit{fill:var(--bad);font-size:11px}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;margin:.4rem 0 0;padding:0;font-size:.88rem}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em;print-color-adjust:exact;-webkit-print-color-adjust:exact}
summary{cursor:pointer;color:var(--c0);margin:.5rem 0}
.findings{padding-left:1.2rem;overflow-wrap:anywhere}
footer{color:var(--muted);font-size:.85rem;margin-top:3rem}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
${classes}
@page{margin:14mm}
@media print{
:root{${lightTheme}}
body{max-width:none;padding:0;font-size:11px}
table,caption,thead th,thead .number{font-size:9.5px}
h3,figcaption{font-size:11px}
nav,summary{display:none}
details::details-content{content-visibility:visible;display:block;height:auto}
figure,.tiles,tr,pre{break-inside:avoid}
h2,h3,caption{break-after:avoid}
.scroll{overflow:visible}
pre{white-space:pre-wrap;overflow-wrap:anywhere}
thead{display:table-header-group}
}
`;
