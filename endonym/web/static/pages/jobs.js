// All jobs, and how training went over time: runs beside each other.
import { useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { get, here, home, useAddress, useGet } from "../lib/api.js";
import { follow } from "../lib/stream.js";
import { Card, Choose, Empty, Got, Head, Meter, State, Table, Wait, html } from "../lib/ui.js";
import { called, duration, moment, number, t } from "../lib/words.js";

const POINTS = 2000;

function Runs({ jobs }) {
  const trained = jobs.filter((job) => job.verb === "train"), [chosen, choose] = useAddress("runs", trained.slice(0, 4).map((job) => job.id).join(",")), [metric, pick] = useAddress("metric", "valid_loss");
  const [lib, setLib] = useState(null), [curves, set] = useState({}), live = useRef({});
  const ids = chosen.split(",").filter(Boolean).map(Number);
  useEffect(() => { import("../lib/plot.js").then(setLib); }, []);
  useEffect(() => {
    let over = false;
    const mine = {};
    Promise.all(ids.map(async (one) => { const curve = (await get(`${here}/jobs/${one}/metrics?name=${metric}&points=${POINTS}`).catch(() => ({ curves: {} }))).curves[metric] ?? { steps: [], values: [] };
      mine[one] = curve.steps.map((step, i) => [step, curve.values[i]]); })).then(() => { if (!over) { live.current = mine; set(mine); } });
    const running = jobs.filter((job) => ids.includes(job.id) && job.state === "running");
    const stop = running.length ? follow({ jobs: () => running.map((job) => job.id), take: (batch) => {
      let new_points = false;
      for (const { job, kind, data } of batch) if (kind === "metric" && data.name === metric && live.current[job] && !(live.current[job].at(-1)?.[0] >= data.step)) { live.current[job].push([data.step, data.value]); new_points = true; }
      if (new_points) set({ ...live.current });
    } }) : () => {};
    return () => { over = true; stop(); };
  }, [chosen, metric]);
  if (!trained.length) return html`<p class="quiet">${t("jobs.no_runs")}</p>`;
  const series = ids.filter((one) => curves[one]?.length).map((one, i) => { const job = jobs.find((each) => each.id === one); return { label: `${one} ${job?.plugin ?? ""}`, colour: i, points: curves[one] }; });
  return html`<div class="stack"><div class="row apart"><fieldset class="row"><legend class="sr">${t("jobs.which")}</legend>${trained.slice(0, 8).map((job) => html`<label class="row small"><input type="checkbox" checked=${ids.includes(job.id)} onChange=${() => choose((ids.includes(job.id) ? ids.filter((one) => one !== job.id) : [...ids, job.id]).join(",") || "none")} /><bdi>${job.id} ${job.plugin}</bdi></label>`)}</fieldset>
      <${Choose} label=${t("jobs.metric")} value=${metric} change=${pick} options=${["valid_loss", "loss"].map((name) => [name, called("metrics", name)])} /></div>
    ${!lib ? html`<${Wait} />` : series.length ? html`<${lib.Plot} series=${series} x=${t("job.steps")} y=${t("job.loss")} said=${series.map((one) => t("job.curve_said", { name: one.label, from: number(one.points[0][1], 2), to: number(one.points.at(-1)[1], 2) })).join(". ")} />` : html`<p class="quiet">${t("job.no_curve")}</p>`}</div>`;
}

// The best validation loss and the test scores of each model, oldest first.
function Progress({ jobs }) {
  const done = jobs.filter((job) => job.verb === "train" && job.summary?.best_valid_loss).reverse();
  if (done.length === 0) return null;
  return html`<${Table} caption=${t("jobs.over_time")} head=${[t("jobs.run"), [t("jobs.rows"), "n"], [t("job.steps"), "n"], [t("jobs.best_loss"), "n"], [t("job.speed"), "n"], [t("job.took"), "n"]]} rows=${done.map((job) => html`<tr><th scope="row"><a href=${`${home}/jobs/${job.id}`}>${job.id} ${job.plugin}</a></th><td class="n">${number(job.summary.rows)}</td><td class="n">${number(job.summary.best_step ?? job.summary.steps)}</td><td class="n strong">${number(job.summary.best_valid_loss, 3)}</td><td class="n">${t("job.per_second", { n: Math.round(job.summary.tokens_per_second ?? 0) })}</td><td class="n">${duration(job.summary.seconds)}</td></tr>`)} />`;
}

export default function Jobs() {
  const from = useGet(`${here}/jobs`), [which, choose] = useAddress("state", "all");
  useEffect(() => { const timer = setInterval(() => !document.hidden && from.again(), 4000); return () => clearInterval(timer); }, []);
  return html`<div class="stack"><${Head} title=${t("nav.jobs")} lead=${t("jobs.lead")}><a class="button main" href=${`${home}/train`}>${t("nav.train")}</a><//>
    <${Got} from=${from}>${({ jobs }) => {
    if (!jobs.length) return html`<${Empty} title=${t("jobs.none")} text=${t("jobs.none_text")} to="material" action=${t("nav.material")} />`;
    const live = ["running", "queued", "paused", "needs_recovery"], shown = jobs.filter((job) => which === "all" ? !job.parent : which === "every" ? true : which === "live" ? live.includes(job.state) : job.state === which);
    return html`<div class="stack"><${Card} title=${t("jobs.curves")}><${Runs} jobs=${jobs} /><//><${Card} title=${t("jobs.over_time")}><${Progress} jobs=${jobs} /><p class="small quiet">${t("jobs.over_time_text")}</p><//>
      <${Card} title=${t("jobs.list")} side=${html`<${Choose} label=${t("jobs.list")} value=${which} change=${choose} options=${["all", "live", "failed", "every"].map((name) => [name, t(`jobs.show_${name}`)])} />`}>
        ${shown.length === 0 ? html`<p class="quiet">${t("jobs.none_such")}</p>` : html`<${Table} caption=${t("jobs.list")} head=${[t("jobs.job"), t("jobs.state"), t("jobs.progress"), t("jobs.began"), [t("job.took"), "n"]]} rows=${shown.map((job) => html`<tr key=${job.id}><th scope="row"><a href=${`${home}/jobs/${job.id}`}>${job.id} · ${called("verbs", job.verb)} ${job.plugin}</a></th><td><${State} state=${job.state} /></td><td>${job.state === "running" && job.progress?.total ? html`<${Meter} value=${job.progress.done} most=${job.progress.total} label=${t("job.progress")} cls="thin" />` : html`<span class="small quiet" dir="auto">${job.error?.message ?? ""}</span>`}</td><td class="small">${moment(job.started ?? job.created)}</td><td class="n small">${job.finished && job.started ? duration(job.finished - job.started) : ""}</td></tr>`)} />`}<//></div>`;
  }}<//></div>`;
}
