// Curves: uPlot in the page's colours, drawn once a frame however many points came.
import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import uPlot from "../vendor/uplot.js";
import { lang } from "./api.js";
import { number } from "./words.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function options(series, names, width, height) {
  const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px 'Noto Sans', sans-serif", labelFont: "12px 'Noto Sans', sans-serif" };
  return {
    width, height, legend: { show: false }, cursor: { points: { size: 7 }, drag: { x: true, y: false } }, scales: { x: { time: false } }, padding: [10, 14, 0, 0],
    series: [{ label: names.x }, ...series.map((one) => ({
      label: one.label, stroke: colour(`run${one.colour % 6}`), width: one.dashed ? 1.4 : 2.4, dash: one.dashed ? [5, 4] : undefined, spanGaps: true,
      alpha: one.dashed ? .8 : 1, points: { show: !one.dashed && one.points.length < 40, size: 6, fill: colour("card") },
    }))],
    axes: [{ ...axis, label: names.x, labelSize: 22, values: (_, all) => all.map((v) => number(v)) }, { ...axis, label: names.y, labelSize: 22, size: 58, values: (_, all) => all.map((v) => new Intl.NumberFormat(lang, { maximumSignificantDigits: 3 }).format(v)) }],
  };
}

const columns = (series) => series.length ? uPlot.join(series.map(({ points }) => { const n = points.length, x = new Float64Array(n), y = new Float64Array(n); for (let i = 0; i < n; i++) [x[i], y[i]] = points[i]; return [x, y]; })) : [[]];

// series: [{label, colour: 0..5, dashed, points: [[step, value]...]}], each in the order of its steps. `said` tells the curve in words.
export function Plot({ series, x, y, said, height = 260 }) {
  const box = useRef(null), plot = useRef(null), frame = useRef(0), latest = useRef(series), shape = series.map((one) => one.label + one.colour + one.dashed).join("|");
  latest.current = series;
  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(latest.current, { x, y }, box.current.clientWidth, height), columns(latest.current), box.current);
    };
    make();
    const sized = new ResizeObserver(() => plot.current.setSize({ width: box.current.clientWidth, height }));
    sized.observe(box.current);
    const themed = new MutationObserver(make), dark = matchMedia("(prefers-color-scheme: dark)");
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    dark.addEventListener("change", make);
    return () => { sized.disconnect(); themed.disconnect(); dark.removeEventListener("change", make); cancelAnimationFrame(frame.current); plot.current.destroy(); plot.current = null; };
  }, [shape, x, y, height]);
  useEffect(() => {
    if (!frame.current) frame.current = requestAnimationFrame(() => { frame.current = 0; plot.current?.setData(columns(latest.current)); });
  });
  return html`<figure class="stack tight"><div class="plot" dir="ltr" ref=${box} role="img" aria-label=${said}></div>
    <ul class="legend">${series.map((one) => html`<li class=${`key k${one.colour % 6}${one.dashed ? " dashed" : ""}`}><bdi>${one.label}</bdi></li>`)}</ul></figure>`;
}

// A score and its interval on a line from `low` to `high`.
export function Span({ label, value, from, to, low, high, colour: which = 0, digits = 1 }) {
  const at = (v) => 100 * Math.max(0, Math.min(1, (v - low) / (high - low || 1)));
  return html`<div class=${`span ${label ? "" : "bare"}`}>${label && html`<span>${label}</span>`}<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" class=${`k${which}`}>
    <line x1="0" x2="100" y1="5" y2="5" stroke="var(--line)" stroke-width="1" vector-effect="non-scaling-stroke" />
    ${from !== undefined && from !== null && html`<line x1=${at(from)} x2=${at(to)} y1="5" y2="5" stroke="var(--key)" stroke-width="5" stroke-linecap="round" opacity=".45" vector-effect="non-scaling-stroke" />`}
    <line x1=${at(value)} x2=${at(value)} y1="5" y2="5" stroke="var(--key)" stroke-width="12" stroke-linecap="round" vector-effect="non-scaling-stroke" /></svg>
    <span class="n strong">${number(value, digits)}</span></div>`;
}
