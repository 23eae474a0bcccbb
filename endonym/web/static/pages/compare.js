// Before and after on the same prompts, what differs by more than chance, graded answers; any two systems.
import { about, here, home, query, useAddress, useGet } from "../lib/api.js";
import { systemsOf } from "../lib/systems.js";
import { Card, Choose, Empty, Field, Got, Head, Pages, Table, Text, html } from "../lib/ui.js";
import { change, interval } from "../lib/grades.js";
import { Span } from "../lib/plot.js";
import { called, number, signed, t, tag, way } from "../lib/words.js";

const SIZE = 10;
const sides = (direction) => { const [from, to] = (direction ?? "").split(">"); return [from, to ?? from]; };

function Differences({ rows, names, scores }) {
  if (!rows.length) return html`<p class="quiet">${t("compare.no_differences")}</p>`;
  const of = (side, row) => scores(side)?.find((one) => ['task', 'direction', 'metric'].every((key) => one[key] === row[key]))?.value;
  const verdict = (row) => row.verdict.startsWith("no ") ? "same" : row.verdict;
  return html`<${Table} caption=${t("compare.differences")} head=${[t("compare.measure"), [names[0], "n"], [names[1], "n"], [t("compare.difference"), "n"], [t("compare.interval"), "n"], t("compare.means"), [t("compare.items"), "n"]]}
    rows=${rows.map((row) => { const said = verdict(row); return html`<tr><th scope="row">${called("tasks", row.task)} <bdi class="quiet small">${way(row.direction)}</bdi><br /><span class="small quiet">${row.name ?? row.metric}</span></th><td class="n">${number(of("a", row), 2)}</td><td class="n strong">${number(of("b", row), 2)}</td><td class="n">${signed(row.difference, 2)}</td><td class="n small">${row.low === null || row.low === undefined ? "–" : `${signed(row.low, 2)} … ${signed(row.high, 2)}`}</td>
      <td><span class=${`chip ${said === "better" ? "good" : said === "worse" ? "bad" : ""}`}>${called("compare.verdict", said)}</span>${row.p_value !== undefined ? html` <span class="small quiet">p = ${number(row.p_value, 3)}</span>` : ""}</td><td class="n">${number(row.n)}</td></tr>`; })} />`;
}

function Pair({ pair, names }) {
  const [from, to] = sides(pair.direction), texts = [[names[0], pair.a], [names[1], pair.b]], reference = (pair.references ?? [])[0];
  return html`<article class="beside" aria-label=${t("compare.question")}><div class="asked"><p class="tag">${called("tasks", pair.task)} · <bdi>${way(pair.direction)}</bdi></p><${Text} text=${pair.source} lang=${from} />
      ${reference && html`<p class="small"><span class="quiet">${t("job.person")}</span> <bdi lang=${tag(to)}>${reference}</bdi></p>`}</div>
    ${texts.map(([name, text]) => html`<div><p class="tag"><bdi>${name}</bdi></p><${Text} text=${text || t("frame.nothing")} lang=${to} /></div>`)}</article>`;
}

function Grades({ grades }) {
  const improvements = Object.entries(grades?.improvements ?? {});
  if (!improvements.length) return html`<p class="quiet">${t("compare.no_grades")}</p>`;
  return html`<div class="stack">${improvements.map(([name, one]) => html`<div class="stack tight"><h3>${called("grades", name)}</h3>${one.before === null ? html`<p class="small quiet" dir="auto">${one.why || t("compare.not_graded")}</p>` : html`
      ${name === "seconds" ? html`<p>${number(one.before, 2)} – <strong>${number(one.after, 2)}</strong></p>` : html`<${Span} label=${t("job.before")} value=${one.before} low=${0} high=${100} colour=${5} /><${Span} label=${t("job.after")} value=${one.after} low=${0} high=${100} colour=${0} />`}
      <p class="small quiet">${t("compare.grade_change", { change: change(one), interval: interval(one), n: one.n })}</p>${one.why && html`<p class="small quiet" dir="auto">${one.why}</p>`}`}</div>`)}</div>`;
}

function Side({ a, b, names, view }) {
  const [offset, go] = useAddress("at", "0"), [task, pick] = useAddress("task"), all = useGet(`${here}/scores`);
  const from = useGet(`${here}/compare${query({ a, b, offset, limit: SIZE, task })}`), at = Number(offset);
  return html`<${Got} from=${from}>${(data) => {
    const tasks = [...new Set(data.differences.filter((row) => row.metric !== "forgetting").map((row) => row.task))];
    if (view === "numbers") return html`<div class="stack"><${Card} title=${t("compare.differences")}><${Differences} rows=${data.differences} names=${names} scores=${(side) => all.data?.scores.find((one) => one.job === data[side].evaluation)?.rows.filter((row) => row.system === (data[side].system === "base" ? "base" : "tuned"))} /><p class="small quiet">${t("compare.differences_text")}</p><//></div>`;
    return html`<div class="stack"><div class="form">${tasks.length > 1 && html`<${Field} label=${t("compare.task")}>${(id) => html`<select id=${id} value=${task} onChange=${(event) => { go("0"); pick(event.target.value); }}><option value="">${t("compare.every_task")}</option>${tasks.map((name) => html`<option value=${name}>${called("tasks", name)}</option>`)}</select>`}<//>`}</div>
      ${data.items.length ? data.items.map((pair) => html`<${Pair} key=${`${pair.id}${pair.task}${pair.direction}`} pair=${pair} names=${names} />`) : html`<p class="quiet">${t("compare.no_pairs")}</p>`}<${Pages} at=${at} total=${data.total} size=${SIZE} go=${(to) => go(String(to))} /></div>`;
  }}<//>`;
}

export default function Compare() {
  const models = useGet(`${here}/models`), jobs = useGet(`${here}/jobs`), [a, setA] = useAddress("a", "base"), [b, setB] = useAddress("b"), [view, show] = useAddress("view", "answers");
  const lesson = (jobs.data?.jobs ?? []).find((job) => job.verb === "teach" && job.state === "succeeded"), result = useGet(lesson ? `${here}/jobs/${lesson.id}/files/output/result.json?inline=1` : null);
  return html`<div class="stack"><${Head} title=${t("nav.compare")} lead=${t("compare.lead")} />
    <${Got} from=${models}>${(told) => {
    const list = systemsOf(told), tuned = list.slice(1);
    if (!tuned.length || !("scores" in about.artifacts)) return html`<${Empty} title=${t("compare.none")} text=${t("compare.none_text")} to="train" action=${t("nav.train")} />`;
    const chosen = list.some((one) => one.system === b) ? b : tuned[0].system, name = (system) => list.find((one) => one.system === system)?.label ?? system;
    const select = (label, value, change) => html`<${Field} label=${label}>${(id) => html`<select id=${id} value=${value} onChange=${(event) => change(event.target.value)}>${list.map((one) => html`<option value=${one.system}>${name(one.system)}</option>`)}</select>`}<//>`;
    return html`<div class="stack"><div class="form">${select(t("compare.before"), a, setA)}${select(t("compare.after"), chosen, setB)}</div>
      <${Choose} label=${t("nav.compare")} value=${view} change=${show} options=${["answers", "numbers", "grades"].map((one) => [one, t(`compare.view_${one}`)])} />
      ${view === "grades" ? html`<${Card} title=${t("compare.grades")}><p class="small quiet">${t("compare.grades_text")}</p><${Grades} grades=${result.data?.grades} /><//>` : a === chosen ? html`<p class="note">${t("compare.same")}</p>` : html`<${Side} key=${a + chosen} a=${a} b=${chosen} names=${[name(a), name(chosen)]} view=${view} />`}
      ${jobs.data?.jobs.some((job) => job.verb === "compare" && job.state === "succeeded") && html`<p><a href=${`${home}/report`}>${t("compare.whole_report")}</a></p>`}</div>`;
  }}<//></div>`;
}
